"""Every file found is read whole, once: its facts, or the code that sets it aside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from plainfilm.config import DataConfig
from plainfilm.data.cache.store import cache_folder
from plainfilm.data.cache.threads import in_threads
from plainfilm.data.dicom.read import is_dicom
from plainfilm.data.errors import DecodeError
from plainfilm.data.folders.walk import FoundFiles, set_aside
from plainfilm.data.image import sandbox
from plainfilm.data.image.costly import refuse_large
from plainfilm.data.image.decode import ImageFacts, digest, read_bytes
from plainfilm.data.table.file_facts import FactsBook
from plainfilm.data.table.patients import PatientSecret


def scan(
    found: list[FoundFiles], cfg: DataConfig, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, ImageFacts], list[dict[str, str]]]:
    """Facts of every readable file by relative path, and a quarantine row for each other file.

    Every file is hashed; known content is not decoded again.
    """
    secret = PatientSecret(cache_folder(), keep=cfg.cache)
    reading = {"tiff": cfg.tiff, "frame": cfg.frame, "secret": secret.fingerprint}
    book = FactsBook(cache_folder(), reading) if cfg.cache else None

    def read_facts(file: FoundFiles) -> ImageFacts | DecodeError:
        with sandbox.in_turn(file.path):
            return facts_of(file)

    def facts_of(file: FoundFiles) -> ImageFacts | DecodeError:
        try:
            data = read_bytes(file.path, cfg.max_megapixels)
            if known := book.get(digest(data)) if book else None:
                refuse_large(known.width, known.height, cfg.max_megapixels)  # read when more were admitted
                return known
            key = secret.value() if is_dicom(data) else None  # no key is created where none is needed
            return sandbox.facts_of(data, tiff=cfg.tiff, frame=cfg.frame, key=key, megapixels=cfg.max_megapixels)
        except DecodeError as error:
            return error

    facts, broken = {}, []
    for done, (file, result) in enumerate(zip(found, in_threads(read_facts, found), strict=True), start=1):
        if isinstance(result, DecodeError):
            broken.append(set_aside(file.path, file.relative, "quarantined", result.code, result.why))
        else:
            facts[file.relative] = result
        if progress:
            progress(done, len(found))
    if book:
        book.add(list(facts.values()))
    return facts, broken


def refuse_deeper(
    root: Path, facts: dict[str, ImageFacts], bits: int | None
) -> tuple[dict[str, ImageFacts], list[dict[str, str]]]:
    """`facts` without the images whose values do not fit `bits`, and their quarantine rows."""
    top = 2 ** (bits or 16) - 1
    deeper = {name for name, fact in facts.items() if fact.deep_max is not None and fact.deep_max > top}
    why = f"holds values above {top}, more than {bits or 16} bits"
    return (
        {name: fact for name, fact in facts.items() if name not in deeper},
        [set_aside(root / name, name, "quarantined", "E_BITS", why) for name in sorted(deeper)],
    )
