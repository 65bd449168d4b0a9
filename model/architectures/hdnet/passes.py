"""The passes over memory between convolutions, as operations of torch, and what they are told.

`Passes` is all that the engine does between two convolutions; `kernels.CompiledPasses` does the same with the compiled
library.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from hdnet.model.architectures.hdnet.regions import Listed, Regions, put_rows

if TYPE_CHECKING:
    from hdnet.model.architectures.hdnet.search import Search

WIDE = 256
"""Channels with which arithmetic is quick: positions are taken together until they have so many."""

Window = tuple[slice, slice]
"""Rows and columns of a map."""


@dataclasses.dataclass(frozen=True)
class Foreground:
    """Where a map's foreground is.

    Attributes:
        mask: (H,W) bool, contiguous.
        index: (F,) int64, its positions in the map flattened.
        before: (H+1), how many of these positions lie above each row, and above the end.
    """

    mask: Tensor
    index: Tensor
    before: list[int]

    @classmethod
    def of(cls, mask: Tensor) -> Self:  # (H,W) bool
        """Find the foreground of a mask."""
        mask, (height, width) = mask.contiguous(), mask.shape
        index = mask.flatten().nonzero()[:, 0]
        return cls(mask, index, torch.searchsorted(index, torch.arange(height + 1) * width).tolist())

    def crop(self, window: Window) -> Self:
        """Return the foreground of part of the map."""
        return self.of(self.mask[window])

    def within(self, top: int, bottom: int) -> Tensor:  # (F,) int64
        """Return the foreground's positions in rows, flattened; rows outside the map have none."""
        height, width = self.mask.shape
        return self.index[self.before[max(top, 0)] : self.before[min(bottom, height)]] - top * width

    def count(self, top: int, bottom: int) -> int:
        """Return how many positions rows have; rows outside the map have none."""
        return self.before[min(bottom, len(self.mask))] - self.before[max(top, 0)]

    def rows(self, top: int, bottom: int) -> Tensor:  # (bottom-top,W) bool
        """Return rows of the mask; rows outside the map are background."""
        height = len(self.mask)
        inside = self.mask[max(top, 0) : bottom]
        return F.pad(inside, (0, 0, max(-top, 0), max(bottom - height, 0)))

    def outside(self, top: int, bottom: int) -> Tensor:  # (G,) int64
        """Return the background's positions in rows, flattened."""
        return self.mask[top:bottom].flatten().logical_not().nonzero()[:, 0]


def moments(rows: Tensor) -> Tensor:  # (P,C) -> (N,3,C) float32
    """Return counts, means and variances of parts of some rows; without rows there are no parts.

    Each part is centred on its own mean before it is squared, and `merge` works in float64, so that little is lost
    where a mean is large beside its spread: a part's mean is off by some 1e-6 of itself, its variance by less than
    1e-3.
    """
    channels = rows.shape[1]
    together = max(1, WIDE // channels)
    length = len(rows) // together if len(rows) >= 2 * together else 0
    rest = rows[length * together :].float()
    parts = [torch.stack([torch.ones_like(rest), rest, torch.zeros_like(rest)], dim=1)]
    if length:
        # The statistics of batch normalisation take one read for the mean and one for the variance.
        unused = torch.empty(2, together * channels)
        wide = rows[: length * together].view(length, -1)
        mean, var = torch.batch_norm_update_stats(wide, unused[0], unused[1], 0.0)
        parts.append(
            torch.stack([torch.full_like(mean, length), mean, var]).view(3, together, channels).transpose(0, 1)
        )
    return torch.cat(parts)


def merge(parts: Tensor) -> Tensor:  # (N,...,3,C) -> (3,...,C) float64
    """Return count, mean and squared deviation of all values, of whose parts `moments` are given."""
    count, mean, var = parts.double().unbind(-2)
    total = count.sum(0)
    whole = (mean * count).sum(0) / total.clamp(min=1)
    return torch.stack([total, whole, ((var + (mean - whole).square()) * count).sum(0)])


@dataclasses.dataclass(frozen=True)
class Affine:
    """Scales and shifts channels in one pass: values * scale + shift, computed in float32, in the values' type.

    It is the second half of batch normalisation, the one operation of torch that reads bfloat16, computes in float32
    and writes bfloat16; others convert a whole map before and after.

    Attributes:
        scale: (C,) float32.
        shift: Likewise.
        together: Positions that are taken together; rows hold a multiple of so many (see `WIDE`).
    """

    scale: Tensor
    shift: Tensor
    together: int

    @classmethod
    def of(cls, scale: Tensor, shift: Tensor, positions: int) -> Self:  # (C,), (C,)
        """Take scale and shift for rows whose length is a multiple of so many positions."""
        return cls(scale, shift, math.gcd(positions, max(1, WIDE // len(scale))))

    @cached_property
    def wide(self) -> tuple[Tensor, Tensor]:  # (T*C,) each
        """Scale and shift for the channels of the positions that are taken together."""
        return self.scale.repeat(self.together), self.shift.repeat(self.together)

    def __call__(self, rows: Tensor) -> Tensor:  # (...,C) -> (...,C)
        """Scale and shift."""
        scale, shift = self.wide
        channels = len(scale)
        wide = rows.reshape(1, -1, 1, channels).permute(0, 3, 1, 2)
        out = torch.batch_norm(wide, scale, shift, *_identity(channels), False, 0.0, 0.0, False)
        return out.permute(0, 2, 3, 1).view(rows.shape)


@cache
def unchanged(channels: int) -> Affine:
    """Return what leaves values as they are."""
    return Affine(torch.ones(channels), torch.zeros(channels), 1)


class Passes:
    """The passes over memory between convolutions. Any number of threads may call them at once.

    Rows are (h,W,C), float32 or bfloat16. Where two regions are told apart, `foreground` is that of the whole map,
    whose row `top` is the first of the rows.
    """

    def read(
        self,
        rows: Tensor,
        out: Tensor,
        affine: Sequence[Affine] = (),
        foreground: Foreground | None = None,
        top: int = 0,
        slope: float = 1.0,
    ) -> None:
        """Normalise and activate rows.

        Args:
            rows: (h,W,C), the rows of the map.
            out: (h,W,C), where they go; channels may be some of a wider map's.
            affine: How they are normalised: foreground and background, or all; nothing to leave them as they are.
            foreground: Where the foreground is; None where there is one region.
            top: The first row's place in the map.
            slope: The slope of the activation for negative values; 1 for no activation.
        """
        made = affine[-1](rows) if affine else rows
        if foreground is not None and len(index := foreground.within(top, top + len(rows))):
            put_rows(made.flatten(0, 1), index, affine[0](rows.flatten(0, 1).index_select(0, index)))
        out.copy_(made if slope == 1 else F.leaky_relu(made, slope))

    def moments(self, rows: Tensor, foreground: Foreground | None, top: int) -> Sequence[Tensor]:
        """Return what `merged` takes of rows (h,W,C), of foreground and background or of all."""
        values = rows.flatten(0, 1)
        if foreground is None:
            return [moments(values)]
        bottom = top + len(rows)
        index = foreground.within(top, bottom)
        if 0 < len(index) < len(values):
            places = index, foreground.outside(top, bottom)
            return [moments(values.index_select(0, where)) for where in places]
        return [moments(values[: len(index)]), moments(values[len(index) :])]

    def merged(self, strips: Sequence[Sequence[Tensor]]) -> Tensor:  # (3,R,C) float64
        """Return count, mean and squared deviation of each region of a map, from its strips' moments."""
        return torch.stack([merge(torch.cat(parts)) for parts in zip(*strips, strict=True)], dim=1)

    def total(self, rows: Tensor) -> Tensor:  # (h,W,C) -> (C,)
        """Return the sum over all positions, in float32."""
        return rows.sum((0, 1), dtype=torch.float32)

    def regions(self, foreground: Foreground, top: int, bottom: int, dtype: torch.dtype) -> Regions:
        """Return the regions of rows, whose values have this type; rows outside the map are background."""
        index = foreground.within(top, bottom)
        return Regions(foreground.mask[None], Listed(index, [len(index)]))

    def finder(self, search: "Search") -> Callable[[Tensor], Tensor]:  # (P,) int64 -> (P,K) int64
        """Return what finds the best keys of some queries that lie near each other."""
        return search.find

    def rectify(self, x: Tensor) -> Tensor:
        """Set what is below 0 to 0, in place, and return it; x is dense in memory."""
        return F.relu_(x)


@cache
def _identity(channels: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(channels), torch.ones(channels)
