"""The report for people: one self-contained HTML page.

Everything that does not come from the template is made visible and escaped, whatever it holds, because ids, messages
and URIs come from other people. Should that ever fail, the page's own policy still forbids it to load or run anything.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from hdnet.pipeline import text
from hdnet.pipeline.report import charts, run_info
from hdnet.pipeline.report.panels import Panel
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms.catalog.rows import Record


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number of the run, in large type, with its label and a note."""

    label: str
    value: str
    note: str = ""
    bad: bool = False


@dataclasses.dataclass(frozen=True)
class Shown:
    """An image on the contact sheet.

    Attributes:
        row: Its metrics.
        panels: Its pictures.
        link: Link to the full-size result, relative to the page; None if that lies outside the output.
    """

    row: Record
    panels: Sequence[Panel]
    link: str | None

    @property
    def gain(self) -> float | None:
        """PSNR after harmonizing minus PSNR before, in dB."""
        before, after = self.row["input_psnr"], self.row["psnr"]
        return None if before is None or after is None else after - before


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A part of the contact sheet: images under one heading."""

    heading: str
    images: tuple[Shown, ...]


def render(info: RunInfo, summary: Summary, panels: Mapping[str, Sequence[Panel]]) -> str:
    """Return the page of a run. Its links to results are relative to `Layout.report`, where it must be stored.

    Args:
        info: What was run, when and how.
        summary: Totals of the run.
        panels: Pictures by id, as `panels.load` draws them; only the numbers are shown of an image without pictures.
    """
    return _template().render(
        info=info,
        summary=summary,
        figures=figures(info, summary),
        charts=charts.charts(summary),
        plot=charts,
        galleries=galleries(info, summary, panels),
    )


def figures(info: RunInfo, summary: Summary) -> list[Figure]:
    """Return the numbers at the top of the page."""
    rates, number = run_info.rates(info, summary), text.number
    rows = "" if info.rows is None else f"of {text.plural(info.rows, 'row')} in the manifest"
    return [
        Figure("Images", f"{summary.done:,}", rows),
        *([Figure("Skipped", f"{summary.skipped:,}", "up to date")] if summary.skipped else []),
        Figure("Failed", f"{summary.failed:,}", f"{number(rates.failure_share, '.1%')} of all", summary.failed > 0),
        Figure("Images per second", number(rates.images_per_second, ".2f"), f"in {text.duration(info.seconds)}"),
        Figure(
            "Megapixels per second",
            number(rates.megapixels_per_second, ".2f"),
            f"{summary.pixels / 1e6:,.1f} megapixels",
        ),
        *_against_references(summary, rates.worse_share),
    ]


def galleries(info: RunInfo, summary: Summary, panels: Mapping[str, Sequence[Panel]]) -> list[Gallery]:
    """Arrange the contact sheet, so that a small run does not show an image as changed both most and least."""
    kinds = ("flagged", "worst", "most", "least")
    odd, worst, most, least = ([row for _, _, row in summary.shown.get(kind, [])] for kind in kinds)
    seen = {row["id"] for row in most}
    least = [row for row in least if row["id"] not in seen]
    headings = {
        "Flagged: look at these": odd,
        "Made worse than the composite, worst first": worst,
        "Changed most" if least else "From most to least changed": most,
        "Changed least": least,
    }
    return [
        Gallery(heading, tuple(Shown(row, panels.get(row["id"], ()), _link(info, row)) for row in rows))
        for heading, rows in headings.items()
        if rows
    ]


def _against_references(summary: Summary, worse_share: float | None) -> list[Figure]:
    before, after, count = summary.mean("input_psnr"), summary.mean("psnr"), run_info.compared(summary)
    if before is None or after is None:
        return [Figure("Mean PSNR", text.DASH, "no references"), Figure("Made worse", text.DASH, "no references")]
    return [
        Figure("Mean PSNR in dB", f"{after:.2f}", f"{before:.2f} before: {after - before:+.2f}", after < before),
        Figure(
            "Made worse", f"{summary.worse:,}", f"{text.number(worse_share, '.1%')} of {count:,}", summary.worse > 0
        ),
    ]


def _link(info: RunInfo, row: Record) -> str | None:
    root = info.output.rstrip("/") + "/"
    path = str(row["output"])
    return "../" + quote(path.removeprefix(root), errors="replace") if path.startswith(root) else None


def _shown(value: object) -> object:
    """Prepare a value that the template inserts; markup has been escaped piece by piece already."""
    if value is None:
        return text.DASH
    return value if isinstance(value, Markup) else text.visible(value)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hdnet.pipeline.report"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": text.number, "duration": text.duration, "ratio": run_info.ratio}
    return environment.get_template("report.html")
