"""Contents of the cache folder and their removal: only files that plainfilm made, recognised by name and place."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from plainfilm.base.files import TEMP_PREFIX, read_regular
from plainfilm.base.json_text import parsed_json
from plainfilm.base.sanitize import found_value

# Our folders, and the files that may be removed from them: the user may have chosen a folder with other files as cache.
_BLOCK = re.compile(rf"([0-9a-f]{{24}}\.(json|npy)|{re.escape(TEMP_PREFIX)}.*|\.lock)")
_FILM = re.compile(r"(NORMAL|PNEUMONIA)/phantom-\d{5}-\d+\.png")
_KEYED = re.compile(r"(decoded|features|facts)/[0-9a-f]{16}")
_UNPACKED = re.compile(rf"unpacked/([0-9a-f]{{32}}|{re.escape(TEMP_PREFIX)}.*)")
_PHANTOM = re.compile(r"phantom-[\w.+]+/(\d+-\d+px-seed\d+|\.\d+-\d+px-seed\d+\.partial-\d+)")


@dataclass(frozen=True)
class Entry:
    """One part of the cache folder, as `cache ls` shows it."""

    name: str
    what: str
    bytes: int
    files: int
    path: Path


def entries(root: Path) -> list[Entry]:
    """Decoded images by preprocessing, features by network, remembered facts, unpacked archives, phantom sets; nothing else is listed."""
    return [_entry(folder, name, kind) for folder, name, kind in _ours(root)]


def clear(root: Path) -> list[Entry]:
    """Remove everything that `entries` lists, and return it; the key of the patient hashes stays.

    Raises:
        Timeout: another process is writing there; nothing was removed.
    """
    removed = []
    with contextlib.ExitStack() as locks:
        for place in sorted({lock for folder, _, kind in _ours(root) for lock in _lock_of(folder, kind)}):
            locks.enter_context(FileLock(place, timeout=0))
        for folder, name, kind in _ours(root):
            removed.append(_entry(folder, name, kind))
            for path in sorted(_files(folder, kind), key=lambda path: path.suffix != ".json"):  # an index goes first
                if path.name != ".lock":
                    path.unlink(missing_ok=True)
        _remove_locks(removed)
    if os.name == "nt":  # which removes no open file, so also none that another process has locked by now
        _remove_locks(removed)
    for entry in removed:
        _remove_empty(entry.path)
    return removed


def _ours(root: Path) -> Iterator[tuple[Path, str, str]]:
    for folder in sorted(root.glob("*/*")):
        name = folder.relative_to(root).as_posix()
        if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
            continue
        kinds = {"keyed": _KEYED, "unpacked": _UNPACKED, "phantom": _PHANTOM}
        if kind := next((kind for kind, pattern in kinds.items() if pattern.fullmatch(name)), ""):
            yield folder, name, kind


def _lock_of(folder: Path, kind: str) -> list[Path]:
    places = {"keyed": [folder / ".lock"], "unpacked": [folder.parent / ".lock"]}.get(kind, [])
    return [place for place in places if not place.is_dir()]  # no writer can lock a folder either


def _unpacked_files(folder: Path) -> list[Path]:
    """Those that its index lists, which goes with them; everything that a killed process left."""
    if folder.name.startswith(TEMP_PREFIX):
        return [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        index = folder / "index.json"
        listed = [folder / "files" / name for name in parsed_json(read_regular(index), index)["files"]]
        inside = folder.resolve() / "files"
        return [index] + [path for path in listed if path.is_file() and path.resolve().is_relative_to(inside)]
    return []


def _files(folder: Path, kind: str) -> list[Path]:
    if kind == "unpacked":
        return _unpacked_files(folder)
    if kind == "keyed":
        return [path for path in folder.iterdir() if _BLOCK.fullmatch(path.name) and _is_own_file(path)]
    found = (path for path in folder.rglob("*.png") if _is_own_file(path))
    return [path for path in found if _FILM.fullmatch(path.relative_to(folder).as_posix())]


def _is_own_file(path: Path) -> bool:
    """A link or folder under the name of one of our files is not ours, and stays."""
    return path.is_file() and not path.is_symlink()


def _remove_locks(removed: list[Entry]) -> None:
    """Remove their own locks while they are held: who waits for one takes a new one. The one of all archives stays."""
    for entry in removed:
        with contextlib.suppress(OSError):
            (entry.path / ".lock").unlink()


def _remove_empty(folder: Path) -> None:
    """Remove the folder and its subfolders where they are empty."""
    for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            inner.rmdir()
    for outer in (folder, folder.parent):
        with contextlib.suppress(OSError):
            os.rmdir(outer)


def _entry(folder: Path, name: str, kind: str) -> Entry:
    files = [path for path in _files(folder, kind) if path.name != ".lock"]
    return Entry(name, _what(folder, name, kind), sum(path.stat().st_size for path in files), len(files), folder)


def _what(folder: Path, name: str, kind: str) -> str:
    if kind == "unpacked":
        return "left by a killed process" if folder.name.startswith(".") else _about_unpacked(folder / "index.json")
    if kind == "phantom":
        return "left by a killed process" if folder.name.startswith(".") else "drawn phantom set"
    if name.startswith("facts"):
        return "what the scan found in each file"
    return _about_features(folder) if name.startswith("features") else _about(folder)


def _about_unpacked(index: Path) -> str:
    """With the name that the archive had when it was unpacked."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return f"unpacked archive given as DATA: {found_value(parsed_json(read_regular(index), index)['name'])}"
    return "unpacked archive given as DATA"


def _about(folder: Path) -> str:
    return _indexed(folder, lambda about: ("", _described(about["spec"])))


def _about_features(folder: Path) -> str:
    return _indexed(
        folder, lambda about: (f"features by {about['network']['name']} of ", _described(about["pixels"]["spec"]))
    )


def _indexed(folder: Path, described: Callable[[Any], tuple[str, str]]) -> str:
    """Number of rows in all intact blocks, between the words for what they are, as their indices say."""
    images, words = 0, None
    for index in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            body = parsed_json(read_regular(index), index)["block"]
            words = described(body["about"])
            images += len(body["rows"])
    return f"{words[0]}{images} images, {words[1]}" if words else "no intact block"


def _described(spec: dict[str, Any]) -> str:
    parts = [f"{spec['size_px']} px", "grey" if spec["channels"] == 1 else "RGB", spec["resize"]]
    return ", ".join(parts + (["harmonised"] if spec["harmonise"] else []))
