"""What is decoded in this process when Ctrl-C comes is not waited for."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace

import pytest

from plainfilm.data.cache.threads import in_threads
from plainfilm.export.scorer import Bundle


class Slow:
    """Work on 'slow' goes on until it is released, at most 20 s; other work is interrupted once that runs."""

    def __init__(self) -> None:
        self.began, self.release, self.ended = Event(), Event(), Event()

    def __call__(self, one: str) -> None:
        if one == "slow":
            self.began.set()
            self.release.wait(20)
            self.ended.set()
        else:
            self.began.wait(20)
            raise KeyboardInterrupt


def test_an_interrupted_scan_does_not_wait_for_a_file_that_is_decoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    slow = Slow()
    with pytest.raises(KeyboardInterrupt):
        list(in_threads(slow, ["quick", "slow"]))
    assert slow.began.is_set() and not slow.ended.is_set()
    slow.release.set()


def test_an_interrupted_prediction_does_not_wait_for_a_file_that_is_decoded_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, killed = Slow(), Event()
    bundle = Bundle.__new__(Bundle)
    bundle.threads, bundle._batch = 2, 1
    bundle._network = SimpleNamespace(kill=killed.set)
    monkeypatch.setattr(Bundle, "_predict", lambda self, batch, left: slow(batch[0]))
    with pytest.raises(KeyboardInterrupt):
        list(bundle.predict_each(["quick", "slow"]))
    assert slow.began.is_set() and not slow.ended.is_set() and killed.is_set()
    slow.release.set()


def test_all_results_come_in_order() -> None:
    assert list(in_threads(lambda n: n * n, range(50))) == [n * n for n in range(50)]
