"""What GiftNet is trained by: iSSAM's loss, relation distillation, and Adam."""

import torch
from torch import Tensor

from hdnet.model.architectures.base import Batch, Distribute
from hdnet.model.architectures.giftnet.network import GiftNet
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.loss import foreground_mse
from hdnet.model.training.objective import RegressionObjective


def objective(
    recipe: TrainConfig, network: GiftNet, device: torch.device, distribute: Distribute
) -> RegressionObjective:
    """Make the objective: the whole image's error in normalised colours over the foreground's size, and relations."""

    def errors(result: Tensor, batch: Batch) -> Tensor:
        normal, real = network.normalised(result), network.normalised(batch.real)
        return foreground_mse(normal, real, batch.mask, recipe.smallest_foreground)

    return RegressionObjective(recipe, network, device, distribute, errors)
