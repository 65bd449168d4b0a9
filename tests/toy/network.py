"""The toy's network, and what it is trained by: two losses and two optimizers, as with a discriminator."""

from typing import Any

import torch
from torch import Tensor, nn

from hdnet.model.architectures.base import Batch, Descend, Distribute, Network
from hdnet.model.training.config import TrainConfig
from tests.toy import SIZE, ToyConfig


class Toy(Network):
    """Multiplies each channel of the foreground by a gain."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.gain = nn.Parameter(torch.full((3,), float(config.start)))

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        assert all(side == SIZE.padded(side) for side in mask.shape[2:])
        return torch.where(mask > 0.5, composite * self.gain[:, None, None], composite)


class ToyObjective:
    """Descends the mean error by SGD with momentum; a second network, which nobody asks, learns the mean colour."""

    def __init__(self, recipe: TrainConfig, network: Toy, device: torch.device, distribute: Distribute) -> None:
        self.network, self.second = distribute(network), nn.Linear(3, 1).to(device)
        self.optimizers = [
            torch.optim.SGD(module.parameters(), recipe.lr, momentum=0.9) for module in (network, self.second)
        ]

    def step(self, batch: Batch, descend: Descend) -> Tensor:
        loss: Tensor = (self.network(batch.composite, batch.mask) - batch.real).abs().mean()
        descend(loss, self.optimizers[0])
        descend((self.second(batch.real.mean((2, 3))) - 1).square().mean(), self.optimizers[1])
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        optimizers = [each.state_dict() for each in self.optimizers]
        return {"optimizers": optimizers, "second": self.second.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.second.load_state_dict(state["second"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
