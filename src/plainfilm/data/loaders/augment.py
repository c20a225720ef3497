"""Augmentation profiles as tables, and keyed random draws of their parameters (numpy; augment_batch.py applies them)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.base.seeds import AUGMENT, mix, uniform


@dataclass(frozen=True)
class Profile:
    """Largest change of each kind. Geometry, brightness and contrast are drawn uniformly and symmetrically about no
    change. Each kind of texture is drawn for half of the images: gamma uniformly on the log, detail and noise uniformly.

    `rotate_deg` in degrees; `zoom` and `shift` as shares of the image; `aspect`: largest |log| of width over height;
    `erase`: largest share of the image under a grey rectangle, in half of the images; `brightness` in units of the full range;
    `contrast` as a factor's distance from 1; `flip` = probability of a left-right flip. `gamma`: largest |log| of the
    power of the grey levels; `blur`: largest share of the fine detail (below 1/128 of the side) that is removed,
    `sharpen`: largest share that is added; `noise`: largest standard deviation, in units of the full range.
    """

    rotate_deg: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    aspect: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    flip: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    sharpen: float = 0.0
    noise: float = 0.0
    erase: float = 0.0


# radiograph: no flip (the heart is on the left) and no crop; zoom and shift stay small enough to keep the lungs in the
# image. 17 chest X-ray networks did better without strong geometry (Elgendi et al. 2021).
PROFILES = {
    "radiograph": Profile(rotate_deg=7, zoom=0.06, shift=0.04, brightness=0.08, contrast=0.15),
    # machines differ in sharpness, noise and grey curve; each is left unchanged in half of the images
    "robust": Profile(
        rotate_deg=7,
        zoom=0.06,
        shift=0.04,
        brightness=0.08,
        contrast=0.25,
        gamma=0.4,
        blur=1.0,
        sharpen=1.5,
        noise=0.05,
    ),
    # a resize to squares keeps the aspect as a stretched body, which reveals the class where sizes differ by class; the
    # rectangle keeps a network from relying on one corner
    "strong": Profile(
        rotate_deg=10,
        zoom=0.15,
        shift=0.08,
        aspect=0.25,
        brightness=0.15,
        contrast=0.4,
        gamma=0.5,
        blur=1.0,
        sharpen=1.5,
        noise=0.06,
        erase=0.2,
    ),
    "natural": Profile(rotate_deg=15, zoom=0.15, shift=0.08, brightness=0.15, contrast=0.25, flip=0.5),
    "none": Profile(),
}


_COLOURED = 0.9  # share of the images


def natural_note(grey: np.ndarray, profile: str = "radiograph") -> list[str]:
    """That colour photographs have a profile of their own, where nearly all images are in colour; else nothing.

    Colour is all that is known of them: slides and skin are in colour too, and X-rays saved as RGB are not. So it proposes,
    and says for which images not.

    Args:
        grey: bool (n,), whether an image holds no colour, also where it is saved with three channels.
        profile: the one in use; one that was chosen needs no proposal.
    """
    colour = int(np.count_nonzero(~grey.astype(bool)))
    if profile != "radiograph" or not len(grey) or colour < _COLOURED * len(grey):
        return []
    return [
        f"{colour:,} of {len(grey):,} images are in colour. For photographs --augment natural may suit them better than "
        "radiograph: it mirrors, turns and shifts more. Not where left and right differ, as in letters or eyes."
    ]


@dataclass(frozen=True)
class _Draw:
    """Parameters of one batch.

    `matrix`: float32 (n, 2, 3), output to input coordinates in -1..1, as torch's affine_grid takes them;
    `gain`, `bias`: float32 (n,), new = (old - 0.5) * gain + 0.5 + bias on pixels in 0..1.
    """

    matrix: np.ndarray
    gain: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Texture:
    """Parameters of one batch, float32 (n,): power of the grey levels; share of the fine detail that is added (below 0:
    removed); standard deviation of the noise; and the seeds of the noise, int64 (n,). `hole`: float32 (n, 5), a
    rectangle as left, top, right and bottom in 0..1, empty for none, and its grey level.
    """

    power: np.ndarray
    detail: np.ndarray
    noise_sd: np.ndarray
    noise_seed: np.ndarray
    hole: np.ndarray


def draw_texture(
    profile: Profile, seed: int, phase: int, epoch: int, keys: np.ndarray, times: np.ndarray
) -> Texture | None:
    """Changes to sharpness, noise and grey curve of each image of a batch; None where the profile has none.

    Each kind is drawn for half of the images only, so that the network also sees unchanged ones.
    """
    if not (profile.gamma or profile.blur or profile.sharpen or profile.noise or profile.erase):
        return None
    place = (seed, AUGMENT, phase, epoch, keys, times)
    u = np.stack([uniform(*place, j) for j in range(10, 16)])
    power = np.where(u[0] < 0.5, np.exp(profile.gamma * (2 * u[1] - 1)), 1.0)
    detail = np.where(u[2] < 0.5, u[3] * (profile.blur + profile.sharpen) - profile.blur, 0.0)
    noise_sd = np.where(u[4] < 0.5, profile.noise * u[5], 0.0)
    return Texture(
        power.astype(np.float32), detail.astype(np.float32), noise_sd.astype(np.float32),
        (mix(*place, 16) >> np.uint64(1)).astype(np.int64), _hole(profile, np.stack([uniform(*place, j) for j in range(17, 23)])),
    )  # fmt: skip


def _hole(profile: Profile, u: np.ndarray) -> np.ndarray:
    """Rectangles of up to `erase` of the image, half to twice as wide as high, wholly inside it."""
    area = np.where(u[0] < 0.5, profile.erase * u[1], 0.0)
    ratio = np.exp(np.log(2) * (2 * u[2] - 1))
    width, height = np.sqrt(area * ratio), np.sqrt(area / ratio)
    left, top = u[3] * (1 - width), u[4] * (1 - height)
    return np.stack([left, top, left + width, top + height, u[5]], axis=1).astype(np.float32)


def draw(profile: Profile, seed: int, phase: int, epoch: int, keys: np.ndarray, times: np.ndarray) -> _Draw:
    """Changes to each image of a batch, as a function of its content and position in the run.

    Args:
        keys: int64 (n,), content keys.
        times: int64 (n,), how often this content was drawn before in this epoch.
    """
    u = np.stack([uniform(seed, AUGMENT, phase, epoch, keys, times, j) for j in range(8)])
    angle, zoom, dx, dy, bright, contrast = 2 * u[:6] - 1
    wide = np.exp(profile.aspect * (u[7] - 0.5))  # half of the log on each axis
    theta = np.deg2rad(profile.rotate_deg) * angle
    scale = 1 + profile.zoom * zoom
    mirror = np.where(u[6] < profile.flip, -1.0, 1.0)
    cos, sin = np.cos(theta) * scale, np.sin(theta) * scale
    matrix = np.stack([
        np.stack([cos * mirror * wide, -sin * wide, 2 * profile.shift * dx], axis=1),
        np.stack([sin * mirror / wide, cos / wide, 2 * profile.shift * dy], axis=1),
    ], axis=1)  # fmt: skip
    return _Draw(
        matrix.astype(np.float32),
        (1 + profile.contrast * contrast).astype(np.float32),
        (profile.brightness * bright).astype(np.float32),
    )
