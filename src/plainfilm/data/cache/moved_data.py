"""Images of a run whose DATA is now elsewhere: found again by their relative paths, checked by hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from plainfilm.data.cache.threads import in_threads
from plainfilm.data.errors import MOST_MEGAPIXELS, DecodeError
from plainfilm.data.image.decode import digest_of_file
from plainfilm.errors import DataError

_EXPECTED = "Give the folder, archive or CSV that was DATA when the run was trained."


def files_of(rows: pd.DataFrame) -> pd.Series[str]:
    """Where the files of these rows are: as they were scanned, or in the new place of find_moved()."""
    return rows["file"] if "file" in rows else rows["path"]


def find_moved(
    rows: pd.DataFrame, data: Path, progress: Callable[[int, int], None] | None = None, *, given: Path | None = None
) -> pd.DataFrame:
    """The rows with a column `file`: each image below `data`; `path` stays, since saved predictions name it.

    Files of train and valid are read and compared; those of test only have to be there: each test-set access
    compares them. An image that a table lists by its absolute path is expected there.

    Args:
        data: the folder, or the CSV, that was DATA before it was moved.
        given: what errors name: the archive that `data` was unpacked from. None: `data`.
    Raises:
        DataError: an image is not there, or its content is another one.
    """
    root = data.absolute().parent if data.is_file() else data.absolute()
    if not root.is_dir():
        raise DataError(f"--data {data} does not exist. {_EXPECTED}")
    moved = rows.assign(file=[str(root / name) for name in rows["relative"]])
    named = given or root
    _refuse_gone(moved, named)
    changed = changed_files(moved[moved["split"] != "test"], progress)
    if changed:
        raise DataError(
            f"{len(changed)} of the run's images below {named} are not those that it was trained on (first: {changed[0]}). "
            "Restore them."
        )
    return moved


def _refuse_gone(moved: pd.DataFrame, root: Path) -> None:
    gone = [name for name, file in zip(moved["relative"], moved["file"], strict=True) if not Path(file).is_file()]
    fixed = [name for name in gone if Path(name).is_absolute()]
    if fixed:
        raise DataError(
            f"{len(fixed)} of the run's {len(moved)} images are gone and were listed by absolute paths (first: {fixed[0]!r}); "
            "--data finds images by relative paths only. Put them back, or a link to them."
        )
    outside = ", taken from there" if any(".." in Path(name).parts for name in gone) else ""
    if gone:
        raise DataError(
            f"{len(gone)} of the run's {len(moved)} images are not below {root} (first: {gone[0]!r}{outside}). {_EXPECTED}"
        )


def changed_files(rows: pd.DataFrame, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """A line for each of `rows` whose file no longer has its sha256; each file is read once."""
    differ = []

    def check(row: tuple[str, str, str]) -> str:
        path, relative, sha256 = row
        try:
            return "" if digest_of_file(path, MOST_MEGAPIXELS) == sha256 else f"{relative!r}: changed since the scan"
        except DecodeError as error:
            return f"{relative!r}: {error.why}"

    files = zip(files_of(rows), rows["relative"], rows["sha256"], strict=True)
    for done, line in enumerate(in_threads(check, files), start=1):
        differ += [line] if line else []
        if progress:
            progress(done, len(rows))
    return differ
