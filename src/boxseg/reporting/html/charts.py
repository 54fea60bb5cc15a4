"""Charts of the report as numbers: where lines, ticks and cells go. The template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.wording import counted

WIDTH, HEIGHT = 560, 220  # of the drawing area of a curve, in units of its SVG
_MOST_POINTS = 400


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled place on an axis, in units of the SVG."""

    place: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A training curve.

    Attributes:
        summary: The curve in words.
        raw: Points of the loss, as SVG writes them.
        smooth: Points of its running mean.
        rate: Points of the learning rate, over its own range.
        x: Ticks of the iterations.
        y: Ticks of the loss.
    """

    title: str
    summary: str
    raw: str
    smooth: str
    rate: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]


def training_curve(title: str, history: Sequence[tuple[int, float, float]]) -> Curve | None:
    """The curve of (iteration, loss, learning rate) in order; None if no loss is finite."""
    rows = [row for row in history if math.isfinite(row[1])]
    if not rows:
        return None
    steps, loss, rate = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    window = max(1, len(loss) // 25)
    mean = _running_mean(loss, window)
    # One outlier must not flatten the rest.
    top = max(float(np.quantile(loss, 0.99)), float(mean.max())) * 1.05 or 1.0
    fastest = max(float(rate.max()), 1e-30) * 1.05
    first, last = mean[min(window, len(mean)) - 1], mean[-1]

    def along(values: Any) -> Any:
        return (values - steps[0]) / max(1.0, steps[-1] - steps[0]) * WIDTH

    def drawn(values: NDArray[np.float64], most: float) -> str:
        return _points(along(steps), HEIGHT - values / most * HEIGHT)

    return Curve(
        title=title,
        summary=f"{counted(int(steps[-1]), 'iteration')}; loss {first:.3g} → {last:.3g} (mean of {window}); "
        f"learning rate {rate[0]:.2g} → {rate[-1]:.2g}",
        raw=drawn(loss, top),
        smooth=drawn(mean, top),
        rate=drawn(rate, fastest),
        x=tuple(Tick(place=along(step), text=f"{step:g}") for step in round_ticks(steps[0], steps[-1])),
        y=tuple(Tick(place=HEIGHT - value / top * HEIGHT, text=f"{value:g}") for value in round_ticks(0, top)),
    )


def round_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within low..high, about `about` of them."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean of each value and the `window` - 1 before it, fewer at the start."""
    total = np.concatenate([[0.0], values.cumsum()])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - window)
    return np.asarray((total[last] - total[first]) / (last - first))


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Points of an SVG polyline, inside the chart, thinned out to what a screen can show."""
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(int))
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[keep], y[keep].clip(0, HEIGHT), strict=True))


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    """Pixels of one true class that got one label.

    Attributes:
        row: Place of the class in the rows of the chart.
        column: Place of the label in its columns.
        share: Of the pixels of the true class, 0..1.
        hit: Whether the label is right.
    """

    row: int
    column: int
    share: float
    text: str
    hit: bool


@dataclass(frozen=True, kw_only=True)
class MatrixChart:
    """A confusion matrix, every row in shares of its class.

    Attributes:
        key: Short name, letters and digits.
        title: What was compared with the ground truth.
        rows: Names of the true classes that have pixels.
        columns: Names of the labels that were given.
        cells: Those with a share of at least a thousandth.
        worst: The largest confusions, the largest first.
    """

    key: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[MatrixCell, ...]
    worst: tuple[MatrixCell, ...]


def confusion(key: str, title: str, classes: Sequence[str], counts: NDArray[np.int64]) -> MatrixChart | None:
    """A confusion matrix as it is drawn; None if no pixel was counted.

    Args:
        key: Short name.
        title: What was compared with the ground truth.
        classes: Names of classes 0..L.
        counts: (L + 1, L + 2), as in `ConfusionMatrix`.
    """
    names = (*classes, "no label (255)")
    # A class without pixels would be an empty line.
    rows = np.flatnonzero(counts.sum(1))
    columns = np.flatnonzero(counts.sum(0) + np.append(counts.sum(1), 0))
    if not len(rows):
        return None
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    cells = [
        MatrixCell(
            row=i,
            column=j,
            share=float(shares[row, column]),
            text=f"{names[row]} labelled {names[column]}: {100 * shares[row, column]:.1f} %",
            hit=bool(row == column),
        )
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        if shares[row, column] >= 0.001
    ]
    wrong = sorted((cell for cell in cells if not cell.hit), key=lambda cell: -cell.share)
    return MatrixChart(
        key=key,
        title=title,
        rows=tuple(names[row] for row in rows),
        columns=tuple(names[column] for column in columns),
        cells=tuple(cells),
        worst=tuple(wrong[:10]),
    )
