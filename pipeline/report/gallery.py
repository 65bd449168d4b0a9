"""The report's pictures in their order: what somebody should look at comes first, and no image comes twice."""

import dataclasses
from collections.abc import Mapping

from hdnet.pipeline.report import links
from hdnet.pipeline.report.panels import Panels
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms import text
from hdnet.transforms.catalog.rows import Record

FILES = ("output", "composite", "mask", "reference")
"""Columns of a row that name a file, in the order of the links."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """An image of the report.

    Attributes:
        row: Its metrics.
        panels: Its pictures; there may be none.
        links: Links to its files in full size, by name.
    """

    row: Record
    panels: Panels
    links: Mapping[str, str]

    @property
    def gain(self) -> float | None:
        """PSNR after harmonizing minus PSNR before, in dB, as they are shown."""
        before, after = self.row["input_psnr"], self.row["psnr"]
        return None if before is None or after is None else text.difference(before, after)


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Images under one heading.

    Attributes:
        key: The name by which the page links to it.
        heading: What they have in common.
        note: How many of how many are shown, and in which order.
        images: Images that no earlier gallery shows.
    """

    key: str
    heading: str
    note: str
    images: tuple[Shown, ...]


def galleries(info: RunInfo, summary: Summary, panels: Mapping[str, Panels]) -> list[Gallery]:
    """Arrange the images; a small run does not show an image as changed both most and least."""
    kinds = {
        "worst": ("worse", "Made worse", summary.worse, "worst first"),
        "flagged": ("flagged", "Flagged", summary.flagged, "most flags first"),
        "most": ("most", "Changed most", summary.images, "largest change first"),
        "least": ("least", "Changed least", summary.images, "smallest change first"),
    }
    found: list[Gallery] = []
    seen: set[str] = set()
    for kind, (key, heading, whole, order) in kinds.items():
        rows = [row for _, _, row in summary.shown.get(kind, [])]
        new = [row for row in rows if row["id"] not in seen]
        seen.update(row["id"] for row in new)
        note = f"{len(new):,} of {whole:,}" + (f", {order}" if len(new) > 1 else "")
        if above := len(rows) - len(new):
            note = f"{note}; {above:,} more above" if new else f"{above:,} of {whole:,}, shown above"
        if new or (key == "flagged" and summary.flagged > summary.worse):
            found.append(Gallery(key, heading, note, tuple(_shown(row, info, panels) for row in new)))
    return found


def _shown(row: Record, info: RunInfo, panels: Mapping[str, Panels]) -> Shown:
    names = {name: row[name] for name in FILES if row[name] is not None}
    found = {name: links.link(uri, info.layout.report) for name, uri in names.items()}
    return Shown(row, panels.get(row["id"], {}), {name: link for name, link in found.items() if link})
