"""Plots as plain numbers: where bars, lines, dots, ticks and labels go. The macro `plot` draws them as SVG."""

import dataclasses
import math
from collections.abc import Callable, Sequence

MOST_TICKS = 6
"""Ticks of the horizontal axis, less one."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A picture of `width` x `height` units, and the plot's sides within it."""

    width: int = 340
    height: int = 170
    left: int = 38
    right: int = 330
    top: int = 10
    bottom: int = 148

    def x(self, value: float, low: float, high: float) -> float:
        """Return where a value lies across, if the plot shows low to high."""
        return round(self.left + (self.right - self.left) * (value - low) / (high - low), 2)

    def y(self, value: float, low: float, high: float) -> float:
        """Return where a value lies from the top."""
        return round(self.bottom - (self.bottom - self.top) * (value - low) / (high - low), 2)


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar, with the text that appears when one points at it, and whether it stands for something bad."""

    x: float
    y: float
    width: float
    height: float
    label: str
    minus: bool = False


@dataclasses.dataclass(frozen=True)
class Dot:
    """A dot, with the text that appears when one points at it, and whether it stands for something bad."""

    x: float
    y: float
    label: str
    minus: bool = False


@dataclasses.dataclass(frozen=True)
class Tick:
    """A place on an axis, with its number."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot, laid out.

    Attributes:
        across: Ticks of the horizontal axis.
        up: Ticks of the vertical axis.
        bars, dots: What is drawn.
        line: Points of a line, "" if there is none.
        line_class: "before" for the outline of a second histogram, "trend" for a line through dots.
        frame: Its measures.
    """

    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    line: str = ""
    line_class: str = "before"
    frame: Frame = Frame()


def across(frame: Frame, low: float, high: float, text: Callable[[float], str]) -> tuple[Tick, ...]:
    """Return the ticks of a horizontal axis from low to high."""
    return tuple(Tick(frame.x(value, low, high), text(value)) for value in round_levels(low, high, MOST_TICKS))


def up(frame: Frame, low: float, high: float, text: Callable[[float], str], whole: bool = False) -> tuple[Tick, ...]:
    """Return the ticks of a vertical axis from low to high, at whole numbers if it counts something."""
    return tuple(Tick(frame.y(value, low, high), text(value)) for value in round_levels(low, high, 3, whole))


def bars(frame: Frame, counts: Sequence[int], top: int, label: Callable[[int], str], minus: int = 0) -> tuple[Bar, ...]:
    """Lay out a histogram that fills the plot.

    Args:
        frame: The plot's measures.
        counts: The count of each bin.
        top: The count at the upper end of the plot.
        label: Returns the text of a bin by its index.
        minus: How many bins from the left stand for something bad.
    """
    step = (frame.right - frame.left) / len(counts)
    tops = [frame.y(count, 0, top) for count in counts]
    return tuple(
        Bar(round(frame.left + step * i, 2), y, round(step, 2), round(frame.bottom - y, 2), label(i), i < minus)
        for i, y in enumerate(tops)
    )


def line(points: Sequence[tuple[float, float]]) -> str:
    """Return the points of a polyline."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def round_levels(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Return at most `most` + 1 evenly spaced round numbers from low to high."""
    size = 10 ** math.floor(math.log10((high - low) / most))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor * most >= (high - low) * (1 - 1e-9))
    step = max(step, 1) if whole else step
    start = math.ceil(low / step - 1e-9)
    return [i * step for i in range(start, math.floor(high / step + 1e-9) + 1)]
