"""Turn a training run's best weights into a file that ships: `python -m hdnet.model.weights.release`.

The file's header becomes the model card: what people must know before they use the weights, and how
good they are on a data set the training never saw, from an `hdnet-evaluate` of these very weights.
"""

import json
import statistics
from pathlib import Path
from typing import Any

import click

from hdnet.model.training.config import without_folders
from hdnet.transforms.errors import HarmonizeError, WeightsError


@click.command(short_help="Write weights with a model card.")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--card", required=True, type=click.File("rb"), help="JSON object: training_data, limits and so on.")
@click.option("--metrics", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The metrics.parquet of an evaluation of SOURCE.")  # fmt: skip
def main(source: str, out: Path, card: Any, metrics: Path) -> None:
    """Write the weights SOURCE to OUT with a model card in the header.

    \b
    python -m hdnet.model.weights.release runs/lite/best.safetensors model/weights/hdnet-lite.safetensors \\
        --card docs/hdnet-lite.json --metrics eval/metrics.parquet
    """
    try:
        written = release(source, out, json.load(card), metrics)
    except (HarmonizeError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(written, indent=1))


def release(source: str, out: Path, card: dict[str, Any], metrics: Path) -> dict[str, Any]:
    """Write weights with a model card; returns the card.

    Args:
        source: Weights of a training run.
        out: Where to write.
        card: What people must know; `metrics.test` is added from `metrics`, the recipe from the source.
        metrics: The metrics.parquet of an evaluation.

    Raises:
        WeightsError: The source cannot be loaded, or other weights were evaluated.
    """
    from hdnet.model.weights import weights_file

    header, network = weights_file.read_header(source), weights_file.load_network(source)
    if weights_file.digest(network.state_dict()) != _evaluated(metrics):
        raise WeightsError(f"{metrics} is no evaluation of {source}: run hdnet-evaluate on these weights")
    kept = {name: header[name] for name in ("recipe", "metrics", "training_data", "smoothing") if name in header}
    figures: dict[str, Any] = {"metrics": kept.get("metrics", {}) | {"test": summary(metrics)}}
    full = kept | {"recipe": without_folders(kept.get("recipe", {}))} | card | figures
    weights_file.save(network, out, full)
    return full


def summary(metrics: Path) -> dict[str, float | int | str]:
    """Return the figures of the card: means over an evaluation, rounded to what they are worth."""
    from pyarrow import parquet

    rows = parquet.read_table(metrics).to_pylist()
    mean = {name: statistics.fmean(row[name] for row in rows) for name in ("psnr", "input_psnr", "fmse", "input_fmse")}
    return {
        "protocol": rows[0]["protocol"],
        "images": len(rows),
        **{name: round(value, 2) for name, value in mean.items()},
        "worse_share": round(statistics.fmean(row["worse"] for row in rows), 4),
    }


def _evaluated(metrics: Path) -> str:
    from pyarrow import parquet

    return str((parquet.read_schema(metrics).metadata or {}).get(b"weights_sha256", b"").decode())


if __name__ == "__main__":
    main()
