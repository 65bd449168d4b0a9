"""`hdnet-harmonize`: a catalog in, harmonized images and metrics out."""

import datetime
import importlib
import itertools
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from hdnet.model import command
from hdnet.pipeline import options, photo, status
from hdnet.pipeline.local import supervise
from hdnet.transforms.errors import BeamOptionsError, HarmonizeError, WorkerDied

if TYPE_CHECKING:
    from hdnet.pipeline.totals import Totals

NAMES_THE_RUN = frozenset({"run_id", "retry_failed", "ids", "skip_ids", "limit", "dry_run", "vcpu_price"})
"""Options that belong to one run, so that a command which retries what failed in it leaves them out."""
EXIT_TOO_MANY_FAILURES = 3


def place(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return a URI or an absolute path, so that records do not depend on the folder that a run is started in.

    `~` is expanded here, for no shell expands it in --output=~/out.
    """
    from hdnet.transforms import storage  # slow to import

    if value is None:
        return None
    scheme, mark, rest = value.partition("://")
    if not (rest if mark else value).strip("/") or (mark and scheme not in storage.SCHEMES):
        raise click.BadParameter(f"{value!r}: a path, gs:// or s3:// is wanted", param=parameter)
    return value if mark else os.path.abspath(os.path.expanduser(value))


def _pattern(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and value.count("{id}") != 1:
        raise click.BadParameter(f"{value!r}: {{id}} is wanted in it once, as in '{{id}}_mask.png'", param=parameter)
    return value


class _Catalog(click.Command):
    """The command for a catalog, whose usage names the other uses of `hdnet-harmonize`, too."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each use."""
        first, *others = (*photo.USES, "--input URI --output URI [OPTIONS] [-- BEAM_OPTIONS]", "status OUTPUT")
        formatter.write_usage(ctx.command_path, first)
        for use in others:
            formatter.write_usage(ctx.command_path, use, prefix="  or:  ")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; without any, say what is wanted."""
        if not args and not ctx.resilient_parsing:  # completion parses nothing, and wants no error
            raise click.UsageError("give a photo and its mask, or a catalog with --input and --output", ctx)
        return super().parse_args(ctx, args)


@click.command(cls=_Catalog, short_help="Harmonize a catalog.", context_settings={"show_default": True})
@click.option("--input", "manifest", required=True, metavar="URI", callback=place,
              help="Manifest (.csv, .tsv, .jsonl, .parquet), list, or folder with composites/ and masks/.")  # fmt: skip
@click.option("--output", required=True, metavar="URI", callback=place,
              help="Folder to write to: local, gs:// or s3://.")  # fmt: skip
@click.option("--workers", default=0, type=click.IntRange(min=0), help="Local worker processes; 0 chooses.")
@click.option("--memory", type=click.FloatRange(min=0.1), metavar="GB",
              help="Memory for all local workers together.  [default: what is free, less a fifth]")  # fmt: skip
@options.of_image
@click.option("--scores", default="all", type=click.Choice(["all", "cheap", "none"]),
              help="What is measured of each image; cheap: no SSIM, colour differences and gaps.")  # fmt: skip
@click.option("--pair", metavar="PATTERN", callback=_pattern,
              help="Name of a folder's masks, such as '{id}_mask.png'.  [default: the composite's]")  # fmt: skip
@click.option("--skip-unpaired", is_flag=True, help="Leave out a folder's files without a partner.")
@click.option("--run-id", metavar="NAME", help="Name of the run.  [default: the time, UTC]")
@click.option("--max-failure-rate", default=1.0, type=click.FloatRange(0, 1),
              help="Exit with 3 when a larger share of the pairs failed; the log of a job says so, too.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Do the first N pairs only.")
@click.option("--resume/--no-resume", default=True,
              help="Leave out pairs that earlier runs did and that have not changed.")  # fmt: skip
@click.option("--verify", is_flag=True, help="With --resume: compare contents, not times and etags; reads every file.")
@click.option("--retry-failed", metavar="RUN", help="Do only the pairs of the manifest that failed in that run.")
@click.option(
    "--ids",
    metavar="URI",
    callback=place,
    help="Do only the pairs whose ids this file lists: a CSV with a column id, such as the report's review.",
)
@click.option("--skip-ids", metavar="URI", callback=place, help="Leave out the pairs whose ids this file lists.")
@click.option("--allow-scheme", multiple=True, metavar="SCHEME",
              type=click.Choice(["file", "gs", "https", "memory", "s3"]),
              help="Scheme that the manifest may use beside its own and the output's; may be repeated.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Check everything, print what would be done and its cost; do nothing.")
@click.option("--vcpu-price", type=click.FloatRange(min=0), metavar="PRICE",
              help="Price of a vCPU hour on Dataflow, with its memory, for --dry-run.")  # fmt: skip
@click.option("--report/--no-report", default=True, help="Write the HTML report.")
@click.option("--accelerator", metavar="HINT",
              help="GPU for Dataflow's workers, such as 'type:nvidia-l4;count:1;install-nvidia-driver'.")  # fmt: skip
@click.argument("beam_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_OPTIONS]")
@command.config
@command.version
def main(**given: Any) -> None:
    """Give the foreground of every composite in a catalog the light and colour of its background.

    One image needs no catalog: hdnet-harmonize PHOTO --help tells how. These are the options for a catalog.
    Without a --runner among the Beam options, or with DirectRunner, the run is local: it divides this machine's cores
    and memory among worker processes, and downloads nothing.

    \b
    OUTPUT/images/<id>.<ext>                      the images
    OUTPUT/metrics/run_id=<run>/part-*.parquet    one row per image
    OUTPUT/failures/run_id=<run>/part-*.parquet   one row per pair that failed
    OUTPUT/runs/<run>.json and .html              totals, and a report for people

    \b
    Examples:
      hdnet-harmonize photo.jpg mask.png -o out.png      (one image)
      hdnet-harmonize status harmonized                  (what an output holds, what failed, what runs)
      hdnet-harmonize --input pairs.csv --output harmonized
      hdnet-harmonize --input catalog/ --output harmonized --limit 20
      hdnet-harmonize --input pairs.parquet --output harmonized --dry-run
      hdnet-harmonize --input gs://catalog/pairs.parquet --output gs://catalog/harmonized \\
          -- --runner=DataflowRunner --project=P --region=R --temp_location=gs://catalog/tmp \\
          --sdk_container_image=R-docker.pkg.dev/P/hdnet/hdnet:1

    Exit codes: 0 done, 1 the job failed, 2 bad usage, 3 done, but with more failures than --max-failure-rate
    or with failures only, 130 ended by Ctrl-C.
    """
    execute(given, _start)


def _start(given: dict[str, Any]) -> "Totals | None":
    # Beam and torch take seconds to import: --help does not wait for them.
    from hdnet.pipeline import launch
    from hdnet.pipeline.request import Request

    return launch.run(Request(**given))


def execute(given: dict[str, Any], start: Callable[[dict[str, Any]], "Totals | None"]) -> None:
    """Set up the log, name the run, start it, and turn its end into an exit code.

    Args:
        given: The command's options.
        start: Called with the options, complete; imports what takes seconds.
    """
    command.log(logging.ERROR)
    importlib.import_module("hdnet.pipeline.launch")  # Beam warns of clients we do not use
    logging.getLogger().setLevel(logging.WARNING)
    for package, level in (("hdnet", logging.INFO), ("apache_beam", logging.CRITICAL)):
        logging.getLogger(package).setLevel(level)
    given["run_id"] = _run_id(
        given["run_id"]
        or supervise.remembered_run()
        or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    )
    if given["retry_failed"]:
        _run_id(given["retry_failed"], "--retry-failed")
    given["output"] = given["output"].rstrip("/")
    context = click.get_current_context()
    name = context.info_name or "hdnet-harmonize"
    given["words"] = [name, *command.words(context)]
    given["usual_words"] = [name, *command.words(context, NAMES_THE_RUN)]
    try:
        totals = start(given)
    except BeamOptionsError as error:
        raise click.UsageError(str(error)) from error
    except WorkerDied as error:
        if supervise.scratch():
            sys.exit(supervise.DIED)
        raise click.ClickException(str(error)) from error
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error
    if totals is not None and (reason := totals.too_many_failures(given["max_failure_rate"])):
        click.echo(reason, err=True)
        sys.exit(EXIT_TOO_MANY_FAILURES)


def _run_id(name: str, option: str = "--run-id") -> str:
    # The name of a run is a folder's name, a part of URIs and the value of a partition for every reader of Parquet.
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9._:+-]{0,99}", name):
        raise click.BadParameter(
            f"{name!r}: up to 100 letters, digits and ._:+- are wanted, a letter, digit or _ first",
            param_hint=f"'{option}'",
        )
    if name == "index":
        raise click.BadParameter("'index': runs/index.html is the page of all runs", param_hint=f"'{option}'")
    return name


def other_command(arguments: Sequence[str]) -> tuple[click.Command, str, Sequence[str]] | None:
    """Return the command for one image or for the state of an output, the word that chooses it, and its arguments.

    Returns:
        None for a catalog, where options come first.
    """
    if not arguments or (arguments[0].startswith("-") and arguments[0] != photo.STANDARD):
        return None
    if arguments[0] == "status":
        return status.main, "status", arguments[1:]
    return photo.main, "PHOTO", arguments


def entry() -> None:
    """Run `hdnet-harmonize`: a catalog is watched over."""
    if (other := other_command(sys.argv[1:])) is not None:
        command, word, arguments = other
        command(arguments, prog_name=f"hdnet-harmonize {word}")
    run_watched(main, "hdnet-harmonize", "hdnet.pipeline.run")


def run_watched(watched: click.Command, name: str, module: str) -> None:
    """Run a command in a process that is watched over, and end that process at once with its exit code.

    Threads of Beam's C++ libraries outlive a local run. When the interpreter takes them down in order it aborts now
    and then, long after everything is written, and the exit code is lost.

    Args:
        watched: What to run.
        name: What its messages call it.
        module: The module that runs it when executed.
    """
    before_beam = itertools.takewhile(lambda word: word != "--", sys.argv[1:])
    if supervise.scratch() is None and not {"--help", "--version"}.intersection(before_beam):
        sys.exit(supervise.run([sys.executable, "-m", module, *sys.argv[1:]]))
    supervise.exit_with_parent()
    code = 1
    try:
        watched.main(prog_name=name)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
