"""The keyed augmentation against fastai's own transforms: the same geometry to the pixel, the same policy in law."""

import numpy as np
import pytest
import torch
from fastai.torch_core import TensorImage
from fastai.vision.augment import Brightness, Contrast, PadMode, Rotate, Zoom, setup_aug_tfms
from scipy.stats import ks_2samp

from plainfilm.data.loaders.augment import PROFILES, Profile, draw
from plainfilm.data.loaders.augment_batch import _sampling_grid, apply_draw

N = 4000
KEYS = np.random.default_rng(3).integers(0, 2**62, N)
ONCE = np.zeros(N, dtype=np.int64)
KS_1_IN_1000 = 1.95 * np.sqrt(2 / N)  # two samples of N from one law differ by more once in a thousand


def smooth_images(n: int) -> torch.Tensor:
    """float (n, 1, 48, 48) in 0.2..0.8, without edges finer than a pixel."""
    coarse = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    return torch.nn.functional.interpolate(coarse, size=48, mode="bicubic", align_corners=False).clamp(0, 1)


def drawn_parts(name: str) -> dict[str, np.ndarray]:
    drawn = draw(PROFILES[name], 0, 0, 0, KEYS, ONCE)
    matrix = drawn.matrix.astype(np.float64)
    return {
        "angle": np.rad2deg(np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1])),
        "scale": np.hypot(matrix[:, 0, 1], matrix[:, 1, 1]),
        "bias": drawn.bias, "gain": drawn.gain,
    }  # fmt: skip


def test_one_sampling_gives_the_pixels_of_fastais_composed_rotation_and_zoom() -> None:
    x, n = smooth_images(8), 8
    drawn = draw(Profile(rotate_deg=12, zoom=0.1), 0, 0, 0, KEYS[:n], ONCE[:n])
    angle = np.rad2deg(np.arctan2(drawn.matrix[:, 1, 0], drawn.matrix[:, 1, 1]))
    scale = np.hypot(drawn.matrix[:, 0, 1], drawn.matrix[:, 1, 1])
    where = {"pad_mode": PadMode.Border, "align_corners": False, "p": 1.0}
    tfms = setup_aug_tfms([
        Rotate(max_deg=12, draw=(-angle).tolist(), **where), Zoom(draw=(1 / scale).tolist(), draw_x=0.5, draw_y=0.5, **where),
    ])  # fmt: skip
    assert len(tfms) == 1  # fastai composes them too
    theirs = tfms[0](TensorImage(x.clone()), split_idx=0)
    ours = apply_draw(x, drawn.matrix, np.ones(n, np.float32), np.zeros(n, np.float32))
    assert float((ours - x).abs().mean()) > 0.01  # something moved
    torch.testing.assert_close(ours, theirs.as_subclass(torch.Tensor), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(7, 12), (96, 96), (1, 3)])
def test_the_sampling_grid_is_torchs(height, width) -> None:
    matrix = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.affine_grid(matrix, [5, 1, height, width], align_corners=False)
    torch.testing.assert_close(_sampling_grid(matrix, height, width), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["radiograph", "natural"])
def test_angles_and_zooms_follow_fastais_law(name: str) -> None:
    profile, parts = PROFILES[name], drawn_parts(name)
    x = torch.zeros(N, 1, 1, 1)
    torch.manual_seed(0)
    theta = Rotate(max_deg=profile.rotate_deg, p=1.0).aff_fs[0](x)
    theirs = np.rad2deg(np.arctan2(-theta[:, 1, 0].numpy(), theta[:, 0, 0].numpy()))
    assert ks_2samp(parts["angle"], theirs).statistic < KS_1_IN_1000
    zoomed = Zoom(min_zoom=1 - profile.zoom, max_zoom=1 + profile.zoom, p=1.0).aff_fs[0](x)
    scales = zoomed[:, 0, 0].numpy()
    # fastai draws the zoom and takes its inverse, ours draws the inverse: they differ by zoom squared at most
    assert np.abs(np.quantile(parts["scale"], (0.1, 0.5, 0.9)) - np.quantile(scales, (0.1, 0.5, 0.9))).max() < (
        1.2 * profile.zoom**2 + 0.01
    )


@pytest.mark.parametrize("name", ["radiograph", "natural"])
def test_light_follows_fastais_law_at_mid_grey(name: str) -> None:
    """fastai works on logits, ours on grey levels: at 0.5 a change of brightness is the same number, and the slope
    there is fastai's factor of contrast."""
    profile, parts = PROFILES[name], drawn_parts(name)
    torch.manual_seed(0)
    grey = TensorImage(torch.full((N, 1, 1, 1), 0.5))
    level = Brightness(max_lighting=2 * profile.brightness, p=1.0)(grey, split_idx=0).flatten().numpy() - 0.5
    assert ks_2samp(parts["bias"], level).statistic < KS_1_IN_1000
    step = 1e-3
    pair = TensorImage(torch.tensor([0.5 - step, 0.5 + step]).expand(N, 1, 1, 2).clone())
    moved = Contrast(max_lighting=profile.contrast, p=1.0)(pair, split_idx=0).as_subclass(torch.Tensor)[:, 0, 0]
    slope = ((moved[:, 1] - moved[:, 0]) / (2 * step)).numpy()
    # fastai's factor is log-uniform: its upper end lies contrast squared higher
    assert np.abs(np.quantile(parts["gain"], (0.1, 0.5, 0.9)) - np.quantile(slope, (0.1, 0.5, 0.9))).max() < (
        1.2 * profile.contrast**2 + 0.01
    )


def test_the_comparison_of_laws_would_notice_another_one() -> None:
    other = drawn_parts("radiograph")["angle"] * 1.15
    assert ks_2samp(other, drawn_parts("radiograph")["angle"]).statistic > KS_1_IN_1000
