"""Means and variances of maps that are seen piece by piece."""

import dataclasses
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor

WIDE = 256
"""Channels that arithmetic is quick with: positions are taken together until they have as many."""


@dataclasses.dataclass(frozen=True)
class Moments:
    """Means and variances of parts of some values.

    Each part is centred on its own mean before it is squared, and parts are merged in float64, so that little
    is lost where a mean is large beside its spread: of a part's mean some 1e-6, of its variance less than 1e-3.

    Attributes:
        counts: Values in each of N parts.
        means: (N,C) float32.
        variances: (N,C) float32.
    """

    counts: list[int]
    means: Tensor
    variances: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> list[Self]:  # (P,C)
        """Take the moments of all rows; none of no rows."""
        channels = rows.shape[1]
        times = max(1, WIDE // channels)
        length = len(rows) // times if len(rows) >= 2 * times else 0
        found = []
        if length:
            # The statistics of batch normalisation alone: one read for the mean, one for the variance.
            unused = torch.empty(2, times * channels)
            wide = rows[: length * times].view(length, -1)
            mean, var = torch.batch_norm_update_stats(wide, unused[0], unused[1], 0.0)
            found.append(cls([length] * times, mean.view(times, -1), var.view(times, -1)))
        if length * times < len(rows):
            rest = rows[length * times :].float()
            found.append(cls([1] * len(rest), rest, torch.zeros_like(rest)))
        return found

    @classmethod
    def merged(cls, several: Iterable[Self], channels: int) -> Tensor:
        """Return count, mean and squared deviation of all together, (3,C) float64."""
        parts = [cls([], *torch.empty(2, 0, channels)), *several]
        count = torch.tensor([n for part in parts for n in part.counts], dtype=torch.float64)[:, None]
        mean, var = (torch.cat([getattr(part, name) for part in parts]).double() for name in ("means", "variances"))
        whole = (mean * count).sum(0) / count.sum().clamp(min=1)
        spread = ((var + (mean - whole).square()) * count).sum(0)
        return torch.stack([count.sum().expand(channels), whole, spread])
