"""The layout of the histograms: where each bar, tick and label goes. The page's template draws them."""

import dataclasses
import math
from collections.abc import Sequence

from hdnet.pipeline.steps.summary import BINS, HISTOGRAMS, Summary

WIDTH, HEIGHT = 340, 170
LEFT, RIGHT, TOP, BOTTOM = 38, 330, 10, 148
"""The plot within the picture."""
FEWEST_BINS = 8
MOST_TICKS = 6

PERCENTAGES = ("clipped_ratio", "foreground_ratio")
"""Columns with values of 0 to 1 that are shown in percent."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of chart: what it shows, in which unit, and its columns; the first of two is the one before."""

    title: str
    unit: str
    columns: tuple[str, ...]


KINDS = (
    Kind("Distance from the reference", "PSNR in dB; higher is closer", ("input_psnr", "psnr")),
    Kind("Gap between foreground and background", "CIELAB units", ("gap_before", "gap_after")),
    Kind("Change inside the mask", "mean CIEDE2000", ("delta_e",)),
    Kind("Clipped values inside the mask", "percentage of its channel values", ("clipped_ratio",)),
    Kind("Size of the foreground", "percentage of the image", ("foreground_ratio",)),
    Kind("Network time", "seconds per image", ("seconds_network",)),
)


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar, with the text that appears when one points at it."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclasses.dataclass(frozen=True)
class Tick:
    """A place on an axis, with its number."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart of one kind, laid out.

    Attributes:
        kind: What it shows.
        bars: Filled bars of the only column, or of the second of two.
        steps: Points of the stepped line of the first of two columns, "" if there is only one.
        across: Ticks of the horizontal axis, for values.
        up: Ticks of the vertical axis, for counts.
        means: Means of the columns in order, None where the summary has none.
    """

    kind: Kind
    bars: tuple[Bar, ...]
    steps: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    means: tuple[str | None, ...]


def charts(summary: Summary) -> list[Chart]:
    """Lay out every kind of chart for which the run has numbers."""
    return [chart(kind, summary) for kind in KINDS if all(name in summary.bins for name in kind.columns)]


def chart(kind: Kind, summary: Summary) -> Chart:
    """Lay out one chart, cropped to the bins that hold something."""
    counts = [summary.bins[name] for name in kind.columns]
    first, last = _window(kind.columns[0], counts)
    top = max(max(column) for column in counts)
    bars = [_bars(kind.columns[0], column, first, last, top) for column in counts]
    return Chart(
        kind=kind,
        bars=bars[-1],
        steps=_steps(bars[0]) if len(bars) > 1 else "",
        across=_across(kind.columns[0], first, last),
        up=tuple(Tick(_height(level, top), f"{level:,.0f}") for level in _round_levels(0, top, 3, whole=True)),
        means=tuple(_mean(name, summary) for name in kind.columns),
    )


def _mean(name: str, summary: Summary) -> str | None:
    mean = summary.mean(name)
    return None if mean is None else f"{mean:.2%}" if name in PERCENTAGES else f"{mean:.2f}"


def _window(name: str, counts: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return the first bin to draw and the one after the last; a range that starts at 0 is drawn from 0."""
    filled = [i for i in range(BINS) if any(column[i] for column in counts)]
    first = 0 if HISTOGRAMS[name][0] == 0 else max(0, filled[0] - 1)
    last = min(BINS, max(filled[-1] + 2, first + FEWEST_BINS))
    return max(0, min(first, last - FEWEST_BINS)), last


def _edge(name: str, index: int) -> float:
    low, high = HISTOGRAMS[name]
    return low + (high - low) * index / BINS


def _text(name: str, value: float) -> str:
    return f"{100 * value:.4g}%" if name in PERCENTAGES else f"{value:.4g}"


def _label(name: str, index: int, count: int) -> str:
    """Say what a bar counts; the first and the last also count what lies outside the range."""
    start, end = (_text(name, _edge(name, i)) for i in (index, index + 1))
    values = f"{start} and more" if index == BINS - 1 else f"{start} to {end}"
    if index == 0 and HISTOGRAMS[name][0] > 0:
        values = f"less than {end}"
    return f"{values}: {count:,}"


def _height(count: float, top: int) -> float:
    return BOTTOM - (BOTTOM - TOP) * count / top


def _bars(name: str, counts: Sequence[int], first: int, last: int, top: int) -> tuple[Bar, ...]:
    step = (RIGHT - LEFT) / (last - first)
    return tuple(
        Bar(
            x=round(LEFT + step * (i - first), 2),
            y=round(_height(counts[i], top), 2),
            width=round(step, 2),
            height=round(BOTTOM - _height(counts[i], top), 2),
            label=_label(name, i, counts[i]),
        )
        for i in range(first, last)
    )


def _steps(bars: Sequence[Bar]) -> str:
    tops = [f"{x:g},{bar.y:g}" for bar in bars for x in (bar.x, bar.x + bar.width)]
    return " ".join([f"{LEFT},{BOTTOM}", *tops, f"{RIGHT},{BOTTOM}"])


def _across(name: str, first: int, last: int) -> tuple[Tick, ...]:
    start, end = _edge(name, first), _edge(name, last)
    levels = _round_levels(start, end, MOST_TICKS)
    return tuple(
        Tick(round(LEFT + (RIGHT - LEFT) * (value - start) / (end - start), 2), _text(name, value)) for value in levels
    )


def _round_levels(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Return at most `most` + 1 evenly spaced round numbers from low to high."""
    size = 10 ** math.floor(math.log10((high - low) / most))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor * most >= (high - low) * (1 - 1e-9))
    step = max(step, 1) if whole else step
    start = math.ceil(low / step - 1e-9)
    return [i * step for i in range(start, math.floor(high / step + 1e-9) + 1)]
