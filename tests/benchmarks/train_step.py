"""Time a training step against the forward and backward of its convolutions alone.

    python -m tests.benchmarks.train_step --arch hdnet-lite --size 256 --batch 12

Both run in turn in one process, in the same layout and precision, so that a machine whose speed drifts
slows both; the ratio of the medians is the figure to quote. A step is what `Trainer.run` does with a
batch already loaded: scaling, forward, loss, backward, Adam.
"""

import statistics
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor, nn

from hdnet.model import architectures
from hdnet.model.allocator import keep_all
from hdnet.model.precision import PRECISIONS, Precision
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.dataset import Sample
from hdnet.model.training.trainer import Trainer

Convolution = tuple[nn.Module, Tensor]


def photo_batch(batch: int, size: int) -> Sample:
    """Return random images whose foreground is a disc of about a sixth of the area."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    disc = (rows - size // 2) ** 2 + (columns - size // 3) ** 2 < (0.23 * size) ** 2
    images = torch.randint(0, 256, (2, batch, size, size, 3), dtype=torch.uint8)
    return images[0], images[1], disc.expand(batch, size, size)


def record_convolutions(network: nn.Module, run: Callable[[], object]) -> list[Convolution]:
    """Return every convolution of 3 x 3 or more with an input like the one it gets in `run`."""
    found: list[Convolution] = []
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    layers = [m for m in network.modules() if isinstance(m, kinds) and m.kernel_size[0] > 1]

    def record(module: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0]
        # Only the first layer needs no gradient for its input.
        found.append((module, torch.randn_like(x, requires_grad=x.requires_grad)))

    handles = [layer.register_forward_pre_hook(record) for layer in layers]
    run()
    for handle in handles:
        handle.remove()
    return found


def step_convolutions(convolutions: list[Convolution], gradients: list[Tensor]) -> None:
    """Run each convolution forward and backward."""
    for (module, x), gradient in zip(convolutions, gradients, strict=True):
        wanted = [*module.parameters(), *([x] if x.requires_grad else [])]
        torch.autograd.grad(module(x), wanted, gradient)


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def measure(arch: str, size: int, batch: int, precision: Precision, runs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of `runs` training steps and of as many passes of the bare convolutions, in turn."""
    config = TrainConfig(data="", arch=arch, size=size, batch=batch, precision=precision)
    network, device = architectures.build(arch), torch.device("cpu")
    objective = network.architecture.objective(config, network, device, lambda module: module)
    trainer = Trainer(config, network, objective, 1, device)
    sample = photo_batch(batch, size)
    convolutions = record_convolutions(trainer.network, lambda: trainer.run([sample]))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        gradients = [torch.randn_like(module(x)) for module, x in convolutions]
        bare, steps = [], []
        for _ in range(runs + 1):  # the first of each warms up
            bare.append(seconds(lambda: step_convolutions(convolutions, gradients)))
            steps.append(seconds(lambda: trainer.run([sample])))
    return steps[1:], bare[1:]


@click.command()
@click.option("--arch", default="hdnet-lite", show_default=True)
@click.option("--size", default=256, show_default=True)
@click.option("--batch", default=12, show_default=True)
@click.option("--precision", default="float32", show_default=True, type=click.Choice(PRECISIONS))
@click.option("--runs", default=7, show_default=True)
@click.option("--threads", default=0, help="Torch threads; 0 for torch's choice.")
def main(arch: str, size: int, batch: int, precision: Precision, runs: int, threads: int) -> None:
    """Print the median seconds of a training step and of its bare convolutions, and their ratio."""
    keep_all()
    torch.set_num_threads(threads or torch.get_num_threads())
    steps, bare = measure(arch, size, batch, precision, runs)
    ratios = [step / floor for step, floor in zip(steps, bare, strict=True)]
    click.echo(f"{arch} {size} x {size}, batch {batch}, {precision}, {torch.get_num_threads()} threads, {runs} runs")
    for name, values, unit in (("step", steps, " s"), ("convolutions", bare, " s"), ("ratio", ratios, "")):
        low, middle, high = min(values), statistics.median(values), max(values)
        click.echo(f"{name:>13}  median {middle:.3f}{unit}  min {low:.3f}{unit}  max {high:.3f}{unit}")


if __name__ == "__main__":
    main()
