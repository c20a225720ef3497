"""Curves, configs and verdicts, each alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.board import verdicts
from plainfilm.board.curves import HEIGHT, WIDTH, _nice_ticks, make_panels
from plainfilm.board.side_by_side import side_by_side
from plainfilm.board.verdicts import Verdicts
from plainfilm.errors import DataError
from plainfilm.schemas.compare import CompareDocument

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(NUMBERS, NUMBERS)
def test_ticks_enclose_the_numbers_evenly_and_are_few(a: float, b: float):
    low, high = sorted((a, b))
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        high = low
    ticks = _nice_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    slack = 1e-6 * (1 + max(abs(low), abs(high)))  # a tick is rounded to the digits that the range needs
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack
    assert ticks == sorted(ticks)


def test_ticks_are_the_round_numbers_one_would_write():
    assert _nice_ticks(0.52, 0.97) == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert _nice_ticks(0.0, 10.0) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert _nice_ticks(0.7, 0.7)[0] <= 0.7 <= _nice_ticks(0.7, 0.7)[-1]


def test_a_line_runs_from_left_to_right_and_higher_numbers_lie_higher():
    (panel,) = make_panels({"a": {"valid_auroc": [0.5, 0.75, 1.0]}, "b": {"valid_loss": [float("nan")]}})
    points = [tuple(map(float, point.split(","))) for point in panel.lines[0].pieces[0].split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points) and points[0][0] == 44 and points[-1][0] == WIDTH - 8
    assert points[0][1] > points[1][1] > points[2][1] and all(0 <= y <= HEIGHT for _, y in points)
    assert points[1][1] == pytest.approx((points[0][1] + points[2][1]) / 2, abs=0.1)
    assert [tick.text for tick in panel.y] == ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
    assert [line.name for line in panel.lines] == ["a"] and [tick.text for tick in panel.x] == ["1", "2", "3"]


def test_a_long_line_keeps_its_last_point_and_few_others():
    (panel,) = make_panels({"a": {"train_loss": [1 / (i + 1) for i in range(5001)]}})
    points = panel.lines[0].pieces[0].split()
    assert len(points) <= 402 and panel.lines[0].last[0] == WIDTH - 8


def test_a_key_that_one_config_lacks_differs():
    keys = side_by_side({"a": {"x": {"y": 1, "z": [1, 2]}, "s": "t"}, "b": {"x": {"y": 2, "z": [1, 2]}, "n": None}})
    assert keys.differ == {"x.y": ["1", "2"], "s": ["t", "-"], "n": ["-", "null"]} and keys.same == {"x.z": "[1, 2]"}


class Slow:
    """A comparison that ends when it is let go."""

    def __init__(self) -> None:
        self.go, self.running, self.most = threading.Event(), 0, 0

    def __call__(self, roots: Sequence[Path]) -> CompareDocument:
        self.running += 1
        self.most = max(self.most, self.running)
        self.go.wait(10)
        time.sleep(0.01)
        self.running -= 1
        raise DataError("two\nlines")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ZeroDivisionError("x"), "A bug in plainfilm: ZeroDivisionError."),
        (RuntimeError("x"), "A bug in plainfilm: RuntimeError."),
        (MemoryError(), "These runs cannot be compared (MemoryError)."),
    ],
)
def test_whatever_is_raised_nothing_stays_pending(error: BaseException, says: str):
    def fail(roots: Sequence[Path]) -> CompareDocument:
        raise error

    asked = Verdicts(fail)
    deadline = time.monotonic() + 10
    while (found := asked.ask(0, [])).pending and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not found.pending and found.document is None and found.why.startswith(says)


def test_what_ends_the_thread_leaves_nothing_pending_either():
    """In this thread: in its own, pytest warns of it during whichever test runs then."""

    def fail(roots: Sequence[Path]) -> CompareDocument:
        raise SystemExit(3)

    entry = verdicts._Entry()
    with pytest.raises(SystemExit):
        Verdicts(fail)._compute(entry, [])
    assert not entry.found.pending and entry.found.document is None
    assert entry.found.why.startswith("Comparing was ended.")


def test_one_is_computed_at_a_time_and_few_wait(monkeypatch: pytest.MonkeyPatch):
    slow = Slow()
    asked = Verdicts(slow)
    for key in range(4):
        assert asked.ask(key, []).pending
    assert asked.ask(4, []).why.startswith("Other runs are being compared")
    monkeypatch.setattr(verdicts, "MOST_SECONDS", -1.0)
    assert "no limit" in asked.ask(0, []).why
    slow.go.set()
    deadline = time.monotonic() + 10
    while any(asked.ask(key, []).why != "two lines" for key in range(4)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [asked.ask(key, []).why for key in range(4)] == ["two lines"] * 4 and slow.most == 1
