"""Rows are what was written, at every use, or the work ends with one line: whatever happens to the file meanwhile."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.data.cache.row_file import RowFile, checksum
from plainfilm.data.cache.rows import PixelRows
from wording import lacking

Refusal = Callable[..., str]
OFFSET = 7
ROWS = np.random.default_rng(0).integers(0, 256, (9, 5, 4), dtype=np.uint8)


def opened(path: Path, rows: np.ndarray = ROWS) -> RowFile:
    """The rows in a file, after OFFSET bytes of something else."""
    path.write_bytes(b"x" * OFFSET + rows.tobytes())
    return RowFile(path, OFFSET, rows.shape, [checksum(row) for row in rows])


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def of_file(file: RowFile) -> PixelRows:
    return PixelRows([file], np.zeros(len(file), np.intp), np.arange(len(file)))


@pytest.fixture(params=["as here", "without preadv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "without preadv":
            patch.delattr(os, "preadv", raising=False)
        yield tmp_path / "rows.npy"


@pytest.fixture(scope="module", params=["as here", "without preadv"])
def three_blocks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PixelRows:
    """Rows of two files and of memory, in an order of their own."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "without preadv":
            patch.delattr(os, "preadv", raising=False)
        folder = tmp_path_factory.mktemp("blocks")
        blocks = [opened(folder / "a", ROWS[:3]), ROWS[3:5], opened(folder / "b", ROWS[5:])]
    mixed = np.array([8, 0, 3, 5, 1, 4, 7, 2, 6])
    starts = np.array([0, 3, 5])
    block_of = np.searchsorted(starts, mixed, side="right") - 1
    return PixelRows(blocks, block_of, mixed - starts[block_of])


MIXED = ROWS[[8, 0, 3, 5, 1, 4, 7, 2, 6]]
NUMBER = st.integers(-9, 8)
BOUND = st.none() | st.integers(-12, 12)
INDICES = st.one_of(
    NUMBER,
    NUMBER.map(np.int64),
    st.builds(slice, BOUND, BOUND, st.none() | st.sampled_from([-3, -1, 1, 2])),
    st.lists(NUMBER).map(lambda some: np.array(some, dtype=np.int64)),
    st.lists(NUMBER, min_size=1),
    st.lists(st.booleans(), min_size=9, max_size=9).map(np.array),
)


@given(which=INDICES)
def test_rows_are_indexed_as_an_array_is(three_blocks: PixelRows, which: object) -> None:
    np.testing.assert_array_equal(three_blocks[which], MIXED[which])


def test_a_row_that_changes_in_use_is_refused_and_the_others_are_not(path: Path, refusal: Refusal) -> None:
    rows = of_file(opened(path))
    rows[:]
    overwrite(path, OFFSET + 2 * 20 + 19, bytes([ROWS[2].flat[19] ^ 1]))  # one bit of the last byte of row 2
    message = refusal(lambda: rows[[4, 2]])
    assert lacking(message, str(path), "changed or was cut short", "nothing of the change was used", "resume RUN") == []
    np.testing.assert_array_equal(rows[[0, 1, 3, 4, 5, 6, 7, 8]], ROWS[[0, 1, 3, 4, 5, 6, 7, 8]])
    overwrite(path, OFFSET + 2 * 20, ROWS[2].tobytes())
    np.testing.assert_array_equal(rows[2], ROWS[2])


def test_a_row_that_changed_before_its_first_use_is_refused(path: Path, refusal: Refusal) -> None:
    rows = of_file(opened(path))
    overwrite(path, OFFSET, ROWS[1].tobytes())  # another row's own bytes
    assert "changed" in refusal(lambda: rows[0])
    assert not rows.blocks[0].intact([1, 0]) and rows.blocks[0].intact([1, 2])


@pytest.mark.parametrize("kept", [0, OFFSET + 20, OFFSET + 4 * 20 + 1])
def test_a_file_cut_short_in_use_is_refused(path: Path, refusal: Refusal, kept: int) -> None:
    rows = of_file(opened(path))
    assert rows.blocks[0].intact(range(9))
    os.truncate(path, kept)
    assert "cut short" in refusal(lambda: rows[4])
    assert not rows.blocks[0].intact([4])


def test_a_removed_file_stays_readable(path: Path) -> None:
    rows = of_file(opened(path))
    try:
        path.unlink()
    except PermissionError:
        pytest.skip("this system keeps open files")
    np.testing.assert_array_equal(rows[:], ROWS)


def test_a_row_may_come_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "preadv"):
        pytest.skip("no preadv on this system")
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, to, place: whole(file, [to[0][:3]], place))
    np.testing.assert_array_equal(of_file(opened(path))[:], ROWS)


def test_a_disk_that_fails_is_refused_like_a_change(path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Refusal):
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail, raising=False)
    rows = of_file(opened(path))
    assert "cannot be read" in refusal(lambda: rows[0])


CUT = """
import os, sys
from pathlib import Path
import numpy as np
from plainfilm.data.cache.store import Store
from plainfilm.data.cache.rows import PixelRows
from plainfilm.errors import DataError
store = Store(Path(sys.argv[1]), {})
with store.lock():
    block = store.write([str(i) for i in range(64)], np.zeros((64, 64, 64), np.uint8))
rows = PixelRows([block.pixels], np.zeros(64, np.intp), np.arange(64))
rows[:]
os.truncate(store.folder / f"{block.name}.npy", 8192)
try:
    rows[60]
except DataError:
    print("refused")
"""


def test_a_block_cut_short_under_a_process_does_not_kill_it(tmp_path: Path) -> None:
    """A mapping ended it with SIGBUS."""
    done = subprocess.run([sys.executable, "-c", CUT, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "refused"), done.stderr
