"""MANIFEST.json: which files a bundle has, and their hashes; no file of a bundle is used before it is checked.

It detects damage and mixed-up files. It is not a signature: whoever can write the folder can write the manifest too.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field

from plainfilm.base.command_line import command_line
from plainfilm.base.files import dump_json
from plainfilm.base.json_text import json_model
from plainfilm.errors import BundleError

MANIFEST, CARD, WEIGHTS, ONNX, GATE, MODEL_CARD = (
    "MANIFEST.json", "card.json", "model.safetensors", "model.onnx", "gate.safetensors", "MODEL_CARD.md",
)  # fmt: skip
_REQUIRED = frozenset({CARD, WEIGHTS, ONNX, MODEL_CARD})
_KNOWN = _REQUIRED | {GATE}
_MB = 1024 * 1024
# A file above its limit is not read: a hash is no help against a file that fills the memory before it is computed.
_LARGEST = {MANIFEST: _MB, CARD: 4 * _MB, MODEL_CARD: 4 * _MB, GATE: 64 * _MB, ONNX: 2048 * _MB, WEIGHTS: 2048 * _MB}
_CHUNK = 1 * _MB
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # what a desktop leaves in every folder that it shows


_UNPACK = "Unpack it and give the folder, or make a zip by: plainfilm export RUN --out NAME.zip"


class _FileFacts(BaseModel):
    """One file of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class _Manifest(BaseModel):
    """Every file of a bundle except this one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    schema_version: Literal[1] = 1
    files: dict[str, _FileFacts]


class Source:
    """The files of a bundle as stored: in a folder, or in a zip of one, for which `folder` is None."""

    def __init__(self, names: list[str], opener: Callable[[str], IO[bytes]], folder: Path | None = None) -> None:
        self.names, self.folder, self._opener = names, folder, opener

    def read(self, name: str) -> bytes:
        """All bytes of a file, never more than its limit."""
        with self._opener(name) as file:
            data = file.read(_LARGEST[name] + 1)
        if len(data) > _LARGEST[name]:
            raise BundleError(f"{name} of the bundle is larger than {_LARGEST[name] // _MB} MB; it is not read.")
        return data

    def facts(self, name: str) -> _FileFacts:
        """Hash and length of a file that need not stay in memory."""
        digest, length = hashlib.sha256(), 0
        for part in self.parts(name, overlap=0):
            digest.update(part)
            length += len(part)
            if length > _LARGEST[name]:
                raise BundleError(f"{name} of the bundle is larger than {_LARGEST[name] // _MB} MB; it is not read.")
        return _FileFacts(sha256=digest.hexdigest(), bytes=length)

    def parts(self, name: str, overlap: int = 64) -> Iterator[bytes]:
        """A file from start to end in pieces, each preceded by the last `overlap` bytes of the one before."""
        tail = b""
        with self._opener(name) as file:
            while chunk := file.read(_CHUNK):
                yield (part := tail + chunk)
                tail = part[-overlap:] if overlap else b""


def facts_of(data: bytes) -> _FileFacts:
    """Hash and length of bytes."""
    return _FileFacts(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def with_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a bundle, by name, with the manifest of all the others."""
    others = {name: content for name, content in files.items() if name != MANIFEST}
    manifest = _Manifest(files={name: facts_of(content) for name, content in sorted(others.items())})
    return {**others, MANIFEST: dump_json(manifest.model_dump(mode="json")).encode()}


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The files of a bundle folder or zip; whatever cannot be read becomes a BundleError."""
    try:
        if path.is_dir():
            yield _folder(path)
        elif path.is_file():
            with zipfile.ZipFile(path) as archive:
                yield _zip(archive)
        else:
            raise BundleError(f"There is no bundle at {path}. Make one: {command_line('export', 'RUN', '--out', path)}")
    except (
        OSError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        RuntimeError,
        NotImplementedError,
        EOFError,
        ValueError,
    ) as error:
        if isinstance(error, zipfile.BadZipFile):
            raise BundleError(
                f"{path} is neither a bundle folder nor a zip of one. Give the folder or the .zip that plainfilm export made."
            ) from None
        what = getattr(error, "strerror", None) or type(error).__name__
        raise BundleError(f"The bundle {path} cannot be read ({what}). Copy or export it again.") from None


def _folder(path: Path) -> Source:
    with os.scandir(path) as entries:
        found = [
            (entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries if entry.name not in _LITTER
        ]
    names = [name for name, _ in found]
    if "status.json" in names and MANIFEST not in names:
        raise BundleError(f"{path} is a run, not a bundle. Make a bundle from it: {command_line('export', path)}")
    if odd := sorted(name for name, mode in found if not stat.S_ISREG(mode)):
        raise BundleError(
            f"The bundle {path} holds something that is not a regular file ({odd[0]!r}). Export it again."
        )
    return Source(sorted(names), lambda name: (path / name).open("rb"), path)


def _zip(archive: zipfile.ZipFile) -> Source:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise BundleError("The zip holds a file twice; a bundle never does. Export it again.")
    if MANIFEST not in names and any(name.endswith(f"/{MANIFEST}") for name in names):
        raise BundleError(f"The zip holds a folder with a bundle in it. {_UNPACK}")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise BundleError(f"The zip is packed differently from how plainfilm export packs it. {_UNPACK}")
    return Source(sorted(names), lambda name: archive.open(name))


def verify(source: Source, keep: frozenset[str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The bytes of the files in `keep`, and the SHA-256 of all files, after comparing each file with the manifest.

    Raises:
        BundleError: a file is modified, missing or unexpected, or the manifest is damaged.
    """
    if MANIFEST not in source.names:
        raise BundleError("This is not a bundle: MANIFEST.json is missing. Make one: plainfilm export RUN")
    try:
        manifest = json_model(_Manifest, source.read(MANIFEST), MANIFEST)
    except ValueError:  # ValidationError too
        raise BundleError("MANIFEST.json of the bundle is damaged, or of another version. Export it again.") from None
    listed = set(manifest.files)
    if unknown := sorted(listed - _KNOWN):
        raise BundleError(
            f"MANIFEST.json of the bundle names {unknown[0][:40]!r}, which no bundle holds. Export it again."
        )
    if missing := sorted((_REQUIRED | listed) - set(source.names)) or sorted(_REQUIRED - listed):
        raise BundleError(f"{missing[0]} of the bundle is missing. Copy the whole folder, or export it again.")
    if surplus := sorted(set(source.names) - listed - {MANIFEST}):
        raise BundleError(
            f"The bundle holds {surplus[0][:40]!r}, which MANIFEST.json does not list. Remove it, or export again."
        )
    kept = {}
    for name in sorted(listed):
        if name in keep:
            kept[name] = source.read(name)
        found = facts_of(kept[name]) if name in keep else source.facts(name)
        if found != manifest.files[name]:
            raise BundleError(
                f"{name} of the bundle is not the file that MANIFEST.json describes. Copy or export it again."
            )
    return kept, {name: facts.sha256 for name, facts in manifest.files.items()}


def pack(files: dict[str, bytes]) -> bytes:
    """A bundle as one zip; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()
