"""One drawn chest film.

A film is a sum of parts (body, lungs, ribs, heart, ...) in "whiteness", 0 = black air and 1 = white bone, on a plane
whose x and y run from -1 to 1, y downwards. Image left is the patient's right, as on any frontal film. Three
independent random streams draw the patient (anatomy), the image (pose, exposure, noise) and the opacity. A patient drawn
with and without pneumonia is therefore the same film outside the opacity, byte for byte.
"""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

_Plane = npt.NDArray[Any]  # float32 (size_px, size_px), or a row or column that broadcasts to it
Film = npt.NDArray[np.uint8]
_TEXTURE_PX = 128  # textures are drawn at this size, then resized: a patient is the same at every size_px
ANATOMY, OPACITY = 0, 1001  # last word of a stream's seed; an image's is its own number, 1..4

# Whiteness of an opacity; the weakest are lost in the markings of a healthy lung. FLECK and GAP set the mean of the mottle:
# at GAP 0.20 the brightness of 8x8 thumbnails alone reached AUROC 0.83 (2,000 films of 64 px), at 0.42 it reaches 0.70;
# the paper's network, which sees the grain, scores the same with either.
STRENGTH, FLECK, GAP = (0.16, 0.42), 1.5, 0.42
_OPACITY_LIMIT = 0.76  # largest |x|, |y| of an opacity; the outer 8 % start at 0.81 (32 px), resizing spreads 0.06 more


def _between(low: float, high: float) -> Any:
    """A field that `_drawn` fills uniformly from this range."""
    return field(metadata={"range": (low, high)})


def _drawn(kind: type, rng: np.random.Generator) -> Any:
    """A random `_DrawnAnatomy` or `_DrawnView`."""
    return kind(**{f.name: rng.uniform(*f.metadata["range"]) for f in fields(kind)})


@dataclass(frozen=True)
class _DrawnAnatomy:
    """What the films of one patient share: lengths in plane units (a film is 2 wide), strengths in whiteness."""

    width: float = _between(0.64, 0.74)  # half the width of the rib cage
    apex: float = _between(-0.80, -0.70)  # y of the top of the lungs
    dome: float = _between(0.34, 0.52)  # y of the right dome of the diaphragm
    dome_gap: float = _between(0.02, 0.08)  # how much lower the left dome is
    heart: float = _between(0.28, 0.42)  # half the width of its left part
    flank: float = _between(0.86, 0.97)  # half the width of the trunk
    rib_phase: float = _between(0.0, 1.0)
    rib_pitch: float = _between(0.155, 0.185)  # distance between two ribs
    rib_slope: float = _between(0.50, 0.85)
    rib_strength: float = _between(0.05, 0.11)
    spine_strength: float = _between(0.07, 0.16)
    vessel_strength: float = _between(0.10, 0.24)
    breast_strength: float = _between(-0.14, 0.14)  # below 0: no breast shadow, half of the patients
    breast_y: float = _between(0.12, 0.32)
    bubble: float = _between(0.0, 0.25)  # gas in the stomach


@dataclass(frozen=True)
class _DrawnView:
    """What differs between two films of a patient. Independent of the image: an exposure that depends on it, as automatic
    exposure control does, would leak the class to the border of the film."""

    shift_x: float = _between(-0.05, 0.05)
    shift_y: float = _between(-0.05, 0.05)
    scale: float = _between(0.95, 1.05)
    turn: float = _between(-0.05, 0.05)  # radians
    offset: float = _between(-0.03, 0.07)
    gain: float = _between(0.82, 1.08)
    gamma: float = _between(0.85, 1.20)
    tilt_x: float = _between(-0.04, 0.04)  # uneven exposure, whiteness from the centre to the edge
    tilt_y: float = _between(-0.04, 0.04)
    noise: float = _between(0.012, 0.030)  # standard deviation, of 0..1


def _ramp(t: _Plane, soft: float) -> _Plane:
    """0 where t <= -soft, 1 where t >= soft, smooth between."""
    s = np.clip(t * (0.5 / soft) + 0.5, 0.0, 1.0)
    return s * s * (3.0 - 2.0 * s)


def _ellipse(x: _Plane, y: _Plane, at: tuple[float, float], radius: tuple[float, float]) -> _Plane:
    """1 in the centre `at`, 0 on the rim, negative outside."""
    return 1.0 - np.square((x - at[0]) / radius[0]) - np.square((y - at[1]) / radius[1])


def _blob(x: _Plane, y: _Plane, at: tuple[float, float], low: float, high: float, rng: np.random.Generator) -> _Plane:
    """1 in the centre `at`, falling off smoothly over two radii drawn from `low`..`high`."""
    return np.exp(2.0 * (_ellipse(x, y, at, (rng.uniform(low, high), rng.uniform(low, high))) - 1.0))


def _resize(plane: _Plane, size_px: int) -> _Plane:
    """A square plane at another size, bicubic."""
    resized = Image.fromarray(plane).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.float32)


def _grid(size_px: int) -> tuple[_Plane, _Plane]:
    """x (1, size_px) and y (size_px, 1) of the pixel centres, -1..1."""
    axis = ((np.arange(size_px) + 0.5) * (2.0 / size_px) - 1.0).astype(np.float32)
    return axis[None, :], axis[:, None]


def _posed(x: _Plane, y: _Plane, view: _DrawnView) -> tuple[_Plane, _Plane]:
    """Patient coordinates of each point of the film."""
    cos, sin = float(np.cos(view.turn)) / view.scale, float(np.sin(view.turn)) / view.scale
    dx, dy = x - view.shift_x, y - view.shift_y
    return cos * dx + sin * dy, cos * dy - sin * dx


def _body(x: _Plane, y: _Plane, a: _DrawnAnatomy) -> _Plane:
    """Neck, shoulders and trunk, 0..1; the rest of the film is air."""
    side = np.abs(x)
    shoulder = -0.98 + 0.13 * _ramp(side - 0.25, 0.12) + 0.42 * np.square(np.clip(side - 0.22, 0.0, None))
    neck = _ramp(0.23 + 0.10 * _ramp(y + 0.95, 0.15) - side, 0.04)
    trunk = _ramp(y - shoulder, 0.05) * _ramp(a.flank + 0.25 * _ramp(-0.25 - y, 0.3) - side, 0.03)
    whole: _Plane = np.maximum(neck, trunk)
    return whole


def _diaphragm(x: _Plane, a: _DrawnAnatomy) -> _Plane:
    """y of the diaphragm over x: a dome on each side, the right one (image left) higher."""
    return a.dome + a.dome_gap * _ramp(x, 0.1) + 1.1 * np.square(np.abs(x) - 0.5 * a.width)


def _lungs(x: _Plane, y: _Plane, a: _DrawnAnatomy) -> _Plane:
    """Both lung fields, 0..1: the rib cage beside the mediastinum and above the diaphragm."""
    cage = _ellipse(x, y, (0.0, 0.25), (a.width, 0.25 - a.apex))
    beside = np.abs(x) - 0.115 - 0.04 * _ramp(y, 0.4)
    return _ramp(cage, 0.10) * _ramp(beside, 0.035) * _ramp(_diaphragm(x, a) - y, 0.025)


def _heart(x: _Plane, y: _Plane, a: _DrawnAnatomy) -> _Plane:
    """Heart and aortic arch, 0..1."""
    low = a.dome - 0.13
    left = _ramp(_ellipse(x, y - 0.25 * x, (0.06, low), (a.heart, 0.30)), 0.16)
    right = _ramp(_ellipse(x, y, (-0.05, low - 0.02), (0.21, 0.27)), 0.2)
    arch = _ramp(_ellipse(x, y, (0.09, -0.28), (0.12, 0.11)), 0.35)
    return np.maximum(np.maximum(left, right), 0.8 * arch)


def _ribs(x: _Plane, y: _Plane, a: _DrawnAnatomy) -> _Plane:
    """The ribs, about 0..1: posterior arcs (strong) and anterior arcs (faint), inside the rib cage."""
    side = np.abs(x)
    behind = (y - a.rib_slope * (np.square(side) - 0.45 * side)) / a.rib_pitch + a.rib_phase
    front = (y + 0.75 * side - 0.35 * np.square(side)) / (1.3 * a.rib_pitch) + 2.0 * a.rib_phase
    cage = _ramp(_ellipse(x, y, (0.0, 0.25), (a.width + 0.05, 0.30 - a.apex)), 0.06)
    seen = 1.0 - 0.7 * _ramp(y - _diaphragm(x, a), 0.1)  # the abdomen's scatter hides the lower ribs
    banks = []
    for phase in (behind, front):
        off = np.abs(phase - np.round(phase))  # 0 on the middle of a rib, 0.5 between two
        banks.append(_ramp(0.22 - off, 0.05) * (0.65 + 1.6 * off))  # 44 % rib with a brighter cortex, 56 % gap
    return cage * seen * (banks[0] * _ramp(side - 0.1, 0.05) + 0.6 * banks[1] * _ramp(side - 0.28, 0.12))


def _bones(x: _Plane, y: _Plane, a: _DrawnAnatomy) -> _Plane:
    """Ribs, spine, clavicles and scapulae, whiteness."""
    side = np.abs(x)
    spine = a.spine_strength * _ramp(0.08 - side, 0.04) * (0.85 + 0.15 * np.cos(2.5 * np.pi * y / a.rib_pitch))
    collar_y = a.apex + 0.16 - 0.16 * (side - 0.08) + 0.03 * np.sin(7.0 * side)
    collar = 0.16 * _ramp(0.035 - np.abs(y - collar_y), 0.02) * _ramp(side - 0.07, 0.03)
    blade = 0.09 * _ramp(_ellipse(side - 0.25 * y, y, (0.80, -0.32), (0.17, 0.36)), 0.25)
    return spine + collar + blade + a.rib_strength * _ribs(x, y, a)


def _soft_tissue(x: _Plane, y: _Plane, a: _DrawnAnatomy, rng: np.random.Generator) -> _Plane:
    """Breasts and two to five smooth shadows, whiteness: brightness of the lung alone says little about the class."""
    breast = _ellipse(np.abs(x), y, (0.43, a.breast_y), (0.33, 0.30))
    shade = max(0.0, a.breast_strength) * _ramp(breast, 0.35) * _ramp(y - a.breast_y + 0.12, 0.25)
    for _ in range(rng.integers(2, 6)):
        at = (rng.uniform(-0.6, 0.6), rng.uniform(-0.55, 0.45))
        shade = shade + rng.uniform(-0.10, 0.22) * _blob(x, y, at, 0.16, 0.42, rng)
    return shade


def _vessels(rng: np.random.Generator, size_px: int) -> _Plane:
    """Vascular markings that run out from the two hila, 0..1, (size_px, size_px) in the patient's coordinates."""
    plane = np.zeros((_TEXTURE_PX, _TEXTURE_PX), dtype=np.float32)
    t = np.linspace(0.0, 1.0, 40)
    for side in np.repeat((-1.0, 1.0), 18):
        reach, angle = rng.uniform(0.25, 0.62), rng.uniform(-1.35, 1.35) + rng.normal(0.0, 0.5) * t
        x = side * (0.15 + rng.uniform(0.0, 0.07) + reach * t * np.cos(angle))
        y = rng.uniform(-0.10, 0.08) + 1.15 * reach * t * np.sin(angle)
        row, column = (((at + 1.0) * _TEXTURE_PX / 2).astype(int) for at in (y, x))
        plane[row, column] += (1.0 - t) * rng.uniform(0.4, 1.0)
    return _resize(np.tanh(gaussian_filter(plane, 0.7) + 0.8 * gaussian_filter(plane, 2.0)), size_px)


def _mottle(rng: np.random.Generator, size_px: int) -> _Plane:
    """Flecks and gaps, 0..1, (size_px, size_px): smooth noise of 2 to 3 % of the film and, weaker, of half that."""
    noise: _Plane = np.zeros(1, dtype=np.float32)
    grain = rng.uniform(0.022, 0.034) * _TEXTURE_PX / 2
    for weight, sigma in ((0.9, grain), (0.3, grain / 2)):
        white = rng.standard_normal((_TEXTURE_PX, _TEXTURE_PX), dtype=np.float32)
        smooth = gaussian_filter(white, sigma, mode="wrap")
        noise = noise + weight * smooth / smooth.std()
    return _resize(_ramp(noise, 1.8), size_px)


def _draw_chest(x: _Plane, y: _Plane, a: _DrawnAnatomy, rng: np.random.Generator) -> _Plane:
    """A chest without disease, whiteness about 0..1.3, before exposure; `rng` is the patient's."""
    beat = _heart(x, y, a)
    aerated = _lungs(x, y, a) * (1.0 - 0.9 * beat)
    below = _ramp(y - _diaphragm(x, a), 0.03)
    tissue = 0.49 + 0.16 * np.exp(-np.square(x / 0.55)) + 0.08 * below - 0.40 * aerated + 0.08 * beat
    trachea = 0.10 * _ramp(0.045 - np.abs(x), 0.03) * _ramp(-0.22 - y, 0.1)
    bubble = a.bubble * _ramp(_ellipse(x, y, (0.36, a.dome + a.dome_gap + 0.13), (0.14, 0.09)), 0.3)
    marks = a.vessel_strength * _vessels(rng, x.shape[0]) * (0.25 + 0.75 * aerated)
    return _body(x, y, a) * (tissue - trachea - bubble + marks + _bones(x, y, a) + _soft_tissue(x, y, a, rng))


def _draw_opacity(x: _Plane, y: _Plane, a: _DrawnAnatomy, rng: np.random.Generator) -> _Plane:
    """One patient's pneumonia, whiteness: one to three soft, fluffy patches, or a single large one (30 %, lobar).

    Its grain, more than its brightness, distinguishes it from the smooth shadows of `_soft_tissue`: white flecks with
    dark gaps (air in the bronchi) between them. It fades over the heart and ends at the edge of the lungs.
    """
    grain = FLECK * _mottle(rng, x.shape[0]) - GAP
    lobar = rng.random() < 0.3
    low, high = (0.32, 0.46) if lobar else (0.18, 0.34)
    patches = np.zeros_like(grain)
    for _ in range(1 if lobar else rng.integers(1, 4)):
        side = -1.0 if rng.random() < 0.5 else 1.0
        at = (side * rng.uniform(0.26, 0.50), rng.uniform(-0.40, 0.30))
        patches = np.maximum(patches, _blob(x, y, at, low, high, rng))
    where = _ramp(patches - 0.35, 0.35) * _lungs(x, y, a) * (1.0 - 0.7 * _heart(x, y, a))
    return rng.uniform(*STRENGTH) * where * grain


def _expose(film: _Plane, view: _DrawnView, rng: np.random.Generator) -> Film:
    """The film as 8-bit grey values: tilt, gain, gamma and noise, pixel by pixel."""
    x, y = _grid(film.shape[0])
    light = 1.05 * np.tanh(view.offset + view.gain * film + view.tilt_x * x + view.tilt_y * y)
    grain = view.noise * rng.standard_normal(film.shape, dtype=np.float32)
    return (np.clip(np.clip(light, 0.0, 1.0) ** view.gamma + grain, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def draw_phantom(size_px: int, *, seed: int, patient: int, k: int, opacity: bool) -> Film:
    """Film `k` (1, 2, ...) of a patient, uint8 (size_px, size_px), with the patient's pneumonia or without."""
    # Parts are drawn at half the size from 128 px on: 4x less work, and a real film is no sharper than that.
    half_px = size_px // 2 if size_px >= 128 else size_px
    anatomy_rng, view_rng = (np.random.default_rng([seed, patient, stream]) for stream in (ANATOMY, k))
    a, view = _drawn(_DrawnAnatomy, anatomy_rng), _drawn(_DrawnView, view_rng)
    film_x, film_y = _grid(half_px)
    x, y = _posed(film_x, film_y, view)
    film = _draw_chest(x, y, a, anatomy_rng)
    if opacity:
        inside = _ramp(_OPACITY_LIMIT - 0.05 - np.maximum(np.abs(film_x), np.abs(film_y)), 0.05)
        film += inside * _draw_opacity(x, y, a, np.random.default_rng([seed, patient, OPACITY]))
    return _expose(_resize(film, size_px), view, view_rng)
