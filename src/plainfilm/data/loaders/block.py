"""Table and pixels become fastai DataLoaders through a DataBlock.

Batches are gathered from the decoded array, ordered and augmented by keyed randomness: the content of an epoch is a
function of (seed, phase, epoch), not of how many random numbers were drawn before.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock, TransformBlock
from fastai.data.core import DataLoaders, TfmdDL
from fastai.data.transforms import IntToFloatTensor
from fastai.torch_core import TensorBase, TensorCategory, TensorImage, TensorImageBW
from fasttransform import Transform

from plainfilm.base.seeds import ORDER, content_key, uniform
from plainfilm.config import TrainConfig
from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.image.layout import channels_first
from plainfilm.data.loaders.augment import PROFILES, Profile, draw, draw_texture
from plainfilm.data.loaders.augment_batch import apply_draw, apply_texture
from plainfilm.data.loaders.resident import ResidentPixels, resident_pixels, send
from plainfilm.data.loaders.shrink import Shrink

_IMBALANCE = 1.5  # `balance: auto` draws classes evenly when the largest is more than this times the smallest


class _GreyImage(TensorImageBW):
    """A grey image that fastai shows like a radiograph, 0 = black; fastai's default colour map shows the negative."""

    _show_args: ClassVar[dict[str, str]] = {"cmap": "gray"}


class _FromPixels(Transform):
    """Row number -> TensorImage: (3, h, w), or (1, h, w) _GreyImage where the set is grey; uint8."""

    def __init__(self, pixels: np.ndarray | PixelRows) -> None:
        self.pixels = pixels

    def encodes(self, row: int) -> TensorImage:
        return _as_image(self.pixels[row][None])[0]


def _as_image(pixels: np.ndarray) -> TensorImage:
    """uint8 (n, h, w) or (n, h, w, 3) -> (n, 1, h, w) or (n, 3, h, w) with fastai's type."""
    return _typed(torch.from_numpy(channels_first(pixels)).contiguous())


def _typed(images: torch.Tensor) -> TensorImage:
    """(n, 1 or 3, h, w) with fastai's type."""
    return (_GreyImage if images.shape[1] == 1 else TensorImage)(images)


class Augment(Transform):
    """Batch augmentation of the train subset, drawn from (seed, phase, epoch, content, k-th appearance).

    A single affine resampling for rotation, zoom and shift, with the edge repeated outward; then contrast and
    brightness. fastai's own aug_transforms draws from the global generator and cannot be repeated out of order.
    """

    order, split_idx = 15, 0  # after IntToFloatTensor (10), on the train subset only

    def __init__(self, profile: Profile, seed: int, *, one_channel: bool = True) -> None:
        self.profile, self.seed, self.one_channel = profile, seed, one_channel
        self.dl: CacheDL | None = None

    def encodes(self, x: TensorImage) -> TensorImage:
        if self.dl is None or self.profile == Profile():
            return x
        grey = x.shape[1] == 1
        pixels = plain(x) if self.one_channel or not grey else plain(x).expand(-1, 3, -1, -1).contiguous()
        rows = self.dl.batch_rows
        place = (self.profile, self.seed, self.dl.phase, self.dl.epoch, self.dl.keys[rows], self.dl.batch_times)
        drawn, texture = draw(*place), draw_texture(*place)
        moved = apply_draw(pixels, drawn.matrix, drawn.gain, drawn.bias)
        made = moved if texture is None else apply_texture(moved, texture)
        return type(x)(made[:, :1] if grey else made)  # three channels of a grey image stay equal


class CacheDL(TfmdDL):
    """A TfmdDL that gathers whole batches from the decoded array.

    `keys`: int64 (n,), content keys by row of the array; `phase` and `epoch` are set by the learner before each
    epoch, as is `skip`, the batches at its start that a resumed run has already done; `batch_rows` and `batch_times`
    describe the current batch. `features`: float32 (n, d), used in place of the images where set; `resident`: the
    pixels in the memory of the device, used in place of `pixels` where set. `size_px`: side to which train images are
    reduced, set for each phase; None: as decoded.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        pixels: np.ndarray | PixelRows,
        keys: np.ndarray,
        seed: int,
        balance: bool = False,
        gather: bool = True,
        **kwargs: Any,
    ) -> None:
        self.pixels, self.keys, self.seed, self.balance, self.gather = pixels, keys, seed, balance, gather
        self.phase, self.epoch, self.skip = 0, 0, 0
        self.features: np.ndarray | None = None
        self.resident: ResidentPixels | None = None
        self.size_px: int | None = None
        self.batch_rows, self.batch_times = np.empty(0, np.int64), np.empty(0, np.int64)
        super().__init__(dataset, **kwargs)

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> CacheDL:
        """A loader like this one over another dataset; fastai builds valid and test loaders this way."""
        mine = {name: getattr(self, name) for name in ("pixels", "keys", "seed", "balance", "gather")}
        loader: CacheDL = super().new(dataset, cls, **{**mine, **kwargs})
        loader.resident = self.resident if loader.pixels is self.pixels else None
        return loader

    def randomize(self) -> None:
        """Does nothing: the order is a function of the position in the run."""

    def shuffle_fn(self, idxs: list[int]) -> list[int]:
        """The order of an epoch: by hash of (seed, phase, epoch, position); balanced classes on request."""
        position = np.asarray(idxs)
        return list(self._balanced(position) if self.balance else self._shuffled(position))

    def _shuffled(self, values: np.ndarray, *stream: int) -> np.ndarray:
        return values[np.argsort(uniform(self.seed, ORDER, self.phase, self.epoch, values, *stream), kind="stable")]

    def _balanced(self, position: np.ndarray) -> np.ndarray:
        labels = targets_of(self.dataset)[position]
        names = np.unique(labels)
        per_class = -(-len(position) // len(names))
        picked = []
        for label in names:
            mine = position[labels == label]
            rounds = -(-per_class // len(mine))  # a small class is repeated, in whole rounds first
            picked.append(np.concatenate([self._shuffled(mine, r) for r in range(rounds)])[:per_class])
        drawn = np.concatenate(picked)
        places = self._shuffled(np.arange(len(drawn)), 99)  # a stream of its own, above any round
        mixed: np.ndarray = drawn[places][: len(position)]
        return mixed

    def create_batches(self, samps: Any) -> Any:
        """Chunks of row numbers, each gathered with one fancy index."""
        seen: dict[int, int] = {}
        rows, targets = np.asarray(self.dataset.items), targets_of(self.dataset)
        for step, chunk in enumerate(self.chunkify(iter(samps))):
            picked = np.asarray(chunk, dtype=np.int64)
            self.batch_rows = rows[picked]
            self.batch_times = _appearances(self.keys[self.batch_rows], seen)
            if step < self.skip:
                continue
            yield self._images(picked), TensorCategory(self._sent(torch.from_numpy(targets[picked])))

    def _sent(self, values: torch.Tensor) -> torch.Tensor:
        return send(values, self.device or torch.device("cpu"))

    def _images(self, picked: np.ndarray) -> torch.Tensor:
        if self.features is not None:
            return self._sent(torch.from_numpy(self.features[self.batch_rows]))
        if self.gather:
            gathered: torch.Tensor = _typed(self._gathered())
            return gathered
        items = [self.dataset[int(i)][0] for i in picked]  # as in any other loader
        stacked: torch.Tensor = type(items[0])(torch.stack(items))
        return stacked

    def _gathered(self) -> torch.Tensor:
        if self.resident is not None:
            return self.resident[self.batch_rows]
        return self._sent(torch.from_numpy(channels_first(self.pixels[self.batch_rows])).contiguous())

    def chunkify(self, samps: Any) -> Any:
        """Batches; a last batch of a single image joins the one before: BatchNorm has no variance of one."""
        chunks = [list(chunk) for chunk in super().chunkify(samps)]
        if self.bs > 1 and len(chunks) > 1 and len(chunks[-1]) == 1:
            single = chunks.pop()
            chunks[-1] += single
        return chunks

    def __len__(self) -> int:
        single = self.bs > 1 and not self.drop_last and self.n > self.bs and self.n % self.bs == 1
        return int(super().__len__()) - single

    def before_iter(self) -> None:
        """Set the loader of the batch transforms: the pipeline is shared by all subsets."""
        super().before_iter()
        for tfm in self.after_batch.fs:
            if isinstance(tfm, Augment | Shrink):
                tfm.dl = self


def _appearances(keys: np.ndarray, seen: dict[int, int]) -> np.ndarray:
    times = np.empty(len(keys), dtype=np.int64)
    for i, key in enumerate(keys.tolist()):
        times[i] = seen.get(key, 0)
        seen[key] = times[i] + 1
    return times


def targets_of(dataset: Any) -> np.ndarray:
    """Class numbers of a fastai Datasets subset, int64 (n,), without reading a pixel."""
    cached: np.ndarray | None = getattr(dataset, "_plainfilm_targets", None)
    if cached is None:
        labels = dataset.tls[1]
        cached = np.array([int(labels[i]) for i in range(len(labels))], dtype=np.int64)
        dataset._plainfilm_targets = cached
    return cached


def _is_imbalanced(labels: pd.Series) -> bool:
    """True when the largest class has more than _IMBALANCE times the images of the smallest."""
    sizes = labels.value_counts()
    return bool(sizes.max() > _IMBALANCE * sizes.min())


def make_dls(
    rows: pd.DataFrame, pixels: np.ndarray | PixelRows, cfg: TrainConfig, *, vocab: list[str], device: str = "cpu"
) -> DataLoaders:
    """fastai DataLoaders over rows whose `split` is train and valid, and test if it has rows.

    Args:
        rows: needs `label`, `split`, `sha256`; row i belongs to pixels[i].
        pixels: uint8 (n, h, w) or (n, h, w, 3), from decode_rows().
        vocab: class names in the order of the network's outputs.
    Batches are float (n, 1 or 3, h, w) in 0..1; the network normalises them itself.
    """
    labels = rows["label"].to_numpy()
    parts = [np.flatnonzero(rows["split"].to_numpy() == name).tolist() for name in ("train", "valid", "test")]
    block = DataBlock(
        blocks=(
            TransformBlock(type_tfms=_FromPixels(pixels), batch_tfms=IntToFloatTensor),
            CategoryBlock(vocab=vocab, sort=False),
        ),
        get_y=lambda row: labels[row],
        splitter=lambda _: parts if parts[2] else parts[:2],
        batch_tfms=[Shrink(), Augment(PROFILES[cfg.augment], cfg.seed, one_channel=cfg.speed.grey_augment)],
    )
    block.dl_type = CacheDL
    train_labels = rows["label"].iloc[parts[0]]
    dls = block.dataloaders(
        list(range(len(rows))),
        bs=min(cfg.batch_size, len(parts[0])),
        drop_last=False,  # fastai's default would leave out up to a third of a small set each epoch
        num_workers=0,  # a batch is one memory copy; workers would cost more than they save
        device=torch.device(device),
        pixels=pixels,
        keys=np.array([content_key(sha) for sha in rows["sha256"]], dtype=np.int64),
        seed=cfg.seed,
        balance=cfg.balance == "auto" and _is_imbalanced(train_labels),
        gather=cfg.speed.gather,
    )
    if cfg.gpu.resident:
        held = resident_pixels(pixels, torch.device(device))
        for dl in dls.loaders:
            dl.resident = held
    return dls


def plain(x: TensorBase) -> torch.Tensor:
    """The same data as a plain tensor: each operation on fastai's subclass costs 34 us instead of 7 us."""
    same: torch.Tensor = x.as_subclass(torch.Tensor)
    return same
