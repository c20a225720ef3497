"""Learning curves of chosen runs over each other, as lines in the coordinates of an SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PANELS = {"valid_auroc": "Valid AUROC", "valid_loss": "Valid loss", "train_loss": "Train loss"}
WIDTH, HEIGHT = 380, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 26  # room for the numbers at the axes
_MOST_POINTS = 400  # of a line: more than a screen has columns for
_LEAST, _LARGEST = 1e-6, 1e12  # the smallest range of an axis, as a share of its numbers; and what is no loss any more
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class _Tick:
    """A number at an axis, and where."""

    at: float
    text: str


@dataclass(frozen=True)
class _Line:
    """One run: `points` as SVG writes them, in pieces where an epoch has no value; `last`: its last point."""

    place: int
    name: str
    pieces: list[str]
    last: tuple[float, float]


@dataclass(frozen=True)
class _Panel:
    """One quantity by epoch; `says`: the last value of each run, for who does not see it."""

    title: str
    lines: list[_Line]
    x: list[_Tick]
    y: list[_Tick]
    says: str


def make_panels(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> list[_Panel]:
    """A panel for each quantity that a run has a number of.

    Args:
        histories: columns of history.csv by name of the run, in the order in which they are drawn.
    """
    panels = []
    for column, title in PANELS.items():
        series = {name: list(found.get(column, ())) for name, found in histories.items()}
        if any(_is_drawn(value) for values in series.values() for value in values):
            panels.append(_panel(title, series))
    return panels


def _panel(title: str, series: Mapping[str, Sequence[float]]) -> _Panel:
    numbers = [value for values in series.values() for value in values if _is_drawn(value)]
    ticks = _nice_ticks(min(numbers), max(numbers))
    low, high, epochs = ticks[0], ticks[-1], max(map(len, series.values()))

    def x(epoch: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (epoch - 1) / max(epochs - 1, 1)

    def y(value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    lines = []
    for place, (name, values) in enumerate(series.items()):
        step = -(-len(values) // _MOST_POINTS)
        kept = [i for i in range(len(values)) if i % max(step, 1) == 0 or i == len(values) - 1]
        points = [(x(i + 1), y(values[i])) if _is_drawn(values[i]) else None for i in kept]
        known = [point for point in points if point is not None]
        if known:
            lines.append(_Line(place, name, _pieces(points), known[-1]))
    last = {name: next((v for v in reversed(values) if _is_drawn(v)), None) for name, values in series.items()}
    says = "; ".join(
        f"{name} {value:.3f} after {len(series[name])}" for name, value in last.items() if value is not None
    )
    across = sorted({1, *(round(t) for t in _nice_ticks(1, max(epochs, 2)) if 1 <= t <= epochs)})
    return _Panel(
        title,
        lines,
        [_Tick(x(e), str(e)) for e in across],
        [_Tick(y(v), f"{v:.{_decimals(ticks)}f}") for v in ticks],
        says,
    )


def _decimals(ticks: Sequence[float]) -> int:
    """As many as the longest needs: 0.50 beside 0.55."""
    return max(len(f"{tick:.6f}".rstrip("0").partition(".")[2]) for tick in ticks)


def _is_drawn(value: float) -> bool:
    return abs(value) < _LARGEST  # False for NaN


def _pieces(points: Sequence[tuple[float, float] | None]) -> list[str]:
    pieces: list[list[str]] = [[]]
    for point in points:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{point[0]:.1f},{point[1]:.1f}")
    return [" ".join(piece) for piece in pieces if piece]


def _nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers, about `most` steps apart, from below `low` to above `high`."""
    span = max(high - low, _LEAST * max(1.0, abs(low), abs(high)))
    power = 10 ** math.floor(math.log10(span / most))
    step = next(power * each for each in _STEPS if power * each * most >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
