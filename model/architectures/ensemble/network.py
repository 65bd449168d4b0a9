"""An HDNet and an S2CRNet on one image, and what is made of their two answers."""

import torch
from torch import Tensor

from hdnet.model.architectures.base import Network
from hdnet.model.architectures.ensemble.config import LEVELS, EnsembleConfig
from hdnet.model.architectures.hdnet.network import HDNet
from hdnet.model.architectures.s2crnet.network import S2CRNet


class Ensemble(Network):
    """Two networks that err in different ways.

    Args:
        config: The configurations of both, and how their changes are joined.
        hdnet: Built from `config.hdnet`.
        s2crnet: Built from `config.s2crnet`.
    """

    config: EnsembleConfig

    def __init__(self, config: EnsembleConfig, hdnet: HDNet, s2crnet: S2CRNet) -> None:
        super().__init__()
        self.config, self.hdnet, self.s2crnet = config, hdnet, s2crnet

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Harmonize a batch, as every network does; height and width as HDNet takes them."""
        mean = torch.lerp(self.hdnet(composite, mask), self.s2crnet(composite, mask), self.config.share)
        inside = (mask > 0.5).to(composite.dtype)
        change = (mean - composite) * inside
        size = (change.square().sum((1, 2, 3)) / (3 * inside.sum((1, 2, 3)).clamp(min=1))).sqrt() * (LEVELS / 2)
        strength = torch.tensor([self.config.strength(one) for one in size.tolist()], device=change.device)
        return composite + strength[:, None, None, None].to(change.dtype) * change
