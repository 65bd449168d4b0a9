"""What --dry-run prints: what a run would do, about how long it would take, and which machines Dataflow would need."""

from collections.abc import Callable

import click

from hdnet.pipeline import cost, graph
from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.local import local_run
from hdnet.pipeline.local.machine import Plan
from hdnet.pipeline.request import Request
from hdnet.pipeline.runners import advice
from hdnet.pipeline.steps.resume import Backlog
from hdnet.transforms import text
from hdnet.transforms.catalog.manifest_check import ManifestInfo
from hdnet.transforms.errors import ManifestError

NAMED = 5
"""Unreadable files that are named."""


def show(
    request: Request,
    info: ManifestInfo,
    found: Estimate,
    plan: Plan,
    job: graph.Job,
    pace_of: Callable[[int, float], float],
) -> None:
    """Print what a run would do; a worker on Dataflow is taken to be as fast as one of this machine's cores.

    Args:
        request: What was asked for.
        info: What the manifest holds.
        found: What the first headers say.
        plan: This machine, divided.
        job: The run.
        pace_of: As in `launch.Work`.

    Raises:
        ManifestError: None of the composites looked at can be used.
    """
    backlog = local_run.count(job)
    pace = {threads: pace_of(threads, found.mean_pixels) for threads in {1, plan.threads}}
    lines = describe(info, job.settings.layout.images, found, plan, backlog, pace[plan.threads])
    if found.images:
        size = found.megapixels(backlog.to_do)
        advised = advice.advise(found.typical_bytes, found.largest_bytes, size, pace[1])
        lines += advice.describe(advised, request.vcpu_price)
    click.echo("\n".join(f"{heading:13}{text.visible(content)}" for heading, content in lines))
    if found.faults and not found.images:
        first = text.plural(min(info.rows, cost.SAMPLE), "composite")
        raise ManifestError(f"{info.uri}: of its first {first} none can be used: {found.faults[0]}")


def describe(
    info: ManifestInfo, images: str, found: Estimate, plan: Plan, backlog: Backlog, per_megapixel: float
) -> list[tuple[str, str]]:
    """Return lines, each a heading and its text, about the catalog, what there is to do, and this machine.

    Args:
        info: What the manifest holds.
        images: Where the run would write images.
        found: What the first headers say.
        plan: This machine, divided.
        backlog: What there is to do.
        per_megapixel: Seconds that the network takes on one of the plan's workers.
    """
    return [
        *_catalog(info, images, found, backlog),
        *_this_machine(found, plan, backlog, per_megapixel),
        *_unreadable(found),
    ]


def _catalog(info: ManifestInfo, folder: str, found: Estimate, backlog: Backlog) -> list[tuple[str, str]]:
    references = f"{info.with_reference:,} with a reference; columns {', '.join(info.columns)}"
    images, size = text.plural(backlog.to_do, "image"), found.megapixels(backlog.to_do)
    known = f"{images}, about {size:,.1f} megapixels by the first {found.images}"
    return [
        ("manifest", f"{info.uri}: {info.format}, {text.plural(info.rows, 'pair')}, {references}"),
        ("would write", f"{folder}, and the tables and report beside it"),
        ("up to date", f"{backlog.up_to_date:,} of {text.plural(backlog.pairs, 'pair')}"),
        ("would do", known if found.images else f"{images} of unknown size"),
    ]


def _this_machine(found: Estimate, plan: Plan, backlog: Backlog, per_megapixel: float) -> list[tuple[str, str]]:
    each = f"{text.plural(plan.workers, 'worker')} of {text.plural(plan.threads, 'thread')}"
    need = f"a large image needs about {found.typical_bytes / 1e9:.1f} GB"
    seconds = found.megapixels(backlog.to_do) * per_megapixel / plan.workers
    known = f"about {text.duration(seconds)}, reading and writing not counted"
    return [
        ("here", f"{each} and {plan.memory / 1e9:.1f} GB; {need}"),
        ("would take", known if found.images else "an unknown time"),
    ]


def _unreadable(found: Estimate) -> list[tuple[str, str]]:
    named = [("unreadable", fault) for fault in found.faults[:NAMED]]
    more = len(found.faults) - NAMED
    return [*named, ("", f"and {more} more of the first {cost.SAMPLE} pairs' files")] if more > 0 else named
