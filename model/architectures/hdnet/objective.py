"""HDNet's training objective: the paper's loss, minimised by Adam."""

from typing import Any

import torch

from hdnet.model.architectures.base import Batch, Descend, Distribute, autocast
from hdnet.model.architectures.hdnet.network import HDNet
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.loss import foreground_mse


class HDNetObjective:
    """Foreground-normalised MSE, its mean over the batch or the mean of its logarithms.

    Args:
        recipe: The recipe of the training.
        network: The network to train, on `device`.
        device: The device of the network and the batches.
        distribute: Wraps the network, so that several processes train it as one.
    """

    def __init__(self, recipe: TrainConfig, network: HDNet, device: torch.device, distribute: Distribute) -> None:
        self.recipe, self.device = recipe, device
        self.network = distribute(network)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr, betas=(0.9, 0.999), fused=True)

    def step(self, batch: Batch, descend: Descend) -> torch.Tensor:
        """Train on a batch; return its loss."""
        with autocast(self.device, self.recipe.precision):
            result = self.network(batch.composite, batch.mask)
        errors = foreground_mse(result, batch.real, batch.mask, self.recipe.smallest_foreground)
        loss = (errors + self.recipe.log_loss).log().mean() if self.recipe.log_loss else errors.mean()
        descend(loss, self.optimizer)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the optimizer's state."""
        self.optimizer.load_state_dict(state["optimizer"])
