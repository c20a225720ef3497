"""Pictures that no radiograph network was made for: what the input gate must mark, kind by kind."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

# The gate was designed with the first; the last two were chosen when it was finished, and it was not touched again.
DESIGNED_WITH = ("inverted", "turned left", "turned right", "noise", "photo", "blank")
CHOSEN_LAST = ("page of text", "enlarged quarter")


def foreign(kind: str, films: np.ndarray, seed: int = 0) -> np.ndarray:
    """As many pictures of a kind as there are films, uint8 (n, s, s); some are the films themselves, changed."""
    rng, size = np.random.default_rng(seed), films.shape[1]
    made = {
        "inverted": lambda: 255 - films,
        "turned left": lambda: np.rot90(films, 1, (1, 2)),
        "turned right": lambda: np.rot90(films, -1, (1, 2)),
        "upside down": lambda: films[:, ::-1],
        "noise": lambda: rng.integers(0, 256, films.shape),
        "photo": lambda: np.stack([_crop(photos()[i % 3], size, rng) for i in range(len(films))]),
        "blank": lambda: np.broadcast_to(rng.integers(0, 256, (len(films), 1, 1)), films.shape),
        "page of text": lambda: np.stack([_page(size, rng) for _ in films]),
        "enlarged quarter": lambda: np.stack([_quarter(film, i) for i, film in enumerate(films)]),
    }[kind]()
    return np.ascontiguousarray(made, dtype=np.uint8)


@cache
def photos() -> list[Image.Image]:
    """A temple, a flower and a person: the photos that scikit-learn and matplotlib bring with them, in grey."""
    person = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    with Image.open(person) as opened:
        return [picture.convert("L") for picture in (*pictures, opened)]


def _crop(photo: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    side = int(rng.integers(min(size, *photo.size), min(photo.size) + 1))
    x, y = (int(rng.integers(0, length - side + 1)) for length in photo.size)
    return np.asarray(photo.crop((x, y, x + side, y + side)).resize((size, size), Image.Resampling.BILINEAR))


def _page(size: int, rng: np.random.Generator) -> np.ndarray:
    page = Image.new("L", (256, 256), 255)
    draw, ink = ImageDraw.Draw(page), int(rng.integers(0, 80))
    for y in range(int(rng.integers(4, 30)), 250, 12):
        line = "".join(chr(letter) for letter in rng.integers(97, 123, int(rng.integers(10, 36))))
        draw.text((int(rng.integers(4, 30)), y), line, fill=ink)
    return np.asarray(page.resize((size, size), Image.Resampling.BILINEAR))


def _quarter(film: np.ndarray, i: int) -> np.ndarray:
    half = len(film) // 2
    y, x = (i % 2) * half, (i // 2 % 2) * half
    part = Image.fromarray(film[y : y + half, x : x + half])
    return np.asarray(part.resize(film.shape[::-1], Image.Resampling.BILINEAR))
