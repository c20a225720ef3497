"""An archive as DATA: unpacked into the cache once, under the hash of its bytes, and then read as a folder is.

`unpacked/<hash>/files` holds the files and `index.json` what was written of each. Both appear together, by one rename.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock

from plainfilm.base.files import TEMP_PREFIX, atomic_write, read_regular, sweep
from plainfilm.base.json_text import parsed_json
from plainfilm.data.archives.npz_file import content_of_npz, holds_arrays
from plainfilm.data.archives.written import Written, as_written, write_file
from plainfilm.data.archives.zip_file import Content, content_of_zip, opened_zip
from plainfilm.data.cache.moved_data import find_moved
from plainfilm.data.cache.store import cache_folder, why_not_written
from plainfilm.data.errors import MOST_MEGAPIXELS
from plainfilm.data.image.other_formats import instead_of_an_image
from plainfilm.errors import DataError

_ENDINGS = (".zip", ".npz")
_FORMAT = 2  # of what is unpacked; any change to it increments it
_KEEP_FREE_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class _DataFolder:
    """Where the files of DATA are, and what is said of how they came there."""

    path: Path
    notes: tuple[str, ...] = ()


def is_archive(path: Path) -> bool:
    """Whether DATA is a file that is unpacked: a .zip or .npz by its name."""
    return path.suffix.casefold() in _ENDINGS and path.is_file()


def data_folder(path: Path, megapixels: int = MOST_MEGAPIXELS) -> _DataFolder:
    """The folder to read instead of an archive, unpacked where it is not yet; any other path is itself.

    Args:
        megapixels: larger images in a .npz are refused; by default those that no option admits.
    Raises:
        DataError: the archive is damaged, unsafe, too large, of another form, or the cache cannot hold it.
    """
    if not is_archive(path):
        return _DataFolder(path)
    sha256 = _sha256(path)
    home = cache_folder() / "unpacked" / sha256[:32]
    found = _opened(home, sha256)
    if found is None:
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(home.parent / ".lock"):
                found = _opened(home, sha256) or _unpack(path, home, sha256, megapixels)
        except (OSError, NotImplementedError) as error:
            raise DataError(
                f"{path} cannot be unpacked into {home.parent} ({why_not_written(error)}). Set PLAINFILM_CACHE to a folder "
                "with room, or unpack it yourself."
            ) from None
    return found


def put_back(rows: pd.DataFrame, data: str | None) -> pd.DataFrame:
    """The rows of a run whose DATA is an archive, after unpacking it again where the cache lost it.

    Unchanged where the archive is gone or another one: then the images are missing, which is said where they are needed.
    """
    path = Path(data or "")
    if not (data and is_archive(path)) or all(os.path.isfile(name) for name in rows["path"]):
        return rows
    with contextlib.suppress(DataError):
        folder = data_folder(path).path
        if folder.parent.name in Path(rows["path"].iloc[0]).parts:  # the same archive
            here = rows["path"].iloc[0] == str(folder / rows["relative"].iloc[0])
            return rows if here else find_moved(rows, folder)
    return rows


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Make it readable.") from None


def _opened(home: Path, sha256: str) -> _DataFolder | None:
    """What was unpacked before; None unless every file is as it was written.

    Raises:
        DataError: another file lies among them.
    """
    try:
        index = parsed_json(read_regular(home / "index.json"), home)
        files = {name: Written(*values) for name, values in index["files"].items()}
        if index["format"] != _FORMAT or index["source"] != sha256:
            return None
        found = _DataFolder(home / "files", tuple(index["notes"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if as_written(found.path, files) else None


def _unpack(path: Path, home: Path, sha256: str, megapixels: int) -> _DataFolder:
    """The caller holds the lock."""
    sweep(home.parent)
    temp = Path(tempfile.mkdtemp(prefix=TEMP_PREFIX, dir=home.parent))
    try:
        with opened_zip(path) as archive:
            is_npz = holds_arrays(archive)  # by its content: the same bytes are the same images under any name
            content = content_of_npz(archive, megapixels) if is_npz else content_of_zip(archive)
            _refuse_no_room(content, home.parent)
            files = {"/".join(parts): write_file(temp / "files", parts, chunks) for parts, chunks in content.each()}
        notes = [
            f"DATA is the archive {'.npz' if is_npz else '.zip'}; its {len(files)} files were unpacked into the cache.",
            *content.notes,
        ]
        index = {"format": _FORMAT, "source": sha256, "name": path.name, "files": files, "notes": notes}
        (temp / "files").mkdir(exist_ok=True)
        atomic_write(temp / "index.json", json.dumps(index))
        shutil.rmtree(home, ignore_errors=True)  # a damaged one
        os.replace(temp, home)
    except DataError as error:
        why = _instead(path) or error
        raise DataError(f"{path} cannot be used: {why}. Nothing was unpacked.") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise DataError(
            f"{path} cannot be used: a path in it is too long below {home.parent}. Unpack it yourself, with shorter names."
        ) from None
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return _DataFolder(home / "files", tuple(notes))


def _instead(path: Path) -> str:
    """What a file is that is no archive at all, '' where that is not known."""
    data = read_regular(path, 512)
    what = "" if data.startswith(b"PK") else instead_of_an_image(data)
    return f"it is no archive{what}" if what else "" if data else "it is empty"


def _refuse_no_room(content: Content, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if content.size + _KEEP_FREE_BYTES > free:
        raise DataError(
            f"its files have {content.size:,} bytes, and {folder} has room for {max(0, free - _KEEP_FREE_BYTES):,}; set PLAINFILM_CACHE"
        )
