"""`hdnet-synthesize`: photos with foreground masks in, training pairs out."""

from typing import TYPE_CHECKING, Any

import click

from hdnet.model import command
from hdnet.pipeline import run

if TYPE_CHECKING:
    from hdnet.pipeline.totals import Totals

SHARED = (
    "manifest", "output", "workers", "memory", "max_pixels", "image_format", "quality", "resize_mask", "mask_value",
    "invert_mask", "pair", "skip_unpaired", "run_id", "max_failure_rate", "limit", "resume", "verify", "retry_failed",
    "ids", "skip_ids", "allow_scheme", "dry_run", "report", "beam_args", "config", "version",
)  # fmt: skip
"""The parameters of `hdnet-harmonize` that mean the same here."""
UNUSED: dict[str, Any] = {"weights": "hdnet-lite", "precision": "float32", "label": None}
"""What a request says of the others."""
METHODS = ("illumination", "camera", "lab", "histogram", "looks")
ALWAYS = ("illumination", "camera")
"""Methods that need nothing but the photo, and take the place of one that finds nothing suitable."""


def _shares(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    values = values or ALWAYS[:1]
    named = command.weighted(context, option, values)
    shares = {name: named.get(name, 0.0) for name in METHODS if name in named or name in ALWAYS}
    if set(named) - set(METHODS) or min(named.values()) < 0 or not 0 < sum(named.values()) < float("inf"):
        raise click.BadParameter(f"{', '.join(values)}: methods are {', '.join(METHODS)}, with shares of 0 and more")
    return tuple(shares.items())


@click.command(short_help="Make training pairs from photos.", context_settings={"show_default": True})
@click.option("--per-photo", default=10, type=click.IntRange(min=1), help="Composites of each photo and mask.")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Decides all draws.")
@click.option("--method", "methods", multiple=True, callback=_shares, metavar="NAME[=SHARE]", show_default=False,
              help="How foregrounds are recoloured: illumination, camera, lab, histogram, looks; and how often,"
              " relative to each other, 1 if not given. May be repeated.  [default: illumination]")  # fmt: skip
@click.option("--looks", metavar="URI", callback=run.place,
              help="Colour tables for the method looks: a folder of .cube files, or an .npz.")  # fmt: skip
@click.option("--checkers", metavar="URI", callback=run.place,
              help="Folder with CSV readings of your own colour checkers, in place of ccHarmony's.")  # fmt: skip
@click.option("--test-fraction", default=0.1, type=click.FloatRange(0, 1),
              help="Share of the photos that the test list gets.")  # fmt: skip
def main(**options: Any) -> None:
    """Make training pairs from photos with foreground masks: the photo is what each composite should look like.

    The input is a catalog as for hdnet-harmonize. The photo of a row is its reference, or its composite where it has
    none. Each foreground is shown under the illumination of other photos, as colour checkers measured it, or
    recoloured by another --method: a camera's settings, the Lab statistics or histograms of another photo's
    foreground, colour tables. The same catalog, files and options give the same composites.

    \b
    OUTPUT/synthetic/                             real_images/, masks/ and composite_images/
    OUTPUT/IHD_train.txt and IHD_test.txt         lists; no photo is in both
    OUTPUT/metrics/run_id=<run>/part-*.parquet    one row per composite
    OUTPUT/failures/run_id=<run>/part-*.parquet   one row per composite that could not be made
    OUTPUT/runs/<run>.json and .html              totals, and a report for people

    \b
    Examples:
      hdnet-synthesize --input photos.csv --output pairs
      hdnet-synthesize --input photos.csv --output pairs --method illumination --method lab --method camera
      hdnet-synthesize --input photos.csv --output pairs --method looks --looks cubes/ --per-photo 20 --seed 1
      hdnet-synthesize --input photos.csv --output pairs --checkers readings/
      hdnet-train --data pairs --output runs/ours --arch hdnet-lite --init hdnet-lite

    Exit codes are those of hdnet-harmonize.
    """
    if bool(options["looks"]) != ("looks" in dict(options["methods"])):
        raise click.UsageError("--method looks and --looks belong together: give both, or neither")
    run.execute(options, _start)


main.params += [parameter for parameter in run.main.params if parameter.name in SHARED]


def _start(options: dict[str, Any]) -> "Totals | None":
    from hdnet.pipeline.synthesis import job  # Beam takes seconds to import

    return job.run(job.SynthesisRequest(**UNUSED, **options))


def entry() -> None:
    """Run `hdnet-synthesize`, watched over."""
    run.run_watched(main, "hdnet-synthesize", "hdnet.pipeline.synthesize")


if __name__ == "__main__":
    entry()
