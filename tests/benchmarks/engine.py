"""Time inference against its bare convolutions, and measure its peak memory.

    python -m tests.benchmarks.engine --sizes 256,1024 --arch hdnet-lite --arch hdnet
    python -m tests.benchmarks.engine --sizes 1024 --arch hdnet --stages

The image is a photograph of the example catalog at the wanted size, with a little noise, as cameras leave; the mask
is one square of a quarter of the area. Convolutions are those of the plain network, each whole, in channels_last, with
inputs of its sizes and nothing between them; the two run in turn in one process, so the ratio of the medians holds on
a machine whose speed drifts. Peak memory is the whole process's, in a process of its own that harmonizes one image
through `Harmonizer`.
"""

import contextlib
import dataclasses
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hdnet.model import architectures
from hdnet.model.allocator import keep_strips
from hdnet.model.architectures.hdnet import peak_bytes
from hdnet.model.architectures.hdnet.engine import Engine
from hdnet.model.architectures.hdnet.network import LEVELS, HDNet
from hdnet.model.architectures.hdnet.passes import Foreground, Window
from hdnet.model.architectures.hdnet.strips import Map, Source
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.precision import PRECISIONS, Precision
from hdnet.model.weights import weights_file
from hdnet.transforms.pixels import image, tensor

PHOTO = Path(__file__).parents[2] / "examples" / "catalog" / "composites" / "astronaut.jpg"


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table: an architecture or a file of weights, a precision, and the image's height and width."""

    arch: str
    precision: Precision
    size: int


def network(arch: str) -> HDNet:
    """Return the weights that ship, those of a file, or random ones of an architecture that ships without."""
    torch.manual_seed(0)
    random = arch in architectures.ARCHITECTURES and arch not in weights_file.shipped()
    built = architectures.build(arch).eval() if random else weights_file.load_network(arch)
    assert isinstance(built, HDNet)
    return built


def picture(size: int) -> tuple[image.Pixels, image.Mask]:
    """Return a noisy photograph (size,size,3) and a mask with a square of a quarter of its area."""
    photo = np.asarray(Image.open(PHOTO).convert("RGB").resize((size, size), Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(0).standard_normal(photo.shape, np.float32) * 2
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4] = 255
    return image.quantise(photo + noise, np.uint8), mask


def convolutions(n: int, size: int) -> list[tuple[Callable[..., Tensor], tuple[int, int, int, int], int]]:
    """Return function, (inputs, outputs, kernel, input size) and stride of each convolution of a network of width n."""
    widths = [n, 2 * n, 4 * n, 8 * n, 8 * n, 8 * n, 8 * n]
    sides = [size >> level for level in LEVELS]
    down = [(widths[i], widths[i + 1], sides[i], 1 + LEVELS[i + 1] - LEVELS[i]) for i in range(6)]
    up = [(2 * outputs, inputs, side // stride, stride) for inputs, outputs, side, stride in reversed(down)]
    plain = [(3, n, size, 1), *down, (8 * n, 8 * n, size // 8, 1)]
    turned = [(8 * n, 8 * n, size // 8, 1), *up, (2 * n, 3, size, 1)]
    pairs = [(F.conv2d, one) for one in plain] + [(F.conv_transpose2d, one) for one in turned]
    return [(function, (one[0], one[1], 2 + one[3], one[2]), one[3]) for function, one in pairs]


def flops(n: int, size: int) -> int:
    """Return the floating-point operations of the convolutions, two for a multiplication with its addition."""
    total = 0
    for function, (inputs, outputs, kernel, side), stride in convolutions(n, size):
        places = side if function is F.conv_transpose2d else side // stride
        total += 2 * inputs * outputs * kernel**2 * places**2
    return total


def bare(n: int, size: int, dtype: torch.dtype) -> float:
    """Return the seconds that the convolutions take, one after the other."""
    total = 0.0
    for function, (inputs, outputs, kernel, side), stride in convolutions(n, size):
        x = torch.ones(1, side, side, inputs, dtype=dtype).permute(0, 3, 1, 2)
        shape = (outputs, inputs) if function is F.conv2d else (inputs, outputs)
        run = partial(function, x, torch.ones(*shape, kernel, kernel, dtype=dtype), None, stride, 1)
        total += seconds(run)
    return total


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def inputs(size: int) -> tuple[Tensor, Tensor]:
    """Return the picture as the network takes it."""
    composite, mask = picture(size)
    return tensor.to_tensor(composite), tensor.mask_to_tensor(mask)


def peak(case: Case) -> int:
    """Return the most memory, in bytes, that this process has held after harmonizing one image."""
    device = torch.device("cpu")
    Harmonizer(network(case.arch), device, case.precision)(*picture(case.size))
    # Not ru_maxrss: a process inherits that from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def measure(case: Case, runs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of `runs` images and of as many passes of the bare convolutions, in turn."""
    net, dtype = network(case.arch), getattr(torch, case.precision)
    keep_strips()  # as Harmonizer does
    engine, pair = Engine(net, dtype), inputs(case.size)
    times, floors = [], []
    for _ in range(runs + 1):  # the first of each warms up
        times.append(seconds(lambda: engine(*pair)))
        floors.append(bare(net.config.width, case.size, dtype))
    return times[1:], floors[1:]


def row(case: Case, runs: int) -> str:
    """Measure one case and return its line of the table."""
    # Spawned, for a forked process starts with its parent's memory.
    with multiprocessing.get_context("spawn").Pool(1) as child:
        memory = child.apply(peak, (case,))
    times, floors = measure(case, runs)
    middle, width = statistics.median(times), network(case.arch).config.width
    floor = statistics.median(floors)
    estimate = peak_bytes(network(case.arch).config, case.size, case.size, case.precision)
    return (
        f"| {case.arch} | {case.precision} | {case.size} | {middle:.3f} | {floor:.3f} | {middle / floor:.2f} |"
        f" {flops(width, case.size) / middle / 1e9:.0f} | {memory / 1e9:.2f} | {estimate / 1e9:.2f} |"
    )


class Staged(Engine):
    """An engine that adds up the seconds of its stages."""

    def __init__(self, network: HDNet, dtype: torch.dtype) -> None:
        super().__init__(network, dtype)
        self.seconds: dict[str, float] = {}

    def __call__(self, composite: Tensor, mask: Tensor) -> Tensor:
        with self.timed("all"):
            return super().__call__(composite, mask)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, list[Source]]:
        with self.timed("stem, e1 to e6"):
            return super()._encode(pixels)

    def _localise(self, x: Source, inside: Foreground) -> Map:
        with self.timed("neck and LD"):
            return super()._localise(x, inside)

    def _decode(
        self, i: int, sources: Sequence[Source], before: Foreground, after: Foreground, window: Window | None = None
    ) -> Map:
        with self.timed(f"d{7 - i}" if i else "widen"):
            return super()._decode(i, sources, before, after, window)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the seconds of a block."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def stages(case: Case, runs: int) -> str:
    """Return the mean seconds of each stage."""
    engine, pair = Staged(network(case.arch), getattr(torch, case.precision)), inputs(case.size)
    engine(*pair)
    engine.seconds.clear()
    for _ in range(runs):
        engine(*pair)
    whole = engine.seconds.pop("all")
    engine.seconds["last stage"] = whole - sum(engine.seconds.values())
    lines = [f"{name:>16} {value / runs:8.4f} s {value / whole:6.1%}" for name, value in engine.seconds.items()]
    return "\n".join([f"{case.arch} {case.precision} {case.size}", *lines])


@click.command()
@click.option("--sizes", default="256,1024", show_default=True, help="Heights, and widths, of the images.")
@click.option(
    "--arch", "archs", multiple=True, default=["hdnet-lite", "hdnet"], show_default=True,
    help="An architecture or a file of weights; with random weights the search rules little out.",
)  # fmt: skip
@click.option("--precision", "precisions", multiple=True, default=PRECISIONS, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--stages", "by_stage", is_flag=True, help="Print the seconds of each stage instead.")
def main(sizes: str, archs: Sequence[str], precisions: Sequence[Precision], runs: int, by_stage: bool) -> None:
    """Print a table: seconds, the bare convolutions' seconds, their ratio, GFLOP/s of the convolutions, peak memory."""
    cases = [
        Case(arch, precision, int(size)) for arch in archs for precision in precisions for size in sizes.split(",")
    ]
    if not by_stage:
        click.echo(f"{torch.get_num_threads()} threads, {runs} runs")
        click.echo("| arch | precision | size | s | floor s | ratio | GFLOP/s | peak GB | estimate GB |")
        click.echo("|---|---|---|---|---|---|---|---|---|")
    with torch.inference_mode():
        for case in cases:
            click.echo(stages(case, runs) if by_stage else row(case, runs))


if __name__ == "__main__":
    main()
