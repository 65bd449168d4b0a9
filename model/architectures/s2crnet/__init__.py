"""S2CRNet (Liang et al., ECCV 2022): two thumbnails in, curves out, which render an image of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdnet.model.architectures.record import Architecture, Size
from hdnet.model.architectures.s2crnet.config import Backbone, S2CRNetConfig
from hdnet.model.architectures.s2crnet.converter import ReleasedS2CRNet
from hdnet.model.precision import Precision

if TYPE_CHECKING:
    import torch

    from hdnet.model.architectures.base import Distribute
    from hdnet.model.architectures.s2crnet.network import S2CRNet
    from hdnet.model.architectures.s2crnet.objective import S2CRNetObjective
    from hdnet.model.architectures.s2crnet.renderer import CurveRenderer
    from hdnet.model.training.config import TrainConfig

RECIPE = {"epochs": 50, "batch": 8, "lr": 2e-4, "milestones": (), "seed": 2333, "smallest_foreground": 1.0,
          "adversarial": 0.01}  # fmt: skip
"""The published training, where it differs from HDNet's."""

NETWORK_BYTES = {"squeezenet": 50_000_000, "vgg16": 150_000_000, "efficientnet-lite0": 100_000_000}
"""What the network with each backbone takes, with what convolutions make of its weights."""


def peak_bytes(config: S2CRNetConfig, height: int, width: int, precision: Precision) -> int:
    """Return about how many bytes a process takes at its peak while it harmonizes one image of this size.

    Rendering itself takes 7 bytes a pixel, the two images and the mask, and 13 where they have 16 bits. Decoding a file
    takes up to 20, so that the peak is there. The rest was measured on a CPU with two threads.
    """
    return 260_000_000 + NETWORK_BYTES[config.backbone] + 20 * height * width


def _network(config: S2CRNetConfig) -> S2CRNet:
    from hdnet.model.architectures.s2crnet.network import S2CRNet

    return S2CRNet(config)


def curve_renderer(network: S2CRNet, device: torch.device, precision: Precision) -> CurveRenderer:
    """Return what runs the network on images of any size."""
    from hdnet.model.architectures.s2crnet.renderer import CurveRenderer

    return CurveRenderer(network, device, precision)


def _objective(recipe: TrainConfig, network: S2CRNet, device: torch.device, distribute: Distribute) -> S2CRNetObjective:
    from hdnet.model.architectures.s2crnet.objective import S2CRNetObjective

    return S2CRNetObjective(recipe, network, device, distribute)


def _record(name: str, backbone: Backbone) -> Architecture[S2CRNetConfig, S2CRNet]:
    return Architecture(
        name=name,
        config=S2CRNetConfig,
        defaults={"backbone": backbone},
        recipe=RECIPE,
        size=Size(),
        peak_bytes=peak_bytes,
        network=_network,
        renderer=curve_renderer,
        objective=_objective,
        converter=ReleasedS2CRNet(backbone),
    )


RECORDS = (_record("s2crnet", "squeezenet"), _record("s2crnet-vgg", "vgg16"))
