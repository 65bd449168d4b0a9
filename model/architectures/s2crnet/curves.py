"""Curves of 64 linear pieces: their heights from a network's parameters, and what they make of values.

Between neighbouring knots at k/64 a curve is a straight line. This is the paper's sum of 64 clipped terms, computed
without the sum.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hdnet.model.architectures.s2crnet.config import PIECES

SMALLEST_SUM = 1e-6
"""Share of the parameters' absolute values that their sum must exceed; smaller sums are float32's rounding errors, and
nothing can be divided by them."""


def heights(parameters: Tensor) -> Tensor:  # (...,64) -> (...,65)
    """Return curves' heights at the knots 0, 1/64 ... 1: 0 and 1 at the ends, anything between.

    The paper leaves open what happens where the parameters add up to nothing. Equal parameters are the identity,
    however small, and so are these.
    """
    sums = parameters.cumsum(-1)
    total = sums[..., -1:]
    # Written so that a NaN is none of these, and spreads.
    vanishes = total.abs() <= SMALLEST_SUM * parameters.abs().sum(-1, keepdim=True)
    identity = torch.arange(1, PIECES + 1, dtype=sums.dtype, device=sums.device) / PIECES
    return F.pad(torch.where(vanishes, identity, sums / torch.where(vanishes, 1, total)), (1, 0))


def bend(curves: Tensor, values: Tensor) -> Tensor:  # (...,65), (...,N) -> (...,N)
    """Look values up on curves, each row on its own; values outside 0..1 count as 0 and 1."""
    place = values.clamp(0, 1) * PIECES
    piece = place.detach().long().clamp_(0, PIECES - 1)
    # lerp is exact at both ends.
    return torch.lerp(curves.gather(-1, piece), curves.gather(-1, piece + 1), place - piece)


def cascade(parameters: Tensor, values: Tensor) -> list[Tensor]:
    """Bend values by one curve after another.

    Args:
        parameters: (B,K,3,64), K stages.
        values: (B,3,N) in 0..1, or anything else, which counts as 0 and 1.

    Returns:
        K tensors (B,3,N): the values after each stage. They may leave 0..1, and are not clipped between stages.
    """
    results = []
    for curves in heights(parameters).unbind(1):
        values = bend(curves, values)
        results.append(values)
    return results


def tables(parameters: Tensor, levels: int) -> list[Tensor]:
    """Return what a cascade makes of each of `levels` integer levels, as the paper applies it to each pixel.

    Args:
        parameters: (B,K,3,64).
        levels: 256 or 65536.

    Returns:
        K tensors (B,3,levels), in 0..1 or outside.
    """
    ramp = torch.arange(levels, dtype=parameters.dtype, device=parameters.device) / (levels - 1)
    return cascade(parameters, ramp.expand(len(parameters), 3, levels))
