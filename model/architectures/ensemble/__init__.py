"""An ensemble of HDNet and S2CRNet, which no paper has: one reads the picture at full size, the other knows its things.

HDNet learns much from the step between an object and its background, and is lost where there is none to read; S2CRNet
sees no step, and begins with what ImageNet taught its backbone. Their errors differ, so that the mean of their changes
is better than either (docs/lessons.md), and S2CRNet costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdnet.model.architectures import hdnet, s2crnet
from hdnet.model.architectures.ensemble.config import EnsembleConfig
from hdnet.model.architectures.record import Architecture
from hdnet.model.precision import Precision

if TYPE_CHECKING:
    import torch

    from hdnet.model.architectures.base import Distribute, Renderer
    from hdnet.model.architectures.ensemble.network import Ensemble
    from hdnet.model.architectures.ensemble.objective import EnsembleObjective
    from hdnet.model.training.config import TrainConfig

HDNET, S2CRNET = hdnet.RECORDS[0], s2crnet.RECORDS[0]
CHOICES = ("the ensemble itself: HDNet's paper and S2CRNet's each have one network",)
"""What is ours and no paper's."""


def peak_bytes(config: EnsembleConfig, height: int, width: int, precision: Precision) -> int:
    """Return about how many bytes a process takes at its peak while it harmonizes one image of this size.

    The networks run one after the other, and HDNet's maps are gone when S2CRNet's colours are mixed into its own.
    """
    first = HDNET.peak_bytes(config.hdnet, height, width, precision) + s2crnet.NETWORK_BYTES[config.s2crnet.backbone]
    return max(first, S2CRNET.peak_bytes(config.s2crnet, height, width, precision))


def _network(config: EnsembleConfig) -> Ensemble:
    from hdnet.model.architectures.ensemble.network import Ensemble

    return Ensemble(config, HDNET.build(config.hdnet), S2CRNET.build(config.s2crnet))


def _renderer(network: Ensemble, device: torch.device, precision: Precision) -> Renderer:
    from hdnet.model.architectures.ensemble.renderer import EnsembleRenderer

    reader = HDNET.renderer(network.hdnet, device, precision)
    return EnsembleRenderer(reader, s2crnet.curve_renderer(network.s2crnet, device, precision), network.config)


def _objective(
    recipe: TrainConfig, network: Ensemble, device: torch.device, distribute: Distribute
) -> EnsembleObjective:
    from hdnet.model.architectures.ensemble.objective import EnsembleObjective

    return EnsembleObjective({
        "hdnet": HDNET.objective(recipe, network.hdnet, device, distribute),
        "s2crnet": S2CRNET.objective(recipe, network.s2crnet, device, distribute),
    })  # fmt: skip


RECORDS = (
    Architecture(
        name="ensemble",
        config=EnsembleConfig,
        defaults={},
        size=HDNET.size,
        peak_bytes=peak_bytes,
        network=_network,
        renderer=_renderer,
        objective=_objective,
        choices=CHOICES,
    ),
)
