"""The tables of an evaluation: one value, rendered as plain text, Markdown or CSV."""

import csv
import dataclasses
import io
import statistics
from collections.abc import Callable, Iterable, Sequence

from hdnet.model.evaluation.records import Row
from hdnet.transforms import text
from hdnet.transforms.scores.metrics import Scores

Cell = str | int | float | None
RATIOS = ((0.0, 0.05), (0.05, 0.15), (0.15, 1.0))
"""Classes of foreground ratio: the first bound belongs to the class, the second does not unless it is 1."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, column names with the format of their numbers, and rows.

    Attributes:
        title: One line of text.
        columns: (name, format specification); columns of text have "".
        rows: Each row has as many cells as there are columns; None is shown as "-".
    """

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]

    def text(self) -> str:
        """Render as aligned lines: text to the left, numbers to the right."""
        lines = ["  ".join(cells).rstrip() for cells in self._aligned()]
        return "\n".join([self.title, "-" * max(map(len, lines)), *lines]) + "\n"

    def markdown(self) -> str:
        """Render as a pipe table under its title."""
        header, *rows = ["| " + " | ".join(cells) + " |" for cells in self._aligned()]
        rule = "|" + "|".join("-" * (w + 1) + ("-:"[self.is_number(i)]) for i, w in enumerate(self._widths())) + "|"
        return "\n".join([f"**{self.title}**", "", header, rule, *rows]) + "\n"

    def csv(self) -> str:
        """Render with the numbers as they are, not rounded; None is an empty cell."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([name for name, _ in self.columns])
        writer.writerows(self.rows)
        return buffer.getvalue()

    def is_number(self, column: int) -> bool:
        """Tell whether a column holds numbers."""
        return self.columns[column][1] != ""

    def strings(self) -> list[list[str]]:
        """Return the names of the columns, then each row with its numbers formatted."""
        specs = [spec for _, spec in self.columns]
        shown = [[_show(cell, spec) for cell, spec in zip(row, specs, strict=True)] for row in self.rows]
        return [[name for name, _ in self.columns], *shown]

    def _widths(self) -> list[int]:
        return [max(map(len, column)) for column in zip(*self.strings(), strict=True)]

    def _aligned(self) -> list[list[str]]:
        sides = [">" if self.is_number(i) else "<" for i in range(len(self.columns))]
        return [
            [f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, self._widths(), strict=True)]
            for row in self.strings()
        ]


def by_group(rows: Sequence[Row], network: str) -> Table:
    """Make table 1: a line for the composite, the baseline and the network each, by sub-dataset and over all."""
    groups = sorted({row.group for row in rows})
    parts = [(group or "all", [row for row in rows if row.group == group]) for group in groups]
    if len(groups) > 1:
        parts.append(("all", list(rows)))
    columns = (("set", ""), ("images", "d"), ("method", ""), ("MSE", ".2f"), ("PSNR", ".2f"), ("fMSE", ".2f"),
               ("SSIM", ".4f"), ("fSSIM", ".4f"), ("worse %", ".1f"))  # fmt: skip
    names = ("mse", "psnr", "fmse", "ssim", "fssim")
    body = tuple(
        (label, len(part), method, *(_average(part, scores, name) for name in names), _worse(part, scores))
        for label, part in parts
        for method, scores in _methods(network)
    )
    return Table(f"Table 1. By sub-dataset{_suffix(rows)}", columns, body)


def medians(rows: Sequence[Row], network: str) -> Table:
    """Make table 3: ccHarmony's four scores over all images, each as mean and median.

    A few images with a large error can decide a mean.
    """
    scores = (("MSE", "mse", ".2f"), ("fMSE", "fmse", ".2f"), ("PSNR", "psnr", ".2f"), ("fSSIM", "fssim", ".4f"))
    columns = [column for title, _, spec in scores for column in ((title, spec), ("median", spec))]
    body = tuple(
        (
            method,
            *(_average(rows, of, name, how) for _, name, _ in scores for how in (statistics.fmean, statistics.median)),
        )
        for method, of in _methods(network)
    )
    return Table(f"Table 3. Means and medians{_suffix(rows)}", (("method", ""), *columns), body)


def by_ratio(rows: Sequence[Row], network: str) -> Table:
    """Make table 2: a line for the composite, the baseline and the network each, by class of foreground ratio."""
    columns = (("foreground", ""), ("images", "d"), ("method", ""), ("MSE", ".2f"), ("fMSE", ".2f"), ("PSNR", ".2f"))
    parts = [(f"{low:.0%} to {high:.0%}", _between(rows, low, high)) for low, high in RATIOS]
    body = tuple(
        (label, len(part), method, *(_average(part, scores, name) for name in ("mse", "fmse", "psnr")))
        for label, part in parts
        for method, scores in _methods(network)
    )
    return Table(f"Table 2. By foreground ratio{_suffix(rows)}", columns, body)


def _show(cell: Cell, spec: str) -> str:
    return "-" if cell is None else format(cell, spec)


def _methods(network: str) -> list[tuple[str, Callable[[Row], Scores]]]:
    return [
        ("composite", lambda row: row.composite),
        ("Reinhard", lambda row: row.reinhard),
        (network, lambda row: row.network),
    ]


def _suffix(rows: Sequence[Row]) -> str:
    return f" ({rows[0].protocol} protocol, {text.plural(len(rows), 'image')})" if rows else ""


def _between(rows: Sequence[Row], low: float, high: float) -> list[Row]:
    return [row for row in rows if low <= row.foreground_ratio < high or row.foreground_ratio == high == 1]


def _average(
    rows: Iterable[Row],
    scores: Callable[[Row], Scores],
    name: str,
    how: Callable[[list[float]], float] = statistics.fmean,
) -> float | None:
    """Average over the images that have the score; None where none has it."""
    values = [value for row in rows if (value := getattr(scores(row), name)) is not None]
    return how(values) if values else None


def _worse(rows: Sequence[Row], scores: Callable[[Row], Scores]) -> float | None:
    """Return the percentage of images that are worse than their composite; None for the composite itself."""
    if not rows or scores(rows[0]) is rows[0].composite:
        return None
    return 100 * statistics.fmean(scores(row).psnr < row.composite.psnr for row in rows)
