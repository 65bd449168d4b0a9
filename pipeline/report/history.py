"""runs/index.html: all runs of an output with their figures over time, so that drift is seen."""

import concurrent.futures
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, Self

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.report import links
from hdnet.transforms import storage, text
from hdnet.transforms.pages import plots, template
from hdnet.transforms.pages.plots import Dot, Frame, Plot, Tick

READERS = 16
"""Summaries that are read at a time: an object store answers each after some 50 ms."""
FRAME = Frame(left=48)


@dataclasses.dataclass(frozen=True)
class Run:
    """The figures of one run; None where its summary does not have them.

    Attributes:
        run_id, started: Those of the run.
        seconds: From start to finish on the clock.
        done, failed, skipped, flagged: Counts of pairs.
        work: Seconds that the workers needed for an image.
        gap_before, gap_after: Means over the images, in CIELAB units.
        gain: How much closer to their references the images came, in dB.
        link: Link to its report, None where there is none.
    """

    run_id: str
    started: str
    seconds: float
    done: int
    failed: int
    skipped: int
    flagged: int | None
    work: float | None
    gap_before: float | None
    gap_after: float | None
    gain: float | None
    link: str | None

    @classmethod
    def of(cls, content: dict[str, Any], link: str | None) -> Self:
        """Return the figures of runs/<run>.json."""
        totals, means = content["totals"], content["means"]
        done = totals["done"]
        return cls(
            run_id=content["run_id"],
            started=content["started"],
            seconds=content["seconds"],
            done=done,
            failed=totals["failed"],
            skipped=totals["skipped"],
            flagged=totals.get("flagged"),
            work=sum(totals["seconds"].values()) / done if done else None,
            gap_before=means.get("gap_before"),
            gap_after=means.get("gap_after"),
            gain=means["psnr"] - means["input_psnr"] if "psnr" in means else None,
            link=link,
        )


@dataclasses.dataclass(frozen=True)
class Trend:
    """A figure of all runs over time."""

    title: str
    unit: str
    plot: Plot


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a trend shows: its title, its unit, its value in a run, and whether that is a count."""

    title: str
    unit: str
    value: Callable[[Run], float | None]
    whole: bool = False


FIGURES = (
    Figure("Done", "images", lambda run: run.done, whole=True),
    Figure("Failed", "pairs", lambda run: run.failed, whole=True),
    Figure("Flagged", "images", lambda run: run.flagged, whole=True),
    Figure("Gap to the background", "mean after harmonizing, in CIELAB units", lambda run: run.gap_after),
    Figure("Work", "seconds of a worker for an image", lambda run: run.work),
    Figure("Gain", "mean in dB, of the images with a reference", lambda run: run.gain),
)


def write(layout: Layout) -> None:
    """Write the page of an output again, from the summaries of all runs that are complete.

    Args:
        layout: The places of any run of it.

    Raises:
        StorageError: The summaries cannot be read, or the page cannot be written.
    """
    storage.write(layout.history, render(*read(layout)).encode())


def read(layout: Layout) -> tuple[list[Run], list[str]]:
    """Return the runs, the oldest first, and the names of files that are not the summary of a run."""
    folder = storage.parent(layout.history)
    names = storage.list_files(folder)
    reports = {name for name in names if name.endswith(".html")}

    def load(name: str) -> Run | str:
        report = f"{name.removesuffix('.json')}.html"
        link = links.link(storage.join(folder, report), layout.history) if report in reports else None
        try:
            return Run.of(json.loads(storage.read(storage.join(folder, name))), link)
        except (ValueError, KeyError, TypeError, AttributeError):
            return name

    with concurrent.futures.ThreadPoolExecutor(READERS) as threads:
        found = list(threads.map(load, (name for name in names if name.endswith(".json") and "/" not in name)))
    runs = [run for run in found if isinstance(run, Run)]
    return sorted(runs, key=lambda run: (run.started, run.run_id)), [name for name in found if isinstance(name, str)]


def render(runs: Sequence[Run], unread: Sequence[str]) -> str:
    """Return the page; the runs must be in the order of time."""
    return template.load("hdnet.pipeline.report", "history.html").render(
        runs=runs, unread=unread, trends=trends(runs), last=runs[-1] if runs else None
    )


def trends(runs: Sequence[Run]) -> list[Trend]:
    """Lay out each figure that at least two runs have."""
    found = {
        figure: [(i, value) for i, run in enumerate(runs) if (value := figure.value(run)) is not None]
        for figure in FIGURES
    }
    return [
        Trend(figure.title, figure.unit, _plot(figure, points, runs)) for figure, points in found.items() if points[1:]
    ]


def _plot(figure: Figure, points: Sequence[tuple[int, float]], runs: Sequence[Run]) -> Plot:
    """Draw a figure from 0 on, with the runs at equal distances and below them the first and the last day, or hour."""
    last, values = len(runs) - 1, [value for _, value in points]
    first_day, last_day = (run.started[:10] for run in (runs[0], runs[-1]))
    shown = slice(11, 16) if first_day == last_day else slice(10)
    low, high = min(0, *values), max(0, *values)
    high += 0.08 * (high - low) or 1
    dots = tuple(
        Dot(FRAME.x(i, 0, last), FRAME.y(value, low, high), f"{text.visible(runs[i].run_id)}: {value:,.6g}")
        for i, value in points
    )
    return Plot(
        # Half a date's width from the sides, so that it does not leave the picture.
        across=(Tick(FRAME.left + 30, runs[0].started[shown]), Tick(FRAME.right - 30, runs[-1].started[shown])),
        up=plots.up(FRAME, low, high, lambda level: f"{level:,.4g}", figure.whole),
        dots=dots,
        line=plots.line([(dot.x, dot.y) for dot in dots]),
        line_class="trend",
        frame=FRAME,
    )
