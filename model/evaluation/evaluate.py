"""`hdnet-evaluate`: measures weights on a data set and writes metrics, tables, a contact sheet and a page."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdnet.model import command
from hdnet.model.precision import PRECISIONS
from hdnet.transforms.errors import HarmonizeError

if TYPE_CHECKING:
    from hdnet.model.evaluation.protocol import Protocol
    from hdnet.model.harmonizer import Harmonizer
    from hdnet.model.precision import Precision


@click.command(short_help="Measure a network on a data set.")
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Root in the layout of iHarmony4 or ccHarmony, or composites/, masks/ and references/.")  # fmt: skip
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write to.")
@click.option("--weights", default="ensemble", show_default=True, help="A shipped name, a path or a URI.")
@click.option("--subset", "subsets", multiple=True, metavar="NAME", help="Sub-dataset to measure; repeatable.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--protocol", type=click.Choice(["paper", "native", "network"]), default="paper", show_default=True,
              help="paper: at 256 x 256. native: at full size. network: at 256 x 256 the network alone, truncated, "
                   "as its authors do.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32", show_default=True)
@click.option("--label", metavar="CLASS", help="Class of the foregrounds, for weights that need one.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Measure N pairs, spread evenly over the list.")
@click.option("--overwrite", is_flag=True, help="Replace an older evaluation in OUTPUT.")
@command.config
@command.version
def main(
    data: Path, output: Path, weights: str, subsets: tuple[str, ...], split: str, protocol: "Protocol", device: str,
    precision: "Precision", label: str | None, limit: int | None, overwrite: bool,
) -> None:  # fmt: skip
    """Measure a network: error of its results, of the untouched composites and of a classical baseline.

    OUTPUT receives metrics.parquet (one row per pair), failures.parquet, tables.md, table1.csv (by sub-dataset),
    table2.csv (by foreground ratio), table3.csv (means and medians), contact_sheet.png and index.html, which shows all
    of them. docs/metrics.md defines every number. A pair that cannot be read is counted as failed and does not end the
    run; the exit code is 1 when no pair could be measured.

    \b
    Examples:
      hdnet-evaluate --data /data/iHarmony4 --output eval/
      hdnet-evaluate --data /data/iHarmony4 --subset HCOCO --subset HFlickr --limit 200 --output eval/quick
      hdnet-evaluate --data examples/catalog --weights runs/lite/best.safetensors --protocol native --output eval/
    """
    from hdnet.model.evaluation import measure

    command.log()
    try:
        pairs = measure.read_pairs(data, split, subsets, limit)
        harmonizer = _load(weights, device, precision, label)
        measure.claim(output, overwrite)
        evaluation = measure.evaluate(pairs, harmonizer, output, protocol, Path(weights).stem)
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(table.text() for table in evaluation.tables))
    click.echo(f"written to {output}; {measure.PAGE} shows it", err=True)
    if evaluation.failures:
        first, count = evaluation.failures[0], len(evaluation.failures)
        click.echo(f"warning: {count} of {len(pairs)} pairs failed, listed in {output / measure.FAILURES}; "
                   f"the first: {first.error}: {first.message}", err=True)  # fmt: skip
    sys.exit(0 if evaluation.rows else 1)


def _load(weights: str, device: str, precision: "Precision", label: str | None) -> "Harmonizer":
    from hdnet.model.harmonizer import Harmonizer

    try:
        return Harmonizer.load(weights, device, precision, label)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--device'") from error


if __name__ == "__main__":
    main()
