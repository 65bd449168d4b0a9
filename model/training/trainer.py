"""The training loop; it knows nothing of files, processes or commands."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from hdnet.model.training.config import TrainConfig
from hdnet.model.training.dataset import Sample
from hdnet.model.training.loss import foreground_mse
from hdnet.transforms.pixels import tensor

Callback = Callable[["Trainer", Tensor], None]
"""Called after every step with the trainer and the step's loss, still on its device."""


def lr_at(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """Return the learning rate of a step: a pure function, so resuming needs no scheduler state."""
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
        network: Called with (composite, mask).
        steps_per_epoch: Of the learning rate's schedule.
        device: Where the network is, and batches go.
        parallel: The same network wrapped for several processes, where there are several.

    Attributes:
        step: Steps done; set it, and load `optimizer` and `average`, to resume.
        average: Exponential moving average of the weights, None when the recipe has none.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: nn.Module,
        steps_per_epoch: int,
        device: torch.device,
        parallel: nn.Module | None = None,
    ) -> None:
        self.config = config
        self.network = network
        self.parallel = parallel or network
        self.steps_per_epoch = steps_per_epoch
        self.device = device
        self.step = 0
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, betas=(0.9, 0.999), fused=True)
        self.average = [p.detach().clone() for p in network.parameters()] if config.ema else None

    def run(self, batches: Iterable[Sample], callbacks: Sequence[Callback] = ()) -> None:
        """Train on every batch: forward, backward, clip, step, average, callbacks."""
        self.network.train()
        for batch in batches:
            loss = self.loss(*to_network(batch, self.device))
            self._set_lr(lr_at(self.step, self.steps_per_epoch, self.config))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.config.clip:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
            self.optimizer.step()
            self.step += 1
            self._update_average()
            for callback in callbacks:
                callback(self, loss.detach())

    def loss(self, composite: Tensor, mask: Tensor, real: Tensor) -> Tensor:
        """Return the batch's loss; the network runs in the recipe's precision."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            result = self.parallel(composite, mask)
        errors = foreground_mse(result, real, mask, self.config.smallest_foreground)
        return (errors + self.config.log_loss).log().mean() if self.config.log_loss else errors.mean()

    def _set_lr(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is not None:
            # A young average forgets faster: else it would hold the random start for long.
            decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 1 - decay)


def to_network(batch: Sample, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Turn a batch of (B,H,W,3), (B,H,W,3) uint8 and (B,H,W) bool into what the network takes.

    Returns:
        Composite (B,3,H,W) in [-1, 1], mask (B,1,H,W) of 0 and 1, real (B,3,H,W) in [-1, 1].
    """
    composite, real, mask = (part.to(device, non_blocking=True) for part in batch)
    return (
        tensor.scale(composite.permute(0, 3, 1, 2), 255),
        mask[:, None].float(),
        tensor.scale(real.permute(0, 3, 1, 2), 255),
    )
