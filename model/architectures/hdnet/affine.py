"""Channels scaled and shifted in one pass."""

import dataclasses
import math
from functools import cache
from typing import Self

import torch
from torch import Tensor

from hdnet.model.architectures.hdnet.moments import WIDE


@dataclasses.dataclass(frozen=True)
class Affine:
    """Computes values * scale + shift in float32, and returns the values' type.

    The second half of batch normalisation, the one operation of torch that reads bfloat16, computes in float32 and
    writes bfloat16: others convert a whole map before and after.

    Attributes:
        scale: (T*C,) float32, the channels of T positions: see `WIDE`.
        shift: Likewise.
    """

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, scale: Tensor, shift: Tensor, positions: int) -> Self:  # (C,), (C,)
        """Take scale and shift for rows of multiples of so many positions."""
        times = math.gcd(positions, max(1, WIDE // len(scale)))
        return cls(scale.repeat(times), shift.repeat(times))

    def __call__(self, rows: Tensor) -> Tensor:  # (...,C) -> (...,C)
        """Scale and shift."""
        channels = len(self.scale)
        wide = rows.reshape(1, -1, 1, channels).permute(0, 3, 1, 2)
        out = torch.batch_norm(wide, self.scale, self.shift, *_identity(channels), False, 0.0, 0.0, False)
        return out.permute(0, 2, 3, 1).view(rows.shape)


@cache
def _identity(channels: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(channels), torch.ones(channels)
