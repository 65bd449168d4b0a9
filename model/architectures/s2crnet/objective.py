"""What S2CRNet is trained by: masked L1 on every stage, and a discriminator's judgement of the last one."""

from typing import Any

import torch
from torch import Tensor, nn

from hdnet.model.architectures.base import Batch, Descend, Distribute, autocast
from hdnet.model.architectures.s2crnet.discriminator import SMALLEST, Discriminator, score_error
from hdnet.model.architectures.s2crnet.network import S2CRNet
from hdnet.model.training.config import TrainConfig
from hdnet.transforms.errors import HarmonizeError


class S2CRNetObjective:
    """Masked L1 summed over the stages, and a least-squares GAN; AdamW and, for the discriminator, RMSprop.

    Args:
        recipe: How to train; without an adversarial loss there is no discriminator.
        network: On the device.
        device: Where batches are.
        distribute: Wraps a module, so that several processes train it as one.

    Raises:
        HarmonizeError: The network takes labels, which data sets of training pairs do not have; or samples are too
            small for the discriminator.
    """

    def __init__(self, recipe: TrainConfig, network: S2CRNet, device: torch.device, distribute: Distribute) -> None:
        if network.config.semantic:
            raise HarmonizeError("a semantic network cannot be trained: training pairs have no labels")
        if recipe.adversarial and recipe.size < SMALLEST:
            raise HarmonizeError(f"an adversarial loss needs a size of at least {SMALLEST}: {recipe.size}")
        self.recipe, self.device = recipe, device
        self.render = distribute(_Rendering(network))
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.lr, fused=True)
        self.critic = Discriminator().to(device) if recipe.adversarial else None
        if self.critic is not None:
            self.judge = distribute(self.critic)
            self.critic_optimizer = torch.optim.RMSprop(self.critic.parameters(), lr=recipe.lr)

    def step(self, batch: Batch, descend: Descend) -> Tensor:
        """Train the network on a batch, then the discriminator; return the network's loss."""
        with autocast(self.device, self.recipe.precision):
            stages = self.render(batch.composite, batch.mask)
        real = (batch.real + 1) / 2
        loss = torch.stack([self._error(stage, real, batch.mask) for stage in stages]).sum()
        if self.critic is None:
            descend(loss, self.optimizer)
            return loss.detach()
        loss = loss + self.recipe.adversarial * self._disbelief(stages[-1])
        descend(loss, self.optimizer)
        descend(self._confusion(stages[-1].detach(), real), self.critic_optimizer)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizers' states and the discriminator."""
        state: dict[str, Any] = {"optimizer": self.optimizer.state_dict()}
        if self.critic is not None:
            state["critic"] = self.critic.state_dict()
            state["critic_optimizer"] = self.critic_optimizer.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the optimizers and the discriminator."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.critic is not None:
            self.critic.load_state_dict(state["critic"])
            self.critic_optimizer.load_state_dict(state["critic_optimizer"])

    def _error(self, stage: Tensor, real: Tensor, mask: Tensor) -> Tensor:
        """Return a batch's mean error, or the mean of its images' logarithms."""
        errors = masked_l1(stage, real, mask, self.recipe.smallest_foreground)
        return (errors + self.recipe.log_loss).log().mean() if self.recipe.log_loss else errors.mean()

    def _disbelief(self, rendered: Tensor) -> Tensor:
        """Return how far the discriminator is from taking rendered images for photos; its weights get no gradient."""
        assert self.critic is not None
        self.critic.requires_grad_(False)
        with autocast(self.device, self.recipe.precision):
            scores = self.critic(rendered)
        self.critic.requires_grad_(True)
        return score_error(scores, 1)

    def _confusion(self, rendered: Tensor, real: Tensor) -> Tensor:
        """Return how far the discriminator is from telling the two apart."""
        with autocast(self.device, self.recipe.precision):
            fake, true = self.judge(rendered), self.judge(real)
        return score_error(fake, 0) + score_error(true, 1)


class _Rendering(nn.Module):
    """A network whose call returns every stage, as wrappers for several processes want it."""

    def __init__(self, network: S2CRNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, composite: Tensor, mask: Tensor) -> list[Tensor]:
        return self.network.render(composite, mask)


def masked_l1(result: Tensor, real: Tensor, mask: Tensor, smallest: float) -> Tensor:
    """Return each image's absolute error in the foreground, summed over channels, per foreground pixel, (B,).

    Args:
        result: (B,3,H,W) in [0, 1], or beyond.
        real: (B,3,H,W) in [0, 1].
        mask: (B,1,H,W) of 0 and 1.
        smallest: Pixels; a smaller foreground counts as one of this size.
    """
    error = ((result - real).abs() * mask).sum((1, 2, 3))
    return error / mask.sum((1, 2, 3)).clamp_min(smallest)
