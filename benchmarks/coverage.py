"""Do the 95 % intervals hold the truth, and how wide are they? Simulated patients, the truth known; one core, minutes.

    python benchmarks/coverage.py                                        # as Markdown tables
    python benchmarks/coverage.py --only rates macro --repeats 4000      # some of the studies, longer
    PYTHONPATH=OTHER/src python benchmarks/coverage.py --save other.json # another version of plainfilm
    python benchmarks/coverage.py --beside other.json                    # that version and this one

A patient has 1 image, 1 to 10, or is of a skewed set: 85 % of the patients have 1 image, 15 % have 10. A rate: each
patient draws an own chance from a beta distribution (ICC: the correlation of the outcomes of two images of a patient).
A score: normal, a part of its variance belongs to the patient (ICC: that part).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from plainfilm.evaluate.metrics.measure import measure, rate_metric
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.evaluate.metrics.subgroups import subgroup_table
from plainfilm.evaluate.stats import auroc_interval, intervals

LEVEL = 0.95
Cell = dict[str, float]
Cells = Iterator[tuple[str, str, Cell]]  # row, column, what was found
SIZES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "1 image": lambda m, rng: np.ones(m, int),
    "1-10 images": lambda m, rng: rng.integers(1, 11, m),
    "skewed": lambda m, rng: np.where(rng.random(m) < 0.15, 10, 1),
}


def tally(found: Iterable[tuple[float | None, float | None]], truth: float) -> Cell:
    """Share of the limits that hold the truth, their mean width, misses below and above, and how many were estimable."""
    pairs = list(found)
    low, high = np.array([(a, b) for a, b in pairs if a is not None], float).reshape(-1, 2).T
    known = len(low)
    if not known:
        return {"known": 0.0}
    return {
        "cover": float(np.mean((low <= truth) & (truth <= high))), "width": float(np.mean(high - low)),
        "above": float(np.mean(truth > high)), "below": float(np.mean(truth < low)), "known": known / len(pairs),
    }  # fmt: skip


def patients_of(m: int, sizes: str, rng: np.random.Generator) -> np.ndarray:
    return np.repeat(np.arange(m), SIZES[sizes](m, rng))


def chances(truth: float, icc: float, m: int, rng: np.random.Generator) -> np.ndarray:
    return rng.beta(truth * (1 - icc) / icc, (1 - truth) * (1 - icc) / icc, m) if icc else np.full(m, truth)


def designs() -> Iterator[tuple[str, float, int]]:
    for sizes in SIZES:
        for icc in (0.0,) if sizes == "1 image" else (0.0, 0.3, 0.8):
            yield from ((sizes, icc, m) for m in (30, 100, 400))


def title(sizes: str, icc: float, m: int) -> str:
    return f"{sizes}{f', ICC {icc:g}' if sizes != '1 image' else ''}, {m} patients"


# --- the studies -----------------------------------------------------------------------------------------------------


def rates(repeats: int) -> Cells:
    """A proportion."""
    for sizes, icc, m in designs():
        for truth in (0.6, 0.9, 0.995):
            rng, found = np.random.default_rng(1), []
            for _ in range(repeats):
                ids = patients_of(m, sizes, rng)
                hits = rng.random(len(ids)) < chances(truth, icc, m, rng)[ids]
                found.append(intervals.proportion(hits, ids, LEVEL)[1:3])
            yield title(sizes, icc, m), f"true {truth:g}", tally(found, truth)


def macro(repeats: int) -> Cells:
    """The mean sensitivity of several classes, one image per patient, `sizes` images a class in turn.

    `spread`: the classes have different rates, the mean of which is given.
    """
    for k in (2, 10, 40):
        for sizes in ((3,), (10,), (2, 5, 20)):
            for mean, spread in ((0.7, 0.0), (0.9, 0.0), (0.98, 0.0), (0.8, 0.2)):
                rng, found = np.random.default_rng(2), []
                truth = mean + spread * np.linspace(-1, 1, k)
                targs = np.repeat(np.arange(k), np.resize(sizes, k))
                for _ in range(max(1, repeats // 4)):
                    hits = rng.random(len(targs)) < truth[targs]
                    probs = np.eye(k)[np.where(hits, targs, (targs + 1) % k)]
                    how = {"positive": 1 if k == 2 else None, "threshold": 0.5 if k == 2 else None}
                    sample = make_sample(probs, targs, np.arange(len(targs)), None, **how)
                    one = rate_metric("sensitivity", range(k), sample, LEVEL)
                    found.append((one.ci_low, one.ci_high))
                row = f"{k} classes of {'/'.join(map(str, sizes))} images"
                yield row, f"true {mean:g}{f' +- {spread:g}' if spread else ''}", tally(found, mean)


def scores_of(m: int, sizes: str, icc: float, area: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Scores, labels (half of the patients) and patients of images whose AUROC is `area`."""
    ids = patients_of(m, sizes, rng)
    labels = (np.arange(m) % 2 == 0)[ids]
    noise = icc**0.5 * rng.normal(size=m)[ids] + (1 - icc) ** 0.5 * rng.normal(size=len(ids))
    return 2**0.5 * norm.ppf(area) * labels + noise, labels, ids


def areas(repeats: int) -> Cells:
    """An AUROC, and the mean AUROC of several classes."""
    for sizes, icc, m in designs():
        for area in (0.8, 0.95, 0.99):
            rng, found = np.random.default_rng(3), []
            for _ in range(max(1, repeats // 4)):
                scores, labels, ids = scores_of(m, sizes, icc, area, rng)
                found.append(auroc_interval.auroc_interval([auroc_interval.curve(scores, labels)], ids, LEVEL)[1:3])
            yield title(sizes, icc, m), f"true {area:g}", tally(found, area)
    for k, each in ((10, 3), (10, 10), (40, 3), (40, 10)):
        for area in (0.8, 0.95, 0.99):
            rng, found, targs = np.random.default_rng(4), [], np.repeat(np.arange(k), each)
            for _ in range(max(1, repeats // 10)):
                scores = rng.normal(size=(len(targs), k)) + 2**0.5 * norm.ppf(area) * np.eye(k)[targs]
                curves = [auroc_interval.curve(scores[:, c], targs == c) for c in range(k)]
                found.append(auroc_interval.auroc_interval(curves, np.arange(len(targs)), LEVEL)[1:3])
            yield f"mean of {k} classes of {each} images", f"true {area:g}", tally(found, area)


def gaps(repeats: int) -> Cells:
    """The AUROC gap of two subgroups of the positives, against the same negatives; `rejected`: p <= 0.05."""
    for m, images in ((150, 1), (40, 1), (60, 4)):
        for a, b in ((0.9, 0.9), (0.95, 0.88)):
            rng, found, p = np.random.default_rng(5), [], []
            names = np.repeat(["", "a", "b"], m * images)
            ids = np.arange(3 * m * images) // images
            shift = 2**0.5 * norm.ppf(np.repeat([0.5, a, b], m * images))
            for _ in range(max(1, repeats // 10)):
                noise = 0.5**0.5 * (rng.normal(size=3 * m)[ids] + rng.normal(size=len(ids)))
                probs = expit(shift + (noise if images > 1 else rng.normal(size=len(ids))))
                sample = make_sample(
                    np.stack([1 - probs, probs], 1), (names != "").astype(int), ids, ids, positive=1, threshold=0.5
                )
                gap = subgroup_table(sample, list(names), "column", ["N", "P"]).gaps[0]
                found.append((gap.ci_low, gap.ci_high))
                p.append(gap.p)
            cell = tally(found, a - b) | {"rejected": float(np.mean(np.array(p) <= 0.05))}
            yield f"3 x {m} patients, {images} image{'s' * (images > 1)}", f"{a:g} against {b:g}", cell


def predictions(
    m: int, images: int, slope: float, prevalence: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and patients; the line of the scores' logits has this slope, and the intercept 0."""
    ids = np.arange(m * images) // images
    labels = (rng.random(m) < prevalence)[ids]
    noise = (
        (0.3**0.5 * rng.normal(size=m)[ids] + 0.7**0.5 * rng.normal(size=len(ids)))
        if images > 1
        else rng.normal(size=m)
    )
    shift = 2.0
    logit = shift * (shift * labels + noise) - shift**2 / 2 + np.log(prevalence / (1 - prevalence))
    return expit(logit / slope), labels, ids


def two(p: np.ndarray) -> np.ndarray:
    return np.stack([1 - p, p], axis=1)


def lines(repeats: int) -> Cells:
    """Slope and intercept of the calibration line."""
    for m, images, prevalence in ((30, 1, 0.5), (100, 1, 0.1), (100, 1, 0.5), (400, 1, 0.1), (100, 4, 0.5)):
        for slope in (1.0, 0.6):
            rng, found = np.random.default_rng(6), []
            for _ in range(max(1, repeats // 5)):
                p, y, ids = predictions(m, images, slope, prevalence, rng)
                found.append(measure(two(p), y.astype(int), clusters=ids, positive=1, threshold=0.5, n_boot=300))
            for name, truth in (("slope", slope), ("intercept", 0.0)):
                each = [found_at[f"calibration_{name}"] for found_at in found]
                row = f"{m} patients, {images} image{'s' * (images > 1)}, prevalence {prevalence:g}"
                yield row, f"{name}, true slope {slope:g}", tally([(e.ci_low, e.ci_high) for e in each], truth)


def errors(repeats: int) -> Cells:
    """The calibration error; `sure`: every score is 0.99, and 0.97 of the images are right."""
    for m, images in ((45, 1), (100, 1), (400, 1), (45, 4), (100, 4)):
        for name, slope in (("calibrated", 1.0), ("slope 0.6", 0.6), ("slope 0.3", 0.3), ("sure", 0.0)):
            rng, found, truth = np.random.default_rng(7), [], 0.02
            if slope:
                logit = predictions(200_000, 1, 1.0, 0.5, rng)[0]
                truth = float(np.abs(logit - expit(np.log(logit / (1 - logit)) / slope)).mean())
            for _ in range(max(1, repeats // 5)):
                p, y, ids = predictions(m, images, slope or 1.0, 0.5, rng)
                if not slope:
                    right = rng.random(len(ids)) < chances(0.97, 0.3, m, rng)[ids]
                    p = np.where(right == y, 0.99, 0.01)
                one = measure(two(p), y.astype(int), clusters=ids, positive=1, threshold=0.5, n_boot=300)["ece"]
                found.append((one.ci_low, one.ci_high))
            yield f"{m} patients, {images} image{'s' * (images > 1)}", f"{name} ({truth:.3f})", tally(found, truth)


STUDIES = {"rates": rates, "macro": macro, "areas": areas, "gaps": gaps, "lines": lines, "errors": errors}


# --- the tables ------------------------------------------------------------------------------------------------------


def text(name: str, new: Cell, old: Cell | None) -> str:
    """'.867 -> .951, 1.08': coverage of both versions, and how many times as wide; '.951, 0.123': of one, and its width."""

    def number(cell: Cell) -> str:
        if "cover" not in cell:
            return "-"
        known = "" if cell["known"] > 0.995 else f" of {cell['known']:.2f}"
        rejected = f" (p <= .05: {_short(cell['rejected'])})" if "rejected" in cell else ""
        return f"{_short(cell['cover'])}{known}{rejected}"

    if old is None:
        return f"{number(new)}, {new['width']:.3f}" if "width" in new else "-"
    wider = f", {new['width'] / old['width']:.2f}" if "width" in new and "width" in old else ""
    return f"{number(old)} -> {number(new)}{wider}"


def _short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0") if share < 1 else "1.0"


def markdown(name: str, cells: list[Any], beside: dict[tuple[str, str, str], Cell]) -> str:
    """One study: a row per design, a column per truth."""
    columns = list(dict.fromkeys(column for _, column, _ in cells))
    rows: dict[str, dict[str, str]] = {}
    for row, column, cell in cells:
        rows.setdefault(row, {})[column] = text(name, cell, beside.get((name, row, column)))
    lines = [f"| {name} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(found.get(column, '') for column in columns)} |" for row, found in rows.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=STUDIES, default=list(STUDIES), help="studies")
    parser.add_argument("--repeats", type=int, default=2000, help="simulations of a rate; of the others fewer")
    parser.add_argument("--save", type=Path, help="write every number to this JSON file")
    parser.add_argument("--beside", type=Path, help="a file of --save: the table shows both")
    given = parser.parse_args()
    saved = json.loads(given.beside.read_text()) if given.beside else []
    beside = {(name, row, column): cell for name, row, column, cell in saved}
    found = []
    for name in given.only:
        cells = list(STUDIES[name](given.repeats))
        found += [(name, *cell) for cell in cells]
        print(markdown(name, cells, beside), flush=True)
        if given.save:
            given.save.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
