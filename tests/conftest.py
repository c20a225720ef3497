"""What the tests share: a small set of drawn films, a way to write pictures, and a way to read refusals."""

import ctypes
import functools
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from plainfilm.base.files import hash_json
from plainfilm.errors import DataError, PlainfilmError

# 0.2 s for an example, and the rate of drawing them, say how busy the machine is
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

os.environ.pop("COLUMNS", None)  # pytest's workers set it, and then our output is wrapped outside a terminal too


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_heard() -> None:
    """A shell's background job ignores SIGINT, one of nohup SIGHUP, and hands that on to every child: neither could be tested."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="module")
def memory_is_given_back() -> Iterator[None]:
    """A training keeps what it took until its process ends, and here hundreds share one: 5.9 GB in one of two workers."""
    yield
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@pytest.fixture(autouse=True, scope="session")
def no_flush() -> Iterator[None]:
    """No power is cut here; a training flushes 116 times, and on a busy disk each takes 3 to 30 ms. Processes of their own do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def operators_are_read_once() -> None:
    """torch.onnx.export reads the source of onnxscript's 497 operators each time: 0.4 of its 1.1 CPU s."""
    registration = sys.modules.get("torch.onnx._internal.exporter._registration")  # there since the first export
    lazy = getattr(registration, "onnxscript_apis", None)
    if lazy is not None and "get_torchlib_ops" not in vars(lazy):
        lazy.get_torchlib_ops = functools.cache(lazy.get_torchlib_ops)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the test session's own, so that no test reads or fills the user's."""
    folder, before = tmp_path_factory.mktemp("cache"), os.environ.get("PLAINFILM_CACHE")
    os.environ["PLAINFILM_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["PLAINFILM_CACHE"]
    else:
        os.environ["PLAINFILM_CACHE"] = before


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A PLAINFILM_HOME of the test session's own, so that no test reads or fills the user's; processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("PLAINFILM_HOME", str(folder / "session"))
        yield folder


@pytest.fixture(autouse=True)
def home_of_one_test(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests that draw the same set must not count each other's test-set accesses; made only when written."""
    folder = own_home / uuid.uuid4().hex
    monkeypatch.setenv("PLAINFILM_HOME", str(folder))
    return folder


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for one test: its files have not been decoded before."""
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "fresh-cache"))
    return tmp_path / "fresh-cache"


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """write_image(path, pixels, **save): the array as a picture, its folder made; returns the path."""

    def write(path: Path, pixels: np.ndarray, **save: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **save)
        return path

    return write


def draw_film(rng: np.random.Generator, size_px: int, spot: bool) -> np.ndarray:
    """uint8 (size, size): two dark lungs on a brighter body with noise; a spot brightens part of one lung."""
    y, x = np.mgrid[-1 : 1 : size_px * 1j, -1 : 1 : size_px * 1j]
    film = 150.0 + 40 * rng.random() - 30 * np.abs(x)
    for side in (-0.45, 0.45):
        film -= 80 * np.exp(-(((x - side) / 0.3) ** 2) - (y / 0.6) ** 2)
    if spot:
        film += 90 * np.exp(-(((x + 0.45) / 0.2) ** 2) - ((y - rng.uniform(-0.3, 0.3)) / 0.2) ** 2)
    film += rng.normal(0, 6, film.shape)
    return np.clip(np.rint(film), 0, 255).astype(np.uint8)


@pytest.fixture
def draw_cxr(write_image: Callable[..., Path]) -> Callable[..., Path]:
    """draw_cxr(root, ...): a folder of class folders with phantom-<patient>-<k>.png; returns `root`.

    Patients are numbered through all classes; the last class has the spot. Every file differs.
    """

    def draw(
        root: Path,
        classes: tuple[str, ...] = ("NORMAL", "PNEUMONIA"),
        patients: int = 8,
        images: int = 2,
        size_px: int = 24,
        first_patient: int = 1,
    ) -> Path:
        number = first_patient
        for name in classes:
            for _ in range(patients):
                for k in range(1, images + 1):
                    film = draw_film(np.random.default_rng([number, k]), size_px, spot=name == classes[-1])
                    write_image(root / name / f"phantom-{number:05d}-{k}.png", film)
                number += 1
        return root

    return draw


@pytest.fixture
def tiny_cxr(tmp_path: Path, draw_cxr: Callable[..., Path]) -> Path:
    """NORMAL and PNEUMONIA, eight patients each, two grey films of 24 px per patient: 32 files."""
    return draw_cxr(tmp_path / "tiny_cxr")


@pytest.fixture
def refusal() -> Callable[..., str]:
    """refusal(work, kind=DataError): what `work` is refused with; it must be exactly that kind, and one line."""

    def refuse(work: Callable[[], Any], kind: type[PlainfilmError] = DataError) -> str:
        with pytest.raises(PlainfilmError) as caught:
            work()
        assert type(caught.value) is kind
        message = str(caught.value)
        assert "\n" not in message
        return message

    return refuse


@pytest.fixture
def as_older() -> Callable[[Path], None]:
    """as_older(root): make the run one of a version that wrote no run_manifest.json, so that its files may be edited.

    Its test-set accesses no longer name those files.
    """

    def strip(root: Path) -> None:
        (root / "run_manifest.json").unlink()
        status = json.loads((root / "status.json").read_text(encoding="utf-8"))
        del status["manifest"]
        ledger, chain, before = root / "test_ledger.jsonl", [], "0" * 64
        for line in ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []:
            access = {key: value for key, value in json.loads(line).items() if key not in ("run_files", "hash")}
            access["prev"] = before
            before = hash_json(access)
            chain.append(json.dumps({**access, "hash": before}, sort_keys=True) + "\n")
        if chain:
            ledger.write_text("".join(chain), encoding="utf-8")
            status["ledger_head"] = before
        (root / "status.json").write_text(json.dumps(status), encoding="utf-8")

    return strip
