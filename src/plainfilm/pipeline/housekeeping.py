"""`plainfilm models` and `plainfilm cache`: networks, weights and cache on this machine."""

from __future__ import annotations

from filelock import Timeout

from plainfilm.data.cache.admin import Entry, clear, entries
from plainfilm.data.cache.store import cache_folder
from plainfilm.errors import DataError, OccupiedError
from plainfilm.models.find_weights import imagenet_on_disk
from plainfilm.models.registry import MODELS, ModelSpec
from plainfilm.schemas.data import CacheDocument, CacheEntry
from plainfilm.schemas.documents import ModelRow, ModelsDocument


def list_models() -> ModelsDocument:
    """`plainfilm models`: the networks that can be trained, and the weights on this machine; no heavy imports."""
    return ModelsDocument(models=[_model_row(spec) for spec in MODELS.values()])


def _model_row(spec: ModelSpec) -> ModelRow:
    packaged = _in_package(spec)
    here = packaged or imagenet_on_disk(spec)
    shared = ("name", "family", "library", "installed", "size_px", "min_size_px", "channels", "mean", "std",
              "parameters", "licence", "weights_licence", "source")  # fmt: skip
    return ModelRow(
        **{name: getattr(spec, name) for name in shared}, phases=list(spec.phases),
        imagenet="here" if here else "can be fetched" if spec.imagenet else "none",
        file=spec.imagenet[0].name if spec.imagenet else None, in_package=packaged,
        package=spec.package.name if spec.package else None,
    )  # fmt: skip


def _in_package(spec: ModelSpec) -> bool:
    """Whether the network's weights are installed as a package; one that cannot be used does not count."""
    try:
        return spec.package is not None and spec.package.path() is not None
    except DataError:
        return False


def list_cache() -> CacheDocument:
    """`plainfilm cache ls`: the contents of the cache folder."""
    return _cache_document(entries(cache_folder()), removed=False)


def clear_cache() -> CacheDocument:
    """`plainfilm cache clear`: remove everything that can be made again.

    Raises:
        OccupiedError: another process is decoding into it.
    """
    try:
        return _cache_document(clear(cache_folder()), removed=True)
    except Timeout:
        raise OccupiedError("Another process is writing to the cache. Wait for it, then clear again.") from None


def _cache_document(found: list[Entry], *, removed: bool) -> CacheDocument:
    shown = [CacheEntry(name=e.name, what=e.what, files=e.files, bytes=e.bytes) for e in found]
    return CacheDocument(folder=str(cache_folder()), removed=removed, bytes=sum(e.bytes for e in found), entries=shown)
