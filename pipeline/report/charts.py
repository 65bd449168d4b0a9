"""The histograms of a run: which there are, and how each is cropped to the bins that hold something."""

import dataclasses
from collections.abc import Sequence

from hdnet.pipeline.steps.summary import BINS, HISTOGRAMS, Summary
from hdnet.transforms.pages import plots
from hdnet.transforms.pages.plots import Bar, Frame, Plot

FRAME = Frame()
FEWEST_BINS = 8

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
    Kind("Change inside the mask", "CIEDE2000, averaged over each object", ("delta_e",)),
    Kind("Clipped values inside the mask", "percentage of its channel values", ("clipped_ratio",)),
    Kind("Size of the foreground", "percentage of the image", ("foreground_ratio",)),
    Kind("Computing time", "seconds per image", ("seconds_network",)),
)


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart of one kind, laid out.

    Attributes:
        kind: What it shows.
        plot: Filled bars of the only column, or of the second of two; the first of two is its line.
        means: Means of the columns in order, None where the summary has none.
    """

    kind: Kind
    plot: Plot
    means: tuple[str | None, ...]


def charts(summary: Summary) -> list[Chart]:
    """Lay out every kind of chart for which the run has numbers."""
    return [chart(kind, summary) for kind in KINDS if all(name in summary.bins for name in kind.columns)]


def chart(kind: Kind, summary: Summary) -> Chart:
    """Lay out one chart, cropped to the bins that hold something."""
    name, counts = kind.columns[0], [summary.bins[name] for name in kind.columns]
    first, last = _window(name, counts)
    top = max(max(column) for column in counts)
    bars = [_bars(name, column, first, last, top) for column in counts]
    plot = Plot(
        across=plots.across(FRAME, _edge(name, first), _edge(name, last), lambda value: _text(name, value)),
        up=plots.up(FRAME, 0, top, lambda level: f"{level:,.0f}", whole=True),
        bars=bars[-1],
        line=_steps(bars[0]) if len(bars) > 1 else "",
        frame=FRAME,
    )
    return Chart(kind, plot, tuple(_mean(name, summary) for name in kind.columns))


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


def _bars(name: str, counts: Sequence[int], first: int, last: int, top: int) -> tuple[Bar, ...]:
    return plots.bars(FRAME, counts[first:last], top, lambda i: _label(name, first + i, counts[first + i]))


def _steps(bars: Sequence[Bar]) -> str:
    tops = [(x, bar.y) for bar in bars for x in (bar.x, bar.x + bar.width)]
    return plots.line([(FRAME.left, FRAME.bottom), *tops, (FRAME.right, FRAME.bottom)])
