"""`hdnet-train`: trains a network on a data set in the iHarmony4 layout."""

import logging
from pathlib import Path
from typing import Any

import click

from transforms.errors import HarmonizeError


@click.command(short_help="Train a harmonization network.")
@click.option("--data", required=True, help="Root of the data set, in the iHarmony4 layout.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--arch", default="hdnet", show_default=True, help="Architecture.")
@click.option("--size", default=256, show_default=True, help="Height and width of the samples.")
@click.option("--epochs", default=120, show_default=True)
@click.option("--batch", default=12, show_default=True)
@click.option("--lr", default=1e-3, show_default=True)
@click.option("--schedule", default="step")
@click.option("--final-lr", default=0.01)
@click.option("--warmup", default=0.0)
@click.option("--log-loss", default=0.0)
@click.option("--clip", default=0.0)
@click.option("--ema", default=0.0)
@click.option("--precision", default="float32")
@click.option("--val-fraction", default=0.02)
@click.option("--seed", default=0)
@click.option("--flip/--no-flip", default=False)
@click.option("--crop/--no-crop", default=False)
@click.option("--recolor", default=0.0)
@click.option("--illumination-maps")
@click.option("--init")
@click.option("--cache", default="none")
@click.option("--workers", default=1)
@click.option("--checkpoint-steps", default=500)
@click.option("--validate-epochs", default=1)
@click.option("--resume", is_flag=True)
def main(output: Path, resume: bool, **options: Any) -> None:
    import torch

    from model import training
    from model.config import TrainConfig

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        best = training.train(TrainConfig(**options), output, device=device, resume=resume)
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"best weights: {best}")


if __name__ == "__main__":
    main()
