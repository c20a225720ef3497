"""Train images of a smaller phase are area means of the decoded pixels, made before augmentation."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from plainfilm.config import TrainConfig
from plainfilm.data.loaders.block import make_dls
from plainfilm.data.loaders.shrink import _area_mean


def make_rows():
    """60 images of 24 px in two classes: 36 train, 24 valid."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 24, 24), dtype=np.uint8)
    rows = pd.DataFrame({
        "label": np.where(np.arange(60) % 3 == 0, "A", "B"), "split": np.repeat(["train", "valid"], (36, 24)),
        "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in pixels],
    })  # fmt: skip
    return rows, pixels


def block_mean(x: np.ndarray, size: int) -> np.ndarray:
    """The exact area mean of (n, c, side, side): each pixel cut into equal pieces, then the mean of whole blocks."""
    side = x.shape[-1]
    both = math.lcm(side, size)
    fine = x.repeat(both // side, axis=2).repeat(both // side, axis=3)
    n, c, k = *x.shape[:2], both // size
    return fine.reshape(n, c, size, k, size, k).mean(axis=(3, 5))


@pytest.mark.parametrize(("side", "size"), [(24, 12), (24, 8), (24, 16), (24, 18), (24, 23), (20, 15), (128, 96)])
def test_a_pixel_is_the_mean_of_the_area_that_it_covers(side, size):
    x = np.random.default_rng(side + size).random((3, 2, side, side)).astype(np.float32)
    np.testing.assert_allclose(_area_mean(torch.from_numpy(x), size).numpy(), block_mean(x, size), atol=1e-6)


def test_a_hand_worked_row_of_three_becomes_two():
    """3 -> 2: the middle pixel belongs to both halves; (2 a + b) / 3 and (b + 2 c) / 3."""
    row = torch.tensor([0.0, 0.3, 0.9]).expand(3, 3)[None, None]
    torch.testing.assert_close(_area_mean(row, 2)[0, 0], torch.tensor([[0.1, 0.7], [0.1, 0.7]]))


@pytest.mark.parametrize("size", [48, 72])
def test_it_is_close_to_what_pillow_makes_of_a_smooth_image(size):
    at = np.linspace(0, 3, 96)
    smooth = (0.5 + 0.25 * np.sin(at)[:, None] * np.cos(2 * at)[None]).astype(np.float32)
    expected = np.asarray(Image.fromarray(smooth).resize((size, size), Image.Resampling.BOX))
    np.testing.assert_allclose(
        _area_mean(torch.from_numpy(smooth)[None, None], size)[0, 0].numpy(), expected, atol=0.01
    )


def test_it_takes_away_the_detail_that_a_sampled_image_would_alias():
    stripes = (torch.arange(24) % 2).float().expand(24, 24)[None, None]
    assert float((_area_mean(stripes, 12) - 0.5).abs().max()) < 1e-6
    assert float((_area_mean(stripes, 16) - 0.5).abs().max()) < 0.2  # of 1.5 pixels, 1 or 0.5 are white


def dls_at(size_px: int | None, augment: str = "none"):
    rows, pixels = make_rows()
    cfg = TrainConfig(batch_size=8, size_px=24, augment=augment)
    dls = make_dls(rows, pixels, cfg, vocab=["A", "B"])
    dls.train.size_px = size_px
    dls.train.phase, dls.train.epoch = 1, 2
    return dls, pixels


def batches_of(dl):
    return [(dl.batch_rows.tolist(), x.as_subclass(torch.Tensor), y) for x, y in dl]


@pytest.mark.parametrize("size", [12, 18])
def test_train_is_reduced_in_the_same_order_and_valid_is_not(size):
    (small, pixels), (whole, _) = dls_at(size), dls_at(None)
    for (rows, x, y), (others, _, targets) in zip(batches_of(small.train), batches_of(whole.train), strict=True):
        assert rows == others
        assert torch.equal(y, targets)
        np.testing.assert_allclose(x.numpy(), block_mean(pixels[rows][:, None] / 255, size), atol=1e-6)
    assert small.valid.one_batch()[0].shape[2:] == (24, 24)


def test_augmentation_works_on_the_reduced_images():
    """Brightness and contrast alone commute with the mean; the warp does not, so the order shows."""
    small, pixels = dls_at(16, "natural")
    rows, x, _ = next(iter(batches_of(small.train)))
    reduced = np.rint(255 * block_mean(pixels[:, None] / 255, 16)[:, 0]).astype(np.uint8)
    frame, _ = make_rows()
    by_hand = make_dls(frame, reduced, TrainConfig(batch_size=8, size_px=16, augment="natural"), vocab=["A", "B"])
    by_hand.train.phase, by_hand.train.epoch = 1, 2
    same, expected, _ = next(iter(batches_of(by_hand.train)))
    assert rows == same
    assert float((x - expected).abs().max()) < 0.5 / 255 * 1.3  # rounded to whole grey levels, contrast up to 1.25


def test_an_epoch_of_a_size_is_the_same_each_time():
    first, second = (batches_of(dls_at(18, "strong")[0].train) for _ in range(2))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def test_images_are_never_enlarged():
    (larger, _), (whole, _) = dls_at(48), dls_at(None)
    assert torch.equal(batches_of(larger.train)[0][1], batches_of(whole.train)[0][1])
