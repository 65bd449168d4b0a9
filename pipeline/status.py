"""`hdnet-harmonize status OUTPUT`: its runs, what is under way, what all of them have done, and what failed."""

import concurrent.futures
import datetime
import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hdnet.model import command
from hdnet.transforms import text
from hdnet.transforms.errors import HarmonizeError, StorageError

if TYPE_CHECKING:
    from hdnet.pipeline.report.state import State

SHOWN = 20
"""The number of runs that are shown, the latest ones."""
NAMED = 5
"""The number of failures that are named."""
PARTIAL = ("limit", "ids", "skip_ids", "retry_failed")
"""Options with which a run takes up a part of the manifest only."""

Content = dict[str, Any]
"""The content of a runs/<run>.json."""


@click.command(short_help="Say what an output holds.")
@click.argument("output")
@command.version
def main(output: str) -> None:
    """Print the runs of OUTPUT with their figures, the runs that are under way or were cut short, and what of all pairs
    is done and what failed when it was last tried.

    Tables are read, and no files of the catalog: whether those have changed since, hdnet-harmonize --dry-run says.

    \b
    Example:
      hdnet-harmonize status harmonized
    """
    command.log(logging.ERROR)  # Beam warns of clients that we do not use
    try:
        click.echo(describe(output.rstrip("/")))
    except HarmonizeError as error:
        raise click.ClickException(text.visible(error)) from error


def describe(output: str) -> str:
    """Return the state of an output as lines of text.

    Raises:
        StorageError: It cannot be read, or holds no run.
    """
    from hdnet.pipeline.report import state  # slow to import

    complete = _complete(output)
    open_runs = _open(output, {run["run_id"] for run in complete})
    if not complete and not open_runs:
        raise StorageError(f"{output} holds no run: give the folder that --output named")
    whole = [run for run in complete if not any(run["options"].get(name) for name in PARTIAL)]
    finished = {run["run_id"]: datetime.datetime.fromisoformat(run["finished"]) for run in complete}
    found = state.read(output, finished, datetime.datetime.fromisoformat(whole[-1]["started"]) if whole else None)
    parts = [_table(complete)] if complete else []
    parts += [
        f"{text.visible(run)}: under way or cut short, {text.plural(found.done.get(run, 0), 'image')} so far, "
        f"last written {when}"
        for run, when in open_runs
    ]
    parts += [_done(found, whole), *_failed(found, complete, whole, output)]
    return "\n".join(parts)


def _done(found: "State", whole: Sequence[Content]) -> str:
    when = f", the newest of {found.newest:%Y-%m-%d %H:%M} UTC" if found.newest else ""
    removed = whole[-1]["totals"]["removed"] if whole else 0
    gone = f"; {removed:,} of them no longer in the manifest, by {text.visible(whole[-1]['run_id'])}" if removed else ""
    return f"Done in all: {text.plural(found.images, 'image')}{when}{gone}."


def _failed(found: "State", complete: Sequence[Content], whole: Sequence[Content], output: str) -> list[str]:
    """Say which pairs failed when they were last tried, and which command tries them again."""
    from hdnet.pipeline.report import closing  # slow to import

    if not found.failed:
        return ["Failed: none."]
    runs = {row["run_id"] for row in found.failed}
    one = [run for run in complete if {run["run_id"]} == runs]
    like = (one or whole or complete)[-1:]
    again = f"To try {closing.them(len(found.failed))} again:"
    lines = [again, f"  {text.visible(_retry(like[0], output, one=bool(one)))}"] if like else []
    named = closing.failures(found.failed[:NAMED], len(found.failed))
    return [f"Failed when last tried: {text.plural(len(found.failed), 'pair')}", *named, *lines]


def _retry(run: Content, output: str, *, one: bool) -> str:
    """Return the command that tries the failures again: those of one run, or the usual command where several had them.

    Args:
        run: The run that had the failures, or the last one over the whole manifest.
        output: Root of the output.
        one: Whether that run has had them all.
    """
    from hdnet.pipeline.report import closing

    weights = run["weights"]["name"]
    usual = ["hdnet-harmonize", "--input", run["manifest"], "--output", output, "--weights", weights]
    # What runs of older programs record: a command without its run's own, or none.
    options = {"beam": "", "usual_command": run["options"].get("command", ""), **run["options"]}
    words, beam_args = (shlex.split(options[name]) for name in ("usual_command", "beam"))
    return closing.retry_command(words or usual, run["run_id"] if one else None, beam_args)


def _complete(output: str) -> list[Content]:
    """Return the content of each runs/<run>.json, in the order in which the runs ended."""
    from hdnet.pipeline.report.state import READERS
    from hdnet.transforms import storage

    found = [uri for uri in storage.listing([f"{output}/runs"]) if uri.endswith(".json")]
    with concurrent.futures.ThreadPoolExecutor(READERS) as threads:
        return sorted(threads.map(_read, found), key=lambda run: str(run["finished"]))


def _read(uri: str) -> Content:
    from hdnet.transforms import storage

    content: Content = json.loads(storage.read(uri))
    # What older programs did not count.
    return {**content, "totals": {"new": 0, "flagged": 0, "removed": 0, **content["totals"]}}


def _open(output: str, complete: set[str]) -> list[tuple[str, str]]:
    """Return each run that has rows and is not complete, with the time when its last file was written."""
    from hdnet.transforms import storage

    try:
        names = storage.list_files(f"{output}/metrics")
    except FileNotFoundError:
        return []
    runs = {name.partition("/")[0].removeprefix("run_id=") for name in names} - complete
    folders = {run: f"{output}/metrics/run_id={run}" for run in sorted(runs)}
    return [(run, _latest(storage.listing([folder]))) for run, folder in folders.items()]


def _latest(files: Mapping[str, Any]) -> str:
    times = [listed.modified for listed in files.values() if listed.modified]
    if not times:
        return "at an unknown time"
    return datetime.datetime.fromtimestamp(max(times), datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _table(runs: Sequence[Content]) -> str:
    from hdnet.model.evaluation.tables import Table

    columns = (("run", ""), ("finished", ""), ("done", ",d"), ("failed", ",d"), ("new", ",d"), ("flagged", ",d"),
               ("up to date", ",d"), ("time", ""))  # fmt: skip
    names = ("done", "failed", "new", "flagged", "skipped")
    rows = tuple(
        (text.visible(run["run_id"]), run["finished"], *(run["totals"][name] for name in names),
         text.duration(run["seconds"]))
        for run in runs[-SHOWN:]
    )  # fmt: skip
    count = text.plural(len(runs), "run")
    return Table(f"The last {SHOWN} of {count}" if len(runs) > SHOWN else count, columns, rows).text()
