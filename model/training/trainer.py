"""The training loop; it knows nothing of files, processes or commands."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from hdnet.model.architectures.base import Batch, Network, Objective
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.dataset import Sample
from hdnet.transforms.pixels import tensor

Callback = Callable[["Trainer", Tensor], None]
"""Called after every step with the trainer and the step's loss, still on its device."""


def lr_at(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """Return a step's learning rate: a pure function of the step, so that resuming needs no scheduler state."""
    epoch = step / steps_per_epoch
    rise = min(1.0, (step + 1) / (config.warmup * steps_per_epoch)) if config.warmup else 1.0
    if config.schedule == "cosine":
        left = (1 + math.cos(math.pi * epoch / config.epochs)) / 2
        return config.lr * rise * (config.final_lr + (1 - config.final_lr) * left)
    return config.lr * rise * config.drop ** sum(epoch >= milestone for milestone in config.milestones)


class Trainer:
    """Steps a network over batches.

    Args:
        config: The recipe.
        network: The network to train, on `device`.
        objective: Trains the network on a batch.
        steps_per_epoch: Steps of one pass over the data, for the learning rate's schedule.
        device: The device that batches are moved to.

    Attributes:
        step: How many steps are done; to resume, set it and `average`, and restore the objective.
        rate: The learning rate of the last step.
        average: Exponential moving average of the weights; None when the recipe has none.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        objective: Objective,
        steps_per_epoch: int,
        device: torch.device,
    ) -> None:
        self.config = config
        self.network = network
        self.objective = objective
        self.steps_per_epoch = steps_per_epoch
        self.device = device
        self.step = 0
        self.rate: float | Tensor = 0.0
        self.average = [value.detach().clone() for value in learned(network)] if config.ema else None

    def run(self, batches: Iterable[Sample], callbacks: Sequence[Callback] = ()) -> None:
        """Train on every batch: the objective's step, the average, the callbacks."""
        self.network.train()
        for batch in batches:
            self.rate = lr_at(self.step, self.steps_per_epoch, self.config)
            loss = self.objective.step(to_batch(batch, self.device), self.descend)
            self.step += 1
            self._update_average()
            for callback in callbacks:
                callback(self, loss)

    def descend(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Take one step of an optimizer down a loss, at this step's learning rate, with clipped gradients."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip:
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.config.clip)
        optimizer.step()

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is not None:
            torch._foreach_lerp_(self.average, learned(self.network), self.forgetting())

    def forgetting(self) -> float:
        """Return how far the average moves towards the weights in this step.

        A young average forgets faster: otherwise it would hold on to the random start for long.
        """
        return 1 - min(self.config.ema, (1 + self.step) / (10 + self.step))


def learned(network: nn.Module) -> list[Tensor]:
    """Return what a moving average covers: the parameters, and the statistics that normalisations have gathered.

    Statistics of other weights than those they are used with would spoil the average.
    """
    return [*network.parameters(), *(value for value in network.buffers() if value.is_floating_point())]


def to_batch(sample: Sample, device: torch.device) -> Batch:
    """Turn stacked samples, (B,H,W,3), (B,H,W,3) uint8 and (B,H,W) bool, into what an objective takes."""
    composite, real, mask = (part.to(device, non_blocking=True) for part in sample)
    return Batch(_scaled(composite), mask[:, None].float(), _scaled(real))


def _scaled(pixels: Tensor) -> Tensor:  # (B,H,W,3) uint8 -> (B,3,H,W) in [-1, 1]
    return tensor.scale(pixels.permute(0, 3, 1, 2), 255)
