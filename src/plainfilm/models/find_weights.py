"""Find the weights that training starts from. No torch here, so that missing weights are reported at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import from_home, read_regular
from plainfilm.config import ExperimentConfig, ModelConfig
from plainfilm.errors import ConfigError, DataError, MissingError
from plainfilm.models.registry import MODELS, ModelSpec, check_options, check_sizes, require_library
from plainfilm.models.weights_sources import WeightsFile
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir

_Kind = Literal["imagenet", "file", "run"]
_HUB_NAMES = ("model.safetensors", "pytorch_model.bin")
_SECONDS = 1.0  # for the one attempt to reach a server
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FoundWeights:
    """Weights on this machine. `card`: of the run that trained them; None for a file or ImageNet's."""

    kind: _Kind
    path: Path
    sha256: str
    card: Card | None = None


def _torch_hub_folder() -> Path:
    """Where torch.hub and torchvision keep checkpoints."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return from_home(home) / "hub" / "checkpoints"


def _hugging_face_folder() -> Path:
    """Where huggingface_hub and timm keep repositories."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return from_home(given) if given else from_home(home) / "hub"


def _is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network, as Hugging Face's own tools read it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def imagenet_on_disk(spec: ModelSpec) -> Path | None:
    """The network's ImageNet weights on this machine, found by file name only."""
    return next((path for file in spec.imagenet if (path := _cached(file)) is not None), None)


def _cached(file: WeightsFile) -> Path | None:
    if file.torch_hub:
        path = _torch_hub_folder() / file.torch_hub
        return path if path.is_file() else None
    root = _hugging_face_folder() / f"models--{file.hugging_face.replace('/', '--')}"
    snapshots = sorted(root.glob("snapshots/*"))
    with contextlib.suppress(OSError):  # the snapshot of refs/main comes first
        main = root / "snapshots" / read_regular(root / "refs" / "main").decode("utf-8").strip()
        snapshots = [main, *snapshots]
    found = (folder / name for folder in snapshots for name in _HUB_NAMES)
    return next((path for path in found if path.is_file()), None)


def find_weights(cfg: ModelConfig, *, offline: bool = False, on_event: EventCallback = silent) -> FoundWeights | None:
    """The weights that `--weights` names, with their SHA-256; None for 'none'. Only ImageNet's may be downloaded.

    Raises:
        ConfigError: the network has no ImageNet weights, or no such option.
        MissingError: they are not on this machine and cannot be downloaded, or there is no such file.
        DataError: the file is damaged, or the run is unfinished or has another network.
    """
    spec = check_options(cfg)
    if cfg.weights == "none":
        return None
    if cfg.weights == "imagenet":
        return _imagenet(spec, offline=offline, on_event=on_event)
    path = from_home(cfg.weights)
    if path.is_dir():
        return _from_run(path, cfg, spec)
    if not path.is_file():
        raise MissingError(
            f"--weights {cfg.weights}: there is no such file or run folder. Give none, imagenet, a weights file or a run folder."
        )
    return FoundWeights("file", path, _file_sha256(path))


def _file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in chunks.

    Raises:
        DataError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check the path and its rights.") from None
    return digest.hexdigest()


def _from_run(root: Path, cfg: ModelConfig, spec: ModelSpec) -> FoundWeights:
    if cfg.range is not None:
        raise ConfigError(
            f"--range says what pixels were to a weights file; the run {root} states its own mean and std. Leave it out."
        )
    run = RunDir(root)
    if run.status.is_file():
        RunDir.open(root)  # refuses an unfinished run
    elif not run.card.is_file():
        raise DataError(
            f"--weights {root} is a folder, but not a run (it has no card.json). Give a run folder, or a weights file."
        )
    card = read_card(run)
    differ = [
        f"{name} {getattr(card.model, name)!r} there, {getattr(cfg, name)!r} here"
        for name in ("name", *(name for name in spec.options if "dropout" not in name))
        if getattr(card.model, name) != getattr(cfg, name)
    ]
    if differ:
        raise DataError(
            f"--weights {root}: that run has another network ({'; '.join(differ)}). Give the same --model and model options."
        )
    return FoundWeights("run", run.weights, card.weights_sha256, card)


def starting_point(
    cfg: ExperimentConfig, *, offline: bool, on_event: EventCallback
) -> tuple[ExperimentConfig, FoundWeights | None]:
    """The config with mean and std of the weights to start from, and these weights; found before anything else."""
    require_library(check_sizes(cfg.model, cfg.train))
    found = find_weights(cfg.model, offline=offline, on_event=on_event)
    return cfg.model_copy(update={"model": with_statistics(cfg.model, found)}), found


def without_path(cfg: ModelConfig) -> ModelConfig:
    """The model's config for a card, which names no file; `initial_weights` describes the weights."""
    return cfg if cfg.weights in ("none", "imagenet") else cfg.model_copy(update={"weights": "none"})


def with_absolute_weights(cfg: ModelConfig) -> ModelConfig:
    """The config with the absolute path of a weights file or run, so that it works from any folder."""
    if cfg.weights in ("none", "imagenet"):
        return cfg
    return cfg.model_copy(update={"weights": str(from_home(cfg.weights).absolute())})


def as_it_began(cfg: ModelConfig, begun: ModelConfig) -> ModelConfig:
    """`cfg` with the statistics that with_statistics() wrote into `begun`, where `cfg` leaves them to the weights."""
    if cfg.weights == "none":
        return cfg
    left = {name: getattr(begun, name) for name in ("mean", "std") if getattr(cfg, name) is None}
    standardise = cfg.standardise or (begun.standardise and cfg.weights != "imagenet")
    return with_absolute_weights(cfg).model_copy(update={**left, "standardise": standardise})


def with_statistics(cfg: ModelConfig, found: FoundWeights | None) -> ModelConfig:
    """The config with the mean and std of the weights filled in, where it does not set its own."""
    if found is None:
        return cfg
    spec = check_options(cfg)
    usual = (found.card.mean, found.card.std) if found.card else (spec.mean, spec.std)
    mean, std = (own or other for own, other in zip(cfg.statistics_of_range, usual, strict=True))
    standardise = cfg.standardise or bool(found.card and found.card.model.standardise)
    # absolute, as data.path is: the run's config must mean the same from another folder
    return with_absolute_weights(cfg).model_copy(
        update={"mean": cfg.mean or tuple(mean), "std": cfg.std or tuple(std), "standardise": standardise}
    )


def find_again(cfg: ModelConfig, initial: dict[str, Any] | None) -> FoundWeights | None:
    """The initial weights of a run, for a resume from its first step.

    Raises:
        MissingError: they are gone. DataError: they have changed.
    """
    if initial is None:
        return None
    found = find_weights(cfg, offline=True)
    if found is None or found.sha256 != initial["sha256"]:
        raise DataError(
            "The run cannot be resumed: the content of the weights it started from has changed. "
            "Restore the weights, or train again into another folder."
        )
    return found


# ImageNet ------------------------------------------------------------------------------------------------------


def _imagenet(spec: ModelSpec, *, offline: bool, on_event: EventCallback) -> FoundWeights:
    if not spec.imagenet:
        with_weights = ", ".join(name for name, each in MODELS.items() if each.imagenet)
        raise ConfigError(
            f"model.weights: the network {spec.name!r} has no ImageNet weights; it starts from scratch. "
            f"Choose --weights none, a file or a run, or one of: {with_weights}."
        )
    path = (spec.package.path() if spec.package else None) or imagenet_on_disk(spec)
    if path is None:
        file = spec.imagenet[0]
        if offline or _is_offline():
            raise MissingError(_how_to_get(spec, "and --offline or HF_HUB_OFFLINE forbids fetching them"))
        if file.mb:  # known in advance: host and size are shown before the host is contacted
            on_event("download", {"host": file.host, "name": file.name, "mb": file.mb})
        if not _reachable(file.host):
            raise MissingError(_how_to_get(spec, f"and {file.host} was not reached within {_SECONDS:.0f} s"))
        if not file.mb:
            on_event("download", {"host": file.host, "name": file.name, "mb": _size_on_hub_mb(file)})
        path = _download(spec, file)
    sha256 = _file_sha256(path)
    _refuse_damaged(path, sha256, spec)
    return FoundWeights("imagenet", path, sha256)


def _refuse_damaged(path: Path, sha256: str, spec: ModelSpec) -> None:
    if spec.package and path.name == spec.package.file:
        spec.package.check(path, sha256)
        return
    expected = next((file.sha256_prefix for file in spec.imagenet if file.torch_hub == path.name), "")
    blob = path.resolve()
    if blob.parent.name == "blobs" and len(blob.name) == 64:  # the hub names large files by their SHA-256
        expected = blob.name
    if not sha256.startswith(expected):
        raise DataError(
            f"{path} is damaged: its SHA-256 begins with {sha256[:8]}, not {expected[:8]}. Delete it and get it again."
        )


def _how_to_get(spec: ModelSpec, why: str) -> str:
    file = spec.imagenet[0]
    if file.torch_hub:
        folder = _torch_hub_folder()
        get = f"curl -LO {file.url} on a connected machine, then put the file into {folder}"
    else:
        folder = _hugging_face_folder()
        get = f"hf download {file.hugging_face} {_HUB_NAMES[0]} on a connected machine, then copy its folder into {folder}"
    if spec.package:
        get = f"{spec.package.install}; or {get}"
    return (
        f"The ImageNet weights of {spec.name!r} ({file.name}) are not in {folder}, {why}. "
        f"Get them: {get}. Or give the file itself: --weights FILE."
    )


def _reachable(host: str) -> bool:
    """Whether one attempt to connect succeeds; the time limit also holds when name resolution hangs."""
    proxy = urllib.request.getproxies().get("https")
    parts = urlsplit(proxy if proxy and "//" in proxy else f"//{proxy or host}")
    connected: list[bool] = []

    def attempt() -> None:
        with contextlib.suppress(OSError, ValueError), socket.create_connection((parts.hostname or host, parts.port or 443), _SECONDS):  # fmt: skip
            connected.append(True)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return bool(connected)


def _size_on_hub_mb(file: WeightsFile) -> float:
    """The size that the hub reports, for a network that is not in the registry; 0.0 where it reports none."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(file.hugging_face, _HUB_NAMES[0])
        return (get_hf_file_metadata(url, timeout=_SECONDS).size or 0) / 1e6
    except Exception:  # noqa: BLE001 - whatever is wrong with the hub, the download itself reports it
        return 0.0


def _download(spec: ModelSpec, file: WeightsFile) -> Path:
    """Download with the library's own functions into its own cache: the only place that uses the network."""
    try:
        if file.torch_hub:
            import torch

            target = _torch_hub_folder() / file.torch_hub
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(file.url, str(target), file.sha256_prefix, progress=False)
            return target
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(file.hugging_face, _HUB_NAMES[0], cache_dir=_hugging_face_folder()))
    except ImportError as error:
        raise MissingError(_how_to_get(spec, f"and {error.name} is not installed")) from None
    except (OSError, RuntimeError, ValueError) as error:  # an HTTP error, a broken transfer, a wrong hash
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise MissingError(_how_to_get(spec, f"and the download failed ({why})")) from None
