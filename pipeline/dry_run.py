"""What --dry-run prints: what a run would do, about how long it would take, and which machines Dataflow would need."""

import click

from hdnet.pipeline import cost, graph, trial
from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.local import local_run
from hdnet.pipeline.local.machine import Plan
from hdnet.pipeline.report import run_info
from hdnet.pipeline.request import Request
from hdnet.pipeline.runners import advice
from hdnet.pipeline.steps.resume import Backlog
from hdnet.pipeline.trial import Pace
from hdnet.transforms import text
from hdnet.transforms.catalog.manifest_check import ManifestInfo
from hdnet.transforms.errors import ManifestError

NAMED = 5
"""Faults that are named."""
STARTING = "6 to 20 s"
"""What starting and ending a run took beside its work, on two cores that were free and two that were not."""

Line = tuple[str, str]
"""A heading and its text."""


def show(request: Request, info: ManifestInfo, found: Estimate, plan: Plan, job: graph.Job) -> None:
    """Print what a run would do; a worker on Dataflow is taken to be as fast as one of this machine's cores.

    Args:
        request: What was asked for.
        info: What the manifest holds.
        found: What the first headers say.
        plan: This machine, divided.
        job: The run.

    Raises:
        ManifestError: None of the pairs looked at can be used.
    """
    backlog = local_run.count(job)
    lines = catalog(info, job.settings.layout.images, found, backlog)
    faults = found.faults
    if backlog.to_do and found.sound:
        pace = {threads: trial.measure(job.settings, found.sound, threads) for threads in {1, plan.threads}}
        here = pace[plan.threads]
        faults += here.faults
        lines += this_machine(found, plan, backlog, here, job.run.arch)
        if here.pairs:
            size = found.megapixels(backlog.to_do)
            advised = advice.advise(found.typical_bytes, found.largest_bytes, size, pace[1].total)
            lines += advice.describe(advised, request.vcpu_price)
        lines += checked(found, here)
    lines += wrong(faults)
    click.echo("\n".join(f"{heading:13}{text.visible(content)}" for heading, content in lines))
    if faults and not found.sound:
        first = text.plural(min(info.rows, cost.SAMPLE), "pair")
        raise ManifestError(f"{info.uri}: of its first {first} none can be used: {faults[0]}")


def catalog(info: ManifestInfo, folder: str, found: Estimate, backlog: Backlog) -> list[Line]:
    """Return lines about the manifest, and what there is to do.

    Args:
        info: What the manifest holds.
        folder: Where the run would write images.
        found: What the first headers say.
        backlog: What there is to do.
    """
    references = f"{info.with_reference:,} with a reference; columns {', '.join(info.columns)}"
    images, size = text.plural(backlog.to_do, "image"), found.megapixels(backlog.to_do)
    known = f"{images}, about {size:,.1f} megapixels by the first {found.images}"
    to_do = known if found.images else f"{images} of unknown size"
    return [
        ("manifest", f"{info.uri}: {info.format}, {text.plural(info.rows, 'pair')}, {references}"),
        ("would write", f"{folder}, and the tables and report beside it"),
        ("up to date", f"{backlog.up_to_date:,} of {text.plural(backlog.pairs, 'pair')}"),
        ("would do", to_do if backlog.to_do else "nothing: all is up to date"),
    ]


def this_machine(found: Estimate, plan: Plan, backlog: Backlog, pace: Pace, arch: str) -> list[Line]:
    """Return lines about this machine, and how long it would take."""
    each = f"{text.plural(plan.workers, 'worker')} of {text.plural(plan.threads, 'thread')}"
    need = f"a large image needs about {found.typical_bytes / 1e9:.1f} GB"
    seconds = found.megapixels(backlog.to_do) * pace.total / plan.workers
    stages = ", ".join(f"{run_info.stage_name(name, arch)} {each:.2f}" for name, each in pace.seconds.items())
    work = f"about {text.duration(seconds)} of work, and {STARTING} to start and to end"
    return [
        ("here", f"{each} and {plan.memory / 1e9:.1f} GB; {need}"),
        ("would take", f"{work}; seconds a megapixel: {stages}" if pace.pairs else "an unknown time"),
    ]


def checked(found: Estimate, pace: Pace) -> list[Line]:
    """Return lines that say what was checked, and what only the run finds out."""
    headers = f"headers and sizes of the first {text.plural(found.looked_at, 'pair')}"
    return [
        ("checked", f"every row of the manifest; {headers}; {text.plural(pace.tried, 'pair')} worked on, with scores"),
        ("not checked", "the pixels of all other files: a damaged one becomes a failure in the run, which goes on"),
    ]


def wrong(faults: tuple[str, ...]) -> list[Line]:
    """Return lines that name what is wrong with the files that were looked at."""
    more = len(faults) - NAMED
    named = [("wrong", fault) for fault in faults[:NAMED]]
    return [*named, ("", f"and {more} more of the first {cost.SAMPLE} pairs' files")] if more > 0 else named
