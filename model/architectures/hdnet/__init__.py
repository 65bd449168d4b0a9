"""HDNet (Chen et al., ACM MM 2023): its two records, and what the network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdnet.model.architectures.hdnet.config import HDNetConfig
from hdnet.model.architectures.hdnet.converter import ReleasedHDNet
from hdnet.model.architectures.record import Architecture, Size
from hdnet.model.precision import Precision

if TYPE_CHECKING:
    import torch

    from hdnet.model.architectures.base import Distribute, Renderer
    from hdnet.model.architectures.hdnet.network import HDNet
    from hdnet.model.training.config import TrainConfig
    from hdnet.model.training.objective import RegressionObjective

SIZE = Size(multiple=8)
LARGE = 1 << 22
"""Values of the first map from which threads share out an image's strips (see `engine`)."""


def peak_bytes(config: HDNetConfig, height: int, width: int, precision: Precision) -> int:
    """Return about how many bytes a process takes at its peak while it harmonizes one image of this size.

    The formula is fitted to peaks measured on a CPU with two threads, hdnet and hdnet-lite between 256 x 256 and
    4096 x 4096, and is within 13 % of those in docs/engine.md. The mask matters little: the peak is where the decoder's
    first maps and all skips live, which no mask shrinks.
    """
    per_channel = {"float32": 14.2, "bfloat16": 8.75}[precision]
    pixels = SIZE.padded(height) * SIZE.padded(width)
    values = pixels * config.width
    weights = 60_000 * config.width**2  # with what convolutions make of them
    strips = 90_000_000 if values >= LARGE else 0
    return 280_000_000 + weights + strips + int(30 * pixels + per_channel * values)


def _network(config: HDNetConfig) -> HDNet:
    from hdnet.model.architectures.hdnet.network import HDNet

    return HDNet(config)


def _renderer(network: HDNet, device: torch.device, precision: Precision) -> Renderer:
    from hdnet.model.architectures.hdnet import engine

    return engine.renderer(network, device, precision)


def _objective(
    recipe: TrainConfig, network: HDNet, device: torch.device, distribute: Distribute
) -> RegressionObjective:
    from hdnet.model.architectures.hdnet.objective import objective

    return objective(recipe, network, device, distribute)


def _record(name: str, width: int) -> Architecture[HDNetConfig, HDNet]:
    return Architecture(
        name=name,
        config=HDNetConfig,
        defaults={"width": width},
        size=SIZE,
        peak_bytes=peak_bytes,
        network=_network,
        renderer=_renderer,
        objective=_objective,
        converter=ReleasedHDNet(),
    )


RECORDS = (_record("hdnet", 32), _record("hdnet-lite", 8))
