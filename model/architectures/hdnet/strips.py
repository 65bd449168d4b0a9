"""Feature maps worked on a few rows at a time, so that all but the maps themselves stays in cache.

A map is kept as its convolution left it, and normalised and activated whenever rows of it are read: storing it
normalised, or joined with another, would cost a pass over memory each, and its size again.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.hdnet.norm import InstanceNorm, RegionNorm
from hdnet.model.architectures.hdnet.regions import put_rows

WIDE = 256
"""Channels with which arithmetic is quick: positions are taken together until they have so many."""
STRIP = 1 << 20
"""Most values in a strip of a convolution's input or result: 4 MiB in float32, which caches hold."""
PARTS = 2
"""A map of half a strip and more is divided into a multiple of so many strips, so that threads finish together.

It is not the number of threads, which must not show in the result.
"""

Window = tuple[slice, slice]
"""Rows and columns of a map."""


@dataclasses.dataclass(frozen=True)
class Foreground:
    """Where a map's foreground is.

    Attributes:
        mask: (H,W) bool.
        index: (F,) int64, its positions in the map flattened.
        before: (H+1), how many of these positions lie above each row, and above the end.
    """

    mask: Tensor
    index: Tensor
    before: list[int]

    @classmethod
    def of(cls, mask: Tensor) -> Self:  # (H,W) bool
        """Find the foreground of a mask."""
        height, width = mask.shape
        index = mask.flatten().nonzero()[:, 0]
        return cls(mask, index, torch.searchsorted(index, torch.arange(height + 1) * width).tolist())

    def crop(self, window: Window) -> Self:
        """Return the foreground of part of the map."""
        whole = self.mask.shape == tuple(part.stop - part.start for part in window)
        return self if whole else self.of(self.mask[window])

    def within(self, top: int, bottom: int) -> Tensor:  # (F,) int64
        """Return the foreground's positions in rows, flattened; rows outside the map have none."""
        height, width = self.mask.shape
        return self.index[self.before[max(top, 0)] : self.before[min(bottom, height)]] - top * width

    def outside(self, top: int, bottom: int) -> Tensor:  # (G,) int64
        """Return the background's positions in rows, flattened."""
        return self.mask[top:bottom].flatten().logical_not().nonzero()[:, 0]


@dataclasses.dataclass(frozen=True)
class Moments:
    """Means and variances of parts of some values.

    Each part is centred on its own mean before it is squared, and parts are merged in float64, so that little is lost
    where a mean is large beside its spread: a part's mean is off by some 1e-6 of itself, its variance by less than
    1e-3.

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
        """Take the moments of all rows; without rows there are none."""
        channels = rows.shape[1]
        together = max(1, WIDE // channels)
        length = len(rows) // together if len(rows) >= 2 * together else 0
        found = []
        if length:
            # The statistics of batch normalisation take one read for the mean and one for the variance.
            unused = torch.empty(2, together * channels)
            wide = rows[: length * together].view(length, -1)
            mean, var = torch.batch_norm_update_stats(wide, unused[0], unused[1], 0.0)
            found.append(cls([length] * together, mean.view(together, -1), var.view(together, -1)))
        if length * together < len(rows):
            rest = rows[length * together :].float()
            found.append(cls([1] * len(rest), rest, torch.zeros_like(rest)))
        return found

    @classmethod
    def merged(cls, several: Iterable[Self], channels: int) -> Tensor:
        """Return count, mean and squared deviation of all values, (3,C) float64."""
        parts = [cls([], *torch.empty(2, 0, channels)), *several]
        count = torch.tensor([n for part in parts for n in part.counts], dtype=torch.float64)[:, None]
        mean, var = (torch.cat([getattr(part, name) for part in parts]).double() for name in ("means", "variances"))
        whole = (mean * count).sum(0) / count.sum().clamp(min=1)
        spread = ((var + (mean - whole).square()) * count).sum(0)
        return torch.stack([count.sum().expand(channels), whole, spread])


@dataclasses.dataclass(frozen=True)
class Affine:
    """Scales and shifts channels in one pass: values * scale + shift, computed in float32, in the values' type.

    It is the second half of batch normalisation, the one operation of torch that reads bfloat16, computes in float32
    and writes bfloat16; others convert a whole map before and after.

    Attributes:
        scale: (T*C,) float32, the channels of T positions (see `WIDE`).
        shift: Likewise.
    """

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, scale: Tensor, shift: Tensor, positions: int) -> Self:  # (C,), (C,)
        """Take scale and shift for rows whose length is a multiple of so many positions."""
        together = math.gcd(positions, max(1, WIDE // len(scale)))
        return cls(scale.repeat(together), shift.repeat(together))

    def __call__(self, rows: Tensor) -> Tensor:  # (...,C) -> (...,C)
        """Scale and shift."""
        channels = len(self.scale)
        wide = rows.reshape(1, -1, 1, channels).permute(0, 3, 1, 2)
        out = torch.batch_norm(wide, self.scale, self.shift, *_identity(channels), False, 0.0, 0.0, False)
        return out.permute(0, 2, 3, 1).view(rows.shape)


class Source(Protocol):
    """A map that a convolution reads rows from."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def mean(self) -> Tensor:
        """The mean over the whole map, as read; (C,) float32."""

    def read(self, top: int, bottom: int) -> Tensor:  # (bottom-top,W,C)
        """Return activated rows, all inside the map."""


@dataclasses.dataclass(frozen=True)
class Map:
    """A feature map.

    Attributes:
        raw: (H,W,C), the map as the convolution left it.
        affine: How it is normalised: foreground and background, or all of it.
        foreground: Where the foreground is; None where there is one region.
        slope: The slope of the activation after normalisation for negative values; 1 for no activation.
        mean: (C,) float32, the mean over the whole map as read.
    """

    raw: Tensor
    affine: tuple[Affine, ...] = ()
    foreground: Foreground | None = None
    slope: float = 1.0
    mean: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.raw.shape
        return height, width, channels

    def read(self, top: int, bottom: int) -> Tensor:  # (bottom-top,W,C)
        """Normalise and activate rows."""
        rows = self.raw[top:bottom]
        if not self.affine:
            return rows
        out = self.affine[-1](rows)
        if self.foreground is not None and len(index := self.foreground.within(top, bottom)):
            inside = rows.flatten(0, 1).index_select(0, index)
            put_rows(out.flatten(0, 1), index, self.affine[0](inside))
        return out if self.slope == 1 else F.leaky_relu_(out, self.slope)


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution without bias whose kernel reaches one row and one column past a block of input on each side.

    Attributes:
        function: `F.conv2d` or `F.conv_transpose2d`.
        weight: The kernel, in the type to compute in.
        stride: 1 or 2.
        margin: Rows of padding that leave the block's own rows of the result, and none of the halo's.
        channels: Channels of the result.
        scale: How many times longer the result's sides are than the input's.
    """

    function: Callable[..., Tensor]
    weight: Tensor
    stride: int
    margin: int
    channels: int
    scale: float

    @classmethod
    def of(cls, module: nn.Conv2d | nn.ConvTranspose2d, dtype: torch.dtype) -> Self:
        """Take over a convolution of 3 x 3, or of 4 x 4 with stride 2, whose padding is 1."""
        weight, stride = module.weight.detach(), module.stride[0]
        if isinstance(module, nn.Conv2d):
            return cls(F.conv2d, weight.to(dtype), stride, 0, len(weight), 1 / stride)
        if stride == 2:
            return cls(F.conv_transpose2d, weight.to(dtype), stride, 3, weight.shape[1], stride)
        # With stride 1 a transposed convolution is a plain one with its kernel turned round.
        return cls(F.conv2d, weight.flip(2, 3).transpose(0, 1).to(dtype).contiguous(), 1, 0, weight.shape[1], 1)

    def __call__(self, strip: Tensor) -> Tensor:  # (1,C,h+2,W) -> (1,D,h*scale,W*scale)
        return self.function(strip, self.weight, None, self.stride, (self.margin, 1))


class Writer:
    """Takes a map's rows from the convolution, and gathers each region's moments.

    Several threads may write, each its own rows.

    Args:
        shape: Height, width and channels of the map.
        dtype: The type to keep the map in.
        foreground: Where the foreground is; None where there is one region.
        window: The part of the map to keep; the moments are those of the whole map.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: torch.dtype,
        foreground: Foreground | None = None,
        window: Window | None = None,
    ) -> None:
        self.foreground = foreground
        self.window = window or (slice(0, shape[0]), slice(0, shape[1]))
        height, width = (part.stop - part.start for part in self.window)
        self.raw = torch.empty(height, width, shape[2], dtype=dtype)
        self.moments: dict[int, list[list[Moments]]] = {}

    def write(self, start: int, strip: Tensor) -> None:  # (1,C,h,W)
        """Take the rows from `start` on."""
        rows = strip[0].permute(1, 2, 0)
        stop = start + len(rows)
        kept, columns = self.window
        top, bottom = max(start, kept.start), min(stop, kept.stop)
        if top < bottom:
            self.raw[top - kept.start : bottom - kept.start] = rows[top - start : bottom - start, columns]
        values = rows.flatten(0, 1)
        self.moments[start] = [Moments.of(part) for part in self._regions(values, start, stop)]

    def map(self, norm: InstanceNorm | RegionNorm, slope: float = 1.0) -> Map:
        """Return the map, normalised, with its mean."""
        strips = [self.moments[start] for start in sorted(self.moments)]
        regions = [Moments.merged(itertools.chain(*parts), self.raw.shape[2]) for parts in zip(*strips, strict=True)]
        sizes, mean, spread = torch.stack(regions, dim=1)
        divisor = sizes + norm.slack
        centre = mean * sizes / divisor
        var = (spread + sizes * (mean - centre).square()) / divisor
        scale, shift = (part[0].float() for part in norm.affine(centre[None], var[None]))
        whole = ((mean * scale + shift) * sizes).sum(0) / sizes.sum(0)
        seen = self.foreground and self.foreground.crop(self.window)
        width = self.raw.shape[1]
        lengths = [width] if len(scale) == 1 else [1, width]  # the foreground comes in any number of positions
        affine = tuple(Affine.of(*one) for one in zip(scale, shift, lengths, strict=True))
        return Map(self.raw, affine, seen, slope, whole.float())

    def _regions(self, values: Tensor, top: int, bottom: int) -> list[Tensor]:  # (P,C) of rows
        if self.foreground is None:
            return [values]
        index = self.foreground.within(top, bottom)
        if 0 < len(index) < len(values):
            return [values.index_select(0, where) for where in (index, self.foreground.outside(top, bottom))]
        return [values[: len(index)], values[len(index) :]]


def spans(sources: Sequence[Source], conv: Conv) -> list[tuple[int, int]]:
    """Divide the rows of maps of one size into strips of an even length; return each one's first row and end."""
    height, width, _ = sources[0].shape
    channels = max(sum(source.shape[2] for source in sources), int(conv.channels * conv.scale**2))
    parts = PARTS if 2 * height * width * channels >= STRIP else 1
    count = -(-height // max(2, STRIP // (width * channels)))
    count += -count % parts
    step = -(-height // count)
    step += step % 2
    return [(top, min(top + step, height)) for top in range(0, height, step)]


def gather(sources: Sequence[Source], top: int, bottom: int, dtype: torch.dtype) -> Tensor:  # (1,C,h+2,W)
    """Read the same rows of several maps, one more above and one below, and join them; it is 0 outside the maps."""
    top, bottom = top - 1, bottom + 1
    height, width, _ = sources[0].shape
    first, last = max(top, 0), min(bottom, height)
    strip = torch.empty(bottom - top, width, sum(source.shape[2] for source in sources), dtype=dtype)
    strip[: first - top].zero_()
    strip[last - top :].zero_()
    start = 0
    for source in sources:
        end = start + source.shape[2]
        strip[first - top : last - top, :, start:end] = source.read(first, last)
        start = end
    # With the batch's dimension added first, its stride is one that oneDNN takes for channels_last; else it would copy.
    return strip[None].permute(0, 3, 1, 2)


@cache
def _identity(channels: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(channels), torch.ones(channels)
