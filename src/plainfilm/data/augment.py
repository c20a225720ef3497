"""Augmentation profiles as tables, and the keyed draw of their parameters (numpy; block.py applies them)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.seeds import AUGMENT, uniform


@dataclass(frozen=True)
class Profile:
    """Largest change of each kind; all draws are uniform and symmetric about no change.

    `rotate_deg` in degrees; `zoom` and `shift` as shares of the picture; `brightness` in units of the full range;
    `contrast` as a factor's distance from 1; `flip` = probability of a left-right flip.
    """

    rotate_deg: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    flip: float = 0.0


# radiograph: no flip (the heart lies left) and no crop; zoom and shift stay small enough to keep the lungs in the
# picture. 17 chest X-ray networks did better without strong geometry (Elgendi et al. 2021).
PROFILES = {
    "radiograph": Profile(rotate_deg=7, zoom=0.06, shift=0.04, brightness=0.08, contrast=0.15),
    "natural": Profile(rotate_deg=15, zoom=0.15, shift=0.08, brightness=0.15, contrast=0.25, flip=0.5),
    "none": Profile(),
}


@dataclass(frozen=True)
class Draw:
    """Parameters of one batch.

    `matrix`: float32 (n, 2, 3), output to input coordinates in -1..1, as torch's affine_grid takes them;
    `gain`, `bias`: float32 (n,), new = (old - 0.5) * gain + 0.5 + bias on pixels in 0..1.
    """

    matrix: np.ndarray
    gain: np.ndarray
    bias: np.ndarray


def draw(profile: Profile, seed: int, phase: int, epoch: int, keys: np.ndarray, times: np.ndarray) -> Draw:
    """What happens to each image of a batch, as a function of its content and position in the run.

    Args:
        keys: int64 (n,), content keys.
        times: int64 (n,), how often this content was drawn before in this epoch.
    """
    u = np.stack([uniform(seed, AUGMENT, phase, epoch, keys, times, j) for j in range(7)])
    angle, zoom, dx, dy, bright, contrast = 2 * u[:6] - 1
    theta = np.deg2rad(profile.rotate_deg) * angle
    scale = 1 + profile.zoom * zoom
    mirror = np.where(u[6] < profile.flip, -1.0, 1.0)
    cos, sin = np.cos(theta) * scale, np.sin(theta) * scale
    matrix = np.stack([
        np.stack([cos * mirror, -sin, 2 * profile.shift * dx], axis=1),
        np.stack([sin * mirror, cos, 2 * profile.shift * dy], axis=1),
    ], axis=1)  # fmt: skip
    return Draw(
        matrix.astype(np.float32),
        (1 + profile.contrast * contrast).astype(np.float32),
        (profile.brightness * bright).astype(np.float32),
    )
