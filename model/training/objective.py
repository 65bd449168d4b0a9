"""What networks with encoder features are trained by: an error of their result, and perhaps relations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hdnet.model.architectures.base import Batch, Descend, Distribute, EncodingNetwork, autocast
from hdnet.model.training import distillation
from hdnet.model.training.config import TrainConfig

Errors = Callable[[Tensor, Batch], Tensor]
"""Result (B,3,H,W) and batch to each image's error, (B,)."""


class RegressionObjective:
    """The errors of the results, their mean over the batch or the mean of their logarithms; relations; and Adam.

    Args:
        recipe: How to train.
        network: On the device.
        device: Where batches are.
        distribute: Wraps the network, so that several processes train it as one.
        errors: The network's own measure.

    Raises:
        WeightsError: As for `distillation.make_teacher`.
    """

    def __init__(
        self,
        recipe: TrainConfig,
        network: EncodingNetwork,
        device: torch.device,
        distribute: Distribute,
        errors: Errors,
    ) -> None:
        self.recipe, self.network, self.device, self.errors = recipe, network, device, errors
        self.teacher = distillation.make_teacher(recipe.distill, network, device)
        self.model = distribute(WithFeatures(network))
        self.optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr, betas=(0.9, 0.999), fused=True)

    def step(self, batch: Batch, descend: Descend) -> Tensor:
        """Train on a batch; return its loss, the teacher's share included."""
        with autocast(self.device, self.recipe.precision):
            result, features = self.model(batch.composite, batch.mask)
            taught = self.teacher(batch.real, batch.mask) if self.teacher else []
        errors = self.errors(result, batch)
        loss = (errors + self.recipe.log_loss).log().mean() if self.recipe.log_loss else errors.mean()
        if self.teacher:
            loss = loss + self.recipe.distill_weight * distillation.relation_loss(features, taught, batch.mask)
        descend(loss, self.optimizer)
        if self.teacher:
            self.teacher.follow(self.network)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state and the teacher's."""
        state: dict[str, Any] = {"optimizer": self.optimizer.state_dict()}
        return state | ({"teacher": self.teacher.state_dict()} if self.teacher else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the optimizer's state and the teacher's."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.teacher:
            self.teacher.load_state_dict(state["teacher"])


class WithFeatures(nn.Module):
    """Calls a network for its result and its features in `forward`, which is what distributed training wraps.

    Args:
        network: What is trained.
    """

    def __init__(self, network: EncodingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, composite: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the result, (B,3,H,W), and the features."""
        return self.network.with_features(composite, mask)
