"""Measures a network on held-out pairs while it trains."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hdnet.model import team
from hdnet.model.architectures.base import autocast
from hdnet.model.training.dataset import PackedPairs, unpack
from hdnet.model.training.trainer import Trainer, learned, to_batch


@dataclasses.dataclass(frozen=True)
class Validation:
    """Means over the held-out pairs.

    Attributes:
        psnr: PSNR in dB for a range of 255, of results that are not rounded.
        gain: How much `psnr` is above that of the untouched composites, in dB.
        fmse: Squared error per foreground value on the 0 to 255 scale.
        fmse_share: The ratio of `fmse` to that of the untouched composites.
        worse: Share of images that are farther from the real photo than their composite.
    """

    psnr: float
    gain: float
    fmse: float
    fmse_share: float
    worse: float


@torch.no_grad()
def validate(trainer: Trainer, pairs: PackedPairs) -> Validation:
    """Run the network (its moving average where there is one) over the pairs, in the recipe's precision."""
    was_training = trainer.network.training
    trainer.network.eval()
    with averaged(trainer):
        starts = range(0, len(pairs), trainer.config.batch)
        one = functools.partial(_errors, trainer, pairs)
        errors = torch.cat(list(team.side_by_side(one, starts, trainer.device)))
    trainer.network.train(was_training)
    after, before, foreground = errors.double().unbind(1)
    fmse_after, fmse_before = (after / foreground).mean(), (before / foreground).mean()
    psnr_after, psnr_before = (_psnr(x / pairs.size**2).mean().item() for x in (after, before))
    return Validation(
        psnr=psnr_after,
        gain=psnr_after - psnr_before,
        fmse=fmse_after.item(),
        fmse_share=(fmse_after / fmse_before).item(),
        worse=(after > before).double().mean().item(),
    )


@contextlib.contextmanager
def averaged(trainer: Trainer) -> Iterator[None]:
    """Give the network its averaged weights for as long as the block lasts."""
    if trainer.average is None:
        yield
        return
    current = learned(trainer.network)
    own = [value.detach().clone() for value in current]
    with torch.no_grad():
        torch._foreach_copy_(current, trainer.average)
        try:
            yield
        finally:
            torch._foreach_copy_(current, own)


@torch.no_grad()  # which each thread says for itself
def _errors(trainer: Trainer, pairs: PackedPairs, start: int) -> Tensor:  # (B,3)
    """Return squared error after, before (per channel mean, 0..255), and the foreground's size."""
    batch = [unpack(pairs[i]) for i in range(start, min(start + trainer.config.batch, len(pairs)))]
    stacked, real, masks = (torch.from_numpy(np.stack(part)) for part in zip(*batch, strict=True))
    composite, mask, target = to_batch((stacked, real, masks), trainer.device)
    with autocast(trainer.device, trainer.config.precision):
        result = trainer.network(composite, mask).float().clamp(-1, 1)
    after, before = (((x - target) * 127.5).square().sum((1, 2, 3)) / 3 for x in (result, composite))
    return torch.stack([after, before, mask.sum((1, 2, 3)).clamp_min(1)], dim=1)


def _psnr(mse: Tensor) -> Tensor:
    return 10 * torch.log10(255**2 / mse.clamp_min(1e-6))
