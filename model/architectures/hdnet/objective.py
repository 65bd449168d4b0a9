"""HDNet's training objective: the paper's loss, minimised by Adam."""

import torch
from torch import Tensor

from hdnet.model.architectures.base import Batch, Distribute
from hdnet.model.architectures.hdnet.network import HDNet
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.loss import foreground_mse
from hdnet.model.training.objective import RegressionObjective


def objective(recipe: TrainConfig, network: HDNet, device: torch.device, distribute: Distribute) -> RegressionObjective:
    """Make the objective: foreground-normalised MSE, and relations where the recipe asks for them."""

    def errors(result: Tensor, batch: Batch) -> Tensor:
        return foreground_mse(result, batch.real, batch.mask, recipe.smallest_foreground)

    return RegressionObjective(recipe, network, device, distribute, errors)
