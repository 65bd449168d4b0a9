"""`hdnet-harmonize status OUTPUT`: the runs of an output, what is under way, and what failed last."""

import datetime
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from hdnet.model import command
from hdnet.transforms import text
from hdnet.transforms.errors import HarmonizeError, StorageError

SHOWN = 20
"""The number of runs that are shown, the latest ones."""


@click.command(short_help="Say what an output holds.")
@click.argument("output")
@command.version
def main(output: str) -> None:
    """Print the runs of OUTPUT with their figures, the runs that are under way or were cut short, and what failed.

    \b
    Example:
      hdnet-harmonize status harmonized
    """
    try:
        click.echo(describe(output.rstrip("/")))
    except HarmonizeError as error:
        raise click.ClickException(text.visible(error)) from error


def describe(output: str) -> str:
    """Return the state of an output as lines of text.

    Raises:
        StorageError: It cannot be read, or holds no run.
    """
    from hdnet.pipeline.report import closing  # slow to import

    complete = _complete(output)
    open_runs = _open(output, {run["run_id"] for run in complete})
    if not complete and not open_runs:
        raise StorageError(f"{output} holds no run: give the folder that --output named")
    parts = [_table(complete[-SHOWN:])] if complete else []
    parts += [f"{text.visible(run)}: under way or cut short, last written {when}" for run, when in open_runs]
    if complete:
        last = complete[-1]
        totals = last["totals"]
        images = text.plural(totals["done"] + totals["skipped"], "image")
        parts.append(f"Up to date after {text.visible(last['run_id'])}: {images}.")
        # Runs of older programs do not record their command.
        usual = [
            "hdnet-harmonize",
            "--input",
            last["manifest"],
            "--output",
            output,
            "--weights",
            last["weights"]["name"],
        ]
        words, beam_args = (shlex.split(last["options"].get(name) or "") for name in ("command", "beam"))
        parts.append(closing.last_words(last, closing.retry_command(words or usual, last["run_id"], beam_args)))
    return "\n".join(filter(None, parts))


def _complete(output: str) -> list[dict[str, Any]]:
    """Return the content of each runs/<run>.json, in the order in which the runs ended."""
    from hdnet.transforms import storage

    found = [uri for uri in storage.listing([f"{output}/runs"]) if uri.endswith(".json")]
    return sorted((_read(uri) for uri in found), key=lambda run: str(run["finished"]))


def _read(uri: str) -> dict[str, Any]:
    from hdnet.transforms import storage

    content: dict[str, Any] = json.loads(storage.read(uri))
    # What older programs did not count.
    content["totals"] = {"kept": 0, "new": 0, "flagged": 0, **content["totals"]}
    return {"first_failed": [], "first_flagged": [], **content}


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


def _table(runs: Sequence[Mapping[str, Any]]) -> str:
    from hdnet.model.evaluation.tables import Table

    columns = (("run", ""), ("finished", ""), ("done", ",d"), ("failed", ",d"), ("new", ",d"), ("flagged", ",d"),
               ("up to date", ",d"), ("time", ""))  # fmt: skip
    names = ("done", "failed", "new", "flagged", "skipped")
    rows = tuple(
        (text.visible(run["run_id"]), run["finished"], *(run["totals"][name] for name in names),
         text.duration(run["seconds"]))
        for run in runs
    )  # fmt: skip
    return Table(f"The last {text.plural(len(runs), 'run')}", columns, rows).text()
