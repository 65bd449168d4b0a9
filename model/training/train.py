"""`hdnet-train`: trains a network on a data set of composites and real photos."""

import dataclasses
import shlex
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from hdnet.model import command
from hdnet.model.architectures import ARCHITECTURES
from hdnet.model.training.config import TrainConfig
from hdnet.transforms.errors import HarmonizeError

FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}
HINTS = get_type_hints(TrainConfig)


def _numbers(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in value.split(",") if part)
    except ValueError:
        raise click.BadParameter(f"whole numbers separated by commas are wanted: {value!r}") from None


def field_option(name: str, text: str, **extra: Any) -> Callable[[Any], Any]:
    """Make the option of a TrainConfig field; type and default are the field's own."""
    flag, default, hint = f"--{name.replace('_', '-')}", FIELDS[name].default, HINTS[name]
    if hint is bool:
        flag = f"{flag}/--no-{name.replace('_', '-')}"
    if get_origin(hint) is Literal:
        extra["type"] = click.Choice(get_args(hint))
    return click.option(flag, name, default=default, show_default=default is not None, help=text, **extra)


@click.command(short_help="Train a harmonization network.", context_settings={"show_default": True})
@click.option("--data", help="Root of the data set, in the layout of iHarmony4 or ccHarmony; optional with --photos.")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option("--device", default="auto", help="auto, cpu or cuda.")
@field_option("arch", f"Architecture: {', '.join(ARCHITECTURES)}.")
@command.network("k=3 or local_dynamics=none")
@click.option("--subset", "subsets", multiple=True, help="Train on this sub-dataset only; may be repeated.")
@field_option("size", "Height and width of the samples.")
@field_option("epochs", "Passes over the training pairs.")
@field_option("batch", "Images per step, over all processes.")
@field_option("lr", "The learning rate at the start.")
@field_option("schedule", "How the rate falls.")
@click.option("--milestones", default="100,110", callback=_numbers, help="Epochs after which a step schedule drops.")
@field_option("drop", "Factor of each drop.")
@field_option("final_lr", "Share of the rate left at the end of a cosine.")
@field_option("warmup", "Epochs over which the rate rises.")
@field_option("smallest_foreground", "A_min of the loss, in pixels.")
@field_option("log_loss", "Average log(loss + this) over the images; 0 for the plain mean.")
@field_option("adversarial", "Weight of the adversarial loss in S2CRNet's training; 0 for none.")
@field_option("clip", "Largest gradient norm; 0 for none.")
@field_option("ema", "Decay of the weights' moving average; 0 for none.")
@field_option("precision", "The number type of the convolutions.")
@field_option("val_fraction", "Share of the train list's photos held out for validation; with --photos a twentieth.")
@field_option("seed", "Decides initialisation, order and augmentation.")
@field_option("flip", "Mirror half of the samples.")
@field_option("crop", "Train on random resized crops.")
@field_option("recolor", "Share of samples whose composite is made afresh from the real photo.")
@field_option("illumination_maps", "File of measured colour maps for --recolor and --photos.", metavar="FILE")
@field_option("blur_edges", "Share of samples with a soft edge, and a mask that is a little off.")
@field_option("distill", "Teacher of relations: own, average, weights, or off for none.",
              metavar="TEACHER")  # fmt: skip
@field_option("distill_weight", "Weight of the relations in the loss.")
@click.option(
    "--photos", multiple=True, callback=command.weighted, metavar="FOLDER[=WEIGHT]",
    help="Train on fresh composites of these photos with masks too, each visited WEIGHT times an epoch;"
    " may be repeated.",
)  # fmt: skip
@click.option("--looks", multiple=True, metavar="PATH", help="Colour tables for --photos: .npz, or a folder of .cube.")
@field_option("init", "Weights to start from: a shipped name, a path or a URI.")
@field_option("cache", "Where decoded images stay.")
@field_option("workers", "Loader processes; 0 loads in the training process.")
@field_option("checkpoint_steps", "Steps between checkpoints.")
@field_option("validate_epochs", "Epochs between validations.")
@field_option("minutes", "Stop at a checkpoint after so many, to go on with --resume; 0 for no limit.")
@command.config
@command.version
def main(output: Path, resume: bool, device: str, **fields: Any) -> None:
    """Train a network on a data set in the layout of iHarmony4 or ccHarmony, on photos with masks, or on both.

    The defaults are the recipe of HDNet's paper; another --arch has its own paper's. Stop it whenever you like and go
    on with --resume: Ctrl-C finishes the step under way, writes a checkpoint and ends with exit code 130.

    \b
    hdnet-train --data /data/iHarmony4 --output runs/hdnet
    hdnet-train --data photos --output runs/lite --arch hdnet-lite --precision bfloat16 \\
        --cache ram --flip --crop --recolor 0.85 --ema 0.999 --schedule cosine
    hdnet-train --data photos --output runs/mixed --arch hdnet-lite --cache ram \\
        --photos pool=1 --photos photos=2 --looks film.npz --log-loss 0.015 --clip 4
    hdnet-train --data photos --output runs/no-ld --network local_dynamics=none
    torchrun --nproc-per-node 4 -m hdnet.model.training.train --data /data/iHarmony4 --output runs/ddp --batch 48
    """
    source = click.get_current_context().get_parameter_source
    given = {name: value for name, value in fields.items() if source(name) is not ParameterSource.DEFAULT}
    try:
        config = TrainConfig.of(**{"arch": fields["arch"], **given})
    except ValueError as error:
        raise click.UsageError(_by_option(str(error), fields)) from error
    command.log()
    _train(config, output, device, resume)


def _train(config: TrainConfig, output: Path, device: str, resume: bool) -> None:
    # torch takes seconds to import: --help does not wait for it.
    from hdnet.model import harmonizer
    from hdnet.model.training import checkpoint, run

    try:
        chosen = harmonizer.choose_device(device)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        best = run.train(config, output, device=chosen, resume=resume)
    except KeyboardInterrupt:
        click.echo(f"Stopped. {_how_to_go_on(output / checkpoint.LAST)}", err=True)
        sys.exit(command.INTERRUPTED)
    except HarmonizeError as error:
        raise click.ClickException(_message(error)) from error
    if best.exists():
        click.echo(f"Best weights: {best}")
    else:  # --minutes were over before the first validation
        click.echo(f"Time is over. {_how_to_go_on(output / checkpoint.LAST)}")


def _by_option(message: str, fields: Collection[str]) -> str:
    """Call a field of the configuration that a message begins with by its option."""
    name, _, rest = message.partition(" ")
    return f"--{name.replace('_', '-')} {rest}" if name in fields else message


def _how_to_go_on(last: Path) -> str:
    if not last.exists():
        return "There is no checkpoint yet: start again."
    words = command.words(click.get_current_context(), {"resume"})
    return f"The last checkpoint is {last}. Go on with\n  {shlex.join(['hdnet-train', *words, '--resume'])}"


def _message(error: HarmonizeError) -> str:
    # A loader process wraps an error's message in its traceback; the message is the last line.
    lines = str(error).strip().splitlines() or [""]
    return lines[-1] if lines[0].startswith("Caught ") else str(error)


if __name__ == "__main__":
    main()
