from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter

from plainfilm.config import TrainConfig
from plainfilm.data.loaders.augment import Texture
from plainfilm.data.loaders.augment_batch import apply_draw, apply_texture
from plainfilm.data.loaders.block import _is_imbalanced, make_dls

N = 60


def make_rows(n=N, positives=20, splits=(36, 14, 10)):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 24, 24), dtype=np.uint8)
    rows = pd.DataFrame({
        "label": np.where(np.arange(n) % 3 == 0, "A", "B") if positives == 20 else ["A"] * positives + ["B"] * (n - positives),
        "split": np.repeat(["train", "valid", "test"], splits),
        "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in pixels],
    })  # fmt: skip
    return rows, pixels


def dls_of(rows, pixels, **options):
    cfg = TrainConfig(**{"batch_size": 8, "size_px": 24, "augment": "none", "balance": "none", **options})
    return make_dls(rows, pixels, cfg, vocab=["A", "B"])


def epoch(dls, phase=0, number=0):
    dls.train.phase, dls.train.epoch = phase, number
    return [
        (x.clone().as_subclass(torch.Tensor), y.clone().as_subclass(torch.Tensor), dls.train.batch_rows.copy())
        for x, y in dls.train
    ]


def test_three_subsets_hold_their_own_rows_and_two_when_there_is_no_test():
    rows, pixels = make_rows()
    dls = dls_of(rows, pixels)
    assert [len(dl.dataset) for dl in dls.loaders] == [36, 14, 10]
    assert [len(dl.dataset) for dl in dls_of(rows[:50], pixels[:50]).loaders] == [36, 14]


def test_an_epoch_shows_each_train_image_once_with_its_own_label():
    rows, pixels = make_rows()
    seen = []
    for x, y, picked in epoch(dls_of(rows, pixels)):
        np.testing.assert_allclose(x[:, 0].numpy(), pixels[picked] / np.float32(255), rtol=1e-6)
        assert [["A", "B"][k] for k in y] == list(rows["label"].iloc[picked])
        seen += picked.tolist()
    assert sorted(seen) == list(range(36))  # the last, smaller batch included


def test_valid_and_test_keep_their_order_and_are_never_augmented():
    rows, pixels = make_rows()
    dls = dls_of(rows, pixels, augment="natural")
    for which, first in ((1, 36), (2, 50)):
        x = torch.cat([x.as_subclass(torch.Tensor) for x, _ in dls[which]])
        np.testing.assert_allclose(x[:, 0].numpy(), pixels[first : first + len(x)] / np.float32(255), rtol=1e-6)


def test_an_epoch_is_a_function_of_its_position_alone():
    rows, pixels = make_rows()
    dls, again = (dls_of(rows, pixels, augment="radiograph", seed=4) for _ in range(2))
    first = epoch(dls, 0, 3)
    torch.rand(7), np.random.rand(7)  # neither global generator matters
    epoch(again, 0, 1)  # nor what was shown before
    for (x, y, r), (x2, y2, r2) in zip(first, epoch(again, 0, 3), strict=True):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
        assert (r == r2).all()


@pytest.mark.parametrize("other", [{"number": 4}, {"phase": 1, "number": 3}])
def test_another_epoch_or_phase_shows_another_order(other):
    rows, pixels = make_rows()
    dls = dls_of(rows, pixels)
    orders = [np.concatenate([picked for *_, picked in epoch(dls, **at)]) for at in ({"number": 3}, other)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert (orders[0] != orders[1]).any()


def test_augmentation_depends_on_the_image_not_on_its_place_in_the_batch():
    rows, pixels = make_rows()
    by_row = []
    for size in (8, 36):
        batches = epoch(dls_of(rows, pixels, augment="radiograph", batch_size=size), number=2)
        by_row.append({int(r): x for xs, _, picked in batches for r, x in zip(picked, xs, strict=True)})
    assert all(torch.equal(by_row[0][r], by_row[1][r]) for r in range(36))
    plain = torch.from_numpy(pixels[:36] / np.float32(255))
    assert sum(torch.allclose(by_row[0][r][0], plain[r], atol=1e-3) for r in range(36)) == 0


def test_a_copy_of_an_image_is_augmented_differently():
    rows, pixels = make_rows()
    pixels[1], rows.loc[1, "sha256"] = pixels[0], rows.loc[0, "sha256"]
    shown = {
        int(r): x
        for xs, _, picked in epoch(dls_of(rows, pixels, augment="radiograph"))
        for r, x in zip(picked, xs, strict=True)
    }
    assert not torch.equal(shown[0], shown[1])


def test_balanced_drawing_shows_both_classes_equally_and_every_image_of_the_small_class():
    rows, pixels = make_rows(60, positives=6, splits=(60, 0, 0))
    rows["split"] = ["train"] * 50 + ["valid"] * 10
    rows["label"] = ["A"] * 5 + ["B"] * 45 + ["A", "B"] * 5
    dls = dls_of(rows, pixels, balance="auto")
    picked = np.concatenate([r for *_, r in epoch(dls)])
    assert len(picked) == 50
    assert (picked < 5).sum() == 25
    assert np.bincount(picked)[:5].tolist() == [5] * 5
    large = np.bincount(picked, minlength=50)[5:]
    assert large.max() == 1
    other = np.concatenate([r for *_, r in epoch(dls, number=1)])
    assert set(other[other >= 5]) != set(picked[picked >= 5])


def test_imbalance_begins_above_one_and_a_half():
    assert not _is_imbalanced(pd.Series(["A"] * 2 + ["B"] * 3))
    assert _is_imbalanced(pd.Series(["A"] * 20 + ["B"] * 31))


def test_a_shift_moves_the_image_and_relighting_is_about_the_middle():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 4, 4] = 1
    shift = np.array([[[1, 0, 0.25], [0, 1, 0]]], dtype=np.float32)  # reads one pixel further right: moves left by one
    moved = apply_draw(x, shift, np.ones(1, np.float32), np.zeros(1, np.float32))
    assert moved[0, 0, 4, 3] == pytest.approx(1)
    lit = apply_draw(
        torch.full((1, 1, 2, 2), 0.75),
        np.array([[[1, 0, 0], [0, 1, 0]]], np.float32),
        np.full(1, 1.2, np.float32),
        np.full(1, 0.1, np.float32),
    )
    assert lit.flatten().tolist() == pytest.approx([0.25 * 1.2 + 0.6] * 4)


def test_colour_images_keep_their_channels():
    rows, _ = make_rows()
    pixels = np.random.default_rng(1).integers(0, 256, (N, 24, 24, 3), dtype=np.uint8)
    x, _, picked = epoch(dls_of(rows, pixels))[0]
    np.testing.assert_allclose(x.numpy(), pixels[picked].transpose(0, 3, 1, 2) / np.float32(255), rtol=1e-6)


def test_texture_follows_its_formulas_and_the_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(0.3, 0.7, (3, 1, 64, 64)).astype(np.float32))
    f = np.float32

    def texture(power: list[float], detail: list[float], sd: list[float]) -> Texture:
        return Texture(f(power), f(detail), f(sd), np.array([11, 12, 13])[: len(power)], np.zeros((len(power), 5), f))

    same = apply_texture(x.clone(), texture([1, 1, 1], [0, 0, 0], [0, 0, 0]))
    torch.testing.assert_close(same, x)
    darker = apply_texture(x.clone(), texture([2, 1, 0.5], [0, 0, 0], [0, 0, 0]))
    torch.testing.assert_close(darker, torch.stack([x[0] ** 2, x[1], x[2] ** 0.5]))
    blurred = apply_texture(x.clone(), texture([1, 1, 1], [-1, 0, 1], [0, 0, 0]))
    expected = gaussian_filter(x[0, 0].numpy(), 0.5, mode="nearest", radius=2)
    np.testing.assert_allclose(blurred[0, 0].numpy(), expected, atol=1e-5)
    assert float(blurred[2].std()) > float(x[2].std()) > float(blurred[0].std())
    noisy = apply_texture(x.clone(), texture([1, 1, 1], [0, 0, 0], [0.05, 0, 0.02]))
    assert float((noisy - x)[0].std()) == pytest.approx(0.05, rel=0.05)
    assert torch.equal(noisy[1], x[1])
    alone = apply_texture(x[:1].clone(), texture([1], [0], [0.05]))
    assert torch.equal(alone[0], noisy[0])


def test_a_hole_is_one_grey_level_and_the_rest_stays() -> None:
    x = torch.full((2, 1, 20, 10), 0.5)
    one, none = np.ones(2, np.float32), np.zeros(2, np.float32)
    hole = np.array([[0.2, 0.5, 0.6, 0.75, 0.9], [0, 0, 0, 0, 1]], np.float32)
    made = apply_texture(x.clone(), Texture(one, none, none, np.array([1, 2]), hole))
    expected = x.clone()
    expected[0, :, 10:15, 2:6] = 0.9
    torch.testing.assert_close(made, expected)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # fastai's tensors in matplotlib
def test_a_grey_image_is_shown_as_a_radiograph_is_read():
    """fastai's own colour map for one channel is the negative: lungs white."""
    rows, pixels = make_rows()
    x, _ = dls_of(rows, pixels).train.one_batch()
    axis = x[0].show()
    shown = axis.images[0]
    assert shown.cmap(0.0)[:3] == (0, 0, 0) and shown.cmap(1.0)[:3] == (1, 1, 1)
