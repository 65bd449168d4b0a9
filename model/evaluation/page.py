"""The page of an evaluation: its tables, how the gains are spread, and the images of the contact sheet."""

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from hdnet.model.evaluation import contact_sheet, tables
from hdnet.model.evaluation.protocol import DecodedPair
from hdnet.model.evaluation.records import Failure, Row
from hdnet.transforms import text
from hdnet.transforms.pages import pictures, plots, template
from hdnet.transforms.pages.pictures import LARGE, SMALL, Picture
from hdnet.transforms.pages.plots import Dot, Frame, Plot, Tick
from hdnet.transforms.pixels import image, thumbnails

FRAME = Frame(width=520, height=240, right=496, bottom=216)
BINS = 40
"""The largest number of bins of a histogram, less two."""
MOST_DOTS = 2000
"""Images in the plot of gain against foreground; of more, this many are drawn."""
SMALLEST = 1e-4
"""The share of foreground at the left end of that plot."""
NAMED = 10
"""Failures that are named."""


@dataclasses.dataclass(frozen=True)
class Card:
    """An image of the page: its scores, and its pictures by name.

    The names are "composite", "result", "mask", "real photo" and "squared error".
    """

    row: Row
    pictures: Mapping[str, Picture]


def card(row: Row, decoded: DecodedPair, result: image.Pixels) -> Card:
    """Draw one image.

    Args:
        row: Its scores.
        decoded: What was measured.
        result: (H,W,3) uint8 or uint16, the network's result.
    """
    large, small = (thumbnails.fit(decoded.mask.shape, side) for side in (LARGE, SMALL))
    drawn = {
        "composite": thumbnails.thumbnail(decoded.composite, large),
        "result": thumbnails.thumbnail(result, large),
        "mask": thumbnails.spotlight(thumbnails.thumbnail(decoded.composite, small), decoded.foreground),
        "real photo": thumbnails.thumbnail(decoded.real, small),
        "squared error": contact_sheet.error_map(result, decoded.real, small),
    }
    return Card(row, {name: pictures.embed(name, picture) for name, picture in drawn.items()})


def render(
    title: str, network: str, rows: Sequence[Row], failures: Sequence[Failure], made: Sequence[tables.Table],
    cards: Mapping[str, Sequence[Card]],
) -> str:  # fmt: skip
    """Return the page of an evaluation that measured at least one image.

    Args:
        title: What was measured, and how.
        network: The network's name.
        rows: The images that were measured.
        failures: The pairs that were not.
        made: The tables.
        cards: Images to show, by heading.
    """
    return template.load("hdnet.model.evaluation", "index.html").render(
        title=title,
        network=network,
        gain=statistics.fmean(row.gain for row in rows),
        worse=sum(row.gain < 0 for row in rows),
        count=len(rows),
        before=statistics.fmean(row.composite.psnr for row in rows),
        after=statistics.fmean(row.network.psnr for row in rows),
        failures=failures,
        named=NAMED,
        tables=made,
        gains=gains(rows),
        by_foreground=by_foreground(rows),
        dots=min(len(rows), MOST_DOTS),
        cards=cards,
    )


def gains(rows: Sequence[Row]) -> Plot:
    """Lay out the histogram of the gains in PSNR; a bin ends at 0, and those below it are marked."""
    low, high = _span(rows)
    levels = plots.round_levels(low, high, BINS)
    step = levels[1] - levels[0]
    first = math.floor(low / step + 1e-9)
    filled = Counter(math.floor(row.gain / step + 1e-9) for row in rows)
    counts = [filled[i] for i in range(first, max(filled) + 1)]

    def label(i: int) -> str:
        return f"{(first + i) * step:+.4g} to {(first + i + 1) * step:+.4g} dB: {text.plural(counts[i], 'image')}"

    return Plot(
        across=plots.across(FRAME, first * step, (first + len(counts)) * step, _signed),
        up=plots.up(FRAME, 0, max(counts), lambda level: f"{level:,.0f}", whole=True),
        bars=plots.bars(FRAME, counts, max(counts), label, minus=-first),
        frame=FRAME,
    )


def by_foreground(rows: Sequence[Row]) -> Plot:
    """Lay out the gain in PSNR against the share of foreground, which has a logarithmic axis."""
    low, high = _span(rows)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    start = min(-1, math.floor(min(_exponent(row) for row in rows)))
    chosen = [rows[i * len(rows) // MOST_DOTS] for i in range(MOST_DOTS)] if len(rows) > MOST_DOTS else rows
    return Plot(
        across=tuple(Tick(FRAME.x(each, start, 0), f"{100 * 10.0**each:g}%") for each in range(start, 1)),
        up=plots.up(FRAME, low, high, _signed),
        dots=tuple(
            Dot(
                FRAME.x(_exponent(row), start, 0),
                FRAME.y(row.gain, low, high),
                f"{text.visible(row.id)}: {row.gain:+.2f} dB, foreground {row.foreground_ratio:.1%}",
                row.gain < 0,
            )
            for row in chosen
        ),
        frame=FRAME,
    )


def _signed(value: float) -> str:
    return f"{value:+.4g}" if value else "0"


def _exponent(row: Row) -> float:
    return math.log10(max(row.foreground_ratio, SMALLEST))


def _span(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the smallest and the largest gain, with 0 between them."""
    values = [row.gain for row in rows]
    low, high = min(0.0, *values), max(0.0, *values)
    return (low, high) if low < high else (low, 1.0)
