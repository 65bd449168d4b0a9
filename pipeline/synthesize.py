"""`hdnet-synthesize`: photos with foreground masks in, training pairs out."""

from typing import TYPE_CHECKING, Any

import click

from hdnet.pipeline import run

if TYPE_CHECKING:
    from hdnet.pipeline.totals import Totals

SHARED = (
    "manifest", "output", "workers", "memory", "max_pixels", "image_format", "quality", "resize_mask", "run_id",
    "max_failure_rate", "limit", "resume", "verify", "retry_failed", "allow_scheme", "report", "beam_args", "version",
)  # fmt: skip
"""The parameters of `hdnet-harmonize` that mean the same here."""
UNUSED: dict[str, Any] = {"weights": "hdnet-lite", "precision": "float32", "label": None, "dry_run": False}
"""What a request says of the others."""
METHODS = ("illumination", "camera")


def _folder(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    return None if value is None else run.place(context, option, value)


def _weights(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    weights = dict.fromkeys(METHODS, 0.0)
    for value in values or ("illumination",):
        name, _, number = value.partition("=")
        try:
            weights[name] = float(number or 1)
        except ValueError:
            raise click.BadParameter(f"{value!r}: NAME=WEIGHT is wanted") from None
    if set(weights) != set(METHODS) or min(weights.values()) < 0 or not 0 < sum(weights.values()) < float("inf"):
        raise click.BadParameter(f"{', '.join(values)}: methods are {', '.join(METHODS)}, with weights of 0 and more")
    return tuple(weights.items())


@click.command(short_help="Make training pairs from photos.", context_settings={"show_default": True})
@click.option("--per-photo", default=10, type=click.IntRange(min=1), help="Composites of each photo and mask.")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Decides all draws.")
@click.option("--method", "methods", multiple=True, callback=_weights, metavar="NAME[=WEIGHT]",
              help="How foregrounds are recoloured: illumination, camera; may be repeated.  [default: illumination]",
              show_default=False)  # fmt: skip
@click.option("--checkers", metavar="FOLDER", callback=_folder,
              help="CSV readings of your own colour checkers, in place of ccHarmony's.")  # fmt: skip
@click.option("--test-fraction", default=0.1, type=click.FloatRange(0, 1),
              help="Share of the photos that the test list gets.")  # fmt: skip
def main(**options: Any) -> None:
    """Make training pairs from photos with foreground masks: the photo is what each composite should look like.

    The input is a catalog as for hdnet-harmonize. The photo of a row is its reference, or its composite where it has
    none. Each foreground is shown under the illumination of other photos, as colour checkers measured it. The same
    photos, masks and options give the same files.

    \b
    OUTPUT/synthetic/                             real_images/, masks/ and composite_images/
    OUTPUT/IHD_train.txt and IHD_test.txt         lists; no photo is in both
    OUTPUT/metrics/run_id=<run>/part-*.parquet    one row per composite
    OUTPUT/failures/run_id=<run>/part-*.parquet   one row per composite that could not be made
    OUTPUT/runs/<run>.json and .html              totals, and a report for people

    \b
    Examples:
      hdnet-synthesize --input photos.csv --output pairs
      hdnet-synthesize --input photos.csv --output pairs --checkers readings/ --per-photo 20 --seed 1
      hdnet-train --data pairs --output runs/ours --arch hdnet-lite --init hdnet-lite

    Exit codes are those of hdnet-harmonize.
    """
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
