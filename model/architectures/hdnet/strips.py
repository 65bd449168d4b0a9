"""Feature maps worked on a few rows at a time, so that all but the maps themselves stays in cache.

A map is kept as its convolution left it, and normalised and activated whenever rows of it are read: storing it
normalised, or joined with another, would cost a pass over memory each, and its size again.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.hdnet import kernels
from hdnet.model.architectures.hdnet.norm import InstanceNorm, RegionNorm
from hdnet.model.architectures.hdnet.passes import Affine, Foreground, Window

STRIP = 1 << 22
"""Most bytes in a strip of a convolution's input or result, which caches hold."""
PARTS = 2
"""A map of half a strip and more is divided into a multiple of so many strips, so that threads finish together.

It is not the number of threads, which must not show in the result.
"""


class Source(Protocol):
    """A map that a convolution reads rows from."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def mean(self) -> Tensor:
        """The mean over the whole map, as read; (C,) float32."""

    def read(self, top: int, bottom: int, out: Tensor) -> None:  # (bottom-top,W,C)
        """Put activated rows, all inside the map, into a strip."""


@dataclasses.dataclass(frozen=True)
class Map:
    """A feature map.

    Attributes:
        raw: Strips of the map from top to bottom, (h,W,C) each, as the convolution left them.
        affine: How it is normalised: foreground and background, or all of it.
        foreground: Where the foreground is; None where there is one region.
        slope: The slope of the activation after normalisation for negative values; 1 for no activation.
        mean: (C,) float32, the mean over the whole map as read.
    """

    raw: Sequence[Tensor]
    affine: tuple[Affine, ...] = ()
    foreground: Foreground | None = None
    slope: float = 1.0
    mean: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0))

    @cached_property
    def starts(self) -> list[int]:
        """The first row of each strip, and the map's height."""
        return [0, *itertools.accumulate(strip.shape[0] for strip in self.raw)]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        _, width, channels = self.raw[0].shape
        return self.starts[-1], width, channels

    def read(self, top: int, bottom: int, out: Tensor) -> None:  # (bottom-top,W,C)
        """Normalise and activate rows."""
        for strip, (start, end) in zip(self.raw, itertools.pairwise(self.starts), strict=True):
            first, last = max(top, start), min(bottom, end)
            if first < last:
                rows, place = strip[first - start : last - start], out[first - top : last - top]
                kernels.installed().read(rows, place, self.affine, self.foreground, first, self.slope)


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


class MapWriter:
    """Takes a map's rows from the convolution, and gathers each region's moments.

    Several threads may write, each its own rows.

    Args:
        foreground: Where the foreground is; None where there is one region.
        window: The part of the map to keep, by default all; the moments are those of the whole map.
    """

    def __init__(self, foreground: Foreground | None = None, window: Window | None = None) -> None:
        self.foreground, self.window = foreground, window
        self.raw: dict[int, Tensor] = {}
        self.moments: dict[int, Sequence[Tensor]] = {}

    def write(self, start: int, strip: Tensor) -> None:  # (1,C,h,W)
        """Take the rows from `start` on."""
        rows = strip[0].permute(1, 2, 0)
        self.raw[start] = rows if self.window is None else _part(rows, start, self.window)
        self.moments[start] = kernels.installed().moments(rows, self.foreground, start)

    def map(self, norm: InstanceNorm | RegionNorm, slope: float = 1.0) -> Map:
        """Return the map, normalised, with its mean."""
        starts = sorted(self.raw)
        raw, width = [self.raw[start] for start in starts], self.raw[starts[0]].shape[1]
        sizes, mean, spread = kernels.installed().merged([self.moments[start] for start in starts])
        divisor = sizes + norm.slack
        centre = mean * sizes / divisor
        var = (spread + sizes * (mean - centre).square()) / divisor
        scale, shift = (part[0].float() for part in norm.affine(centre[None], var[None]))
        whole = ((mean * scale + shift) * sizes).sum(0) / sizes.sum(0)
        seen = self.foreground if self.window is None or not self.foreground else self.foreground.crop(self.window)
        lengths = [width] if len(scale) == 1 else [1, width]  # the foreground comes in any number of positions
        affine = tuple(Affine.of(*one) for one in zip(scale, shift, lengths, strict=True))
        return Map(raw, affine, seen, slope, whole.float())


def _part(rows: Tensor, start: int, window: Window) -> Tensor:  # (h,W,C), first row -> (h',W',C)
    """Copy the part of rows that lies in a window of the map, so that the rest is freed."""
    kept, columns = window
    first, last = max(kept.start - start, 0), max(kept.stop - start, 0)
    return rows[first:last, columns].clone(memory_format=torch.contiguous_format)


def spans(sources: Sequence[Source], conv: Conv) -> list[tuple[int, int]]:
    """Divide the rows of maps of one size into strips of an even length; return each one's first row and end."""
    height, width, _ = sources[0].shape
    channels = max(sum(source.shape[2] for source in sources), int(conv.channels * conv.scale**2))
    row = width * channels * conv.weight.itemsize
    parts = PARTS if 2 * height * row >= STRIP else 1
    count = -(-height // max(2, STRIP // row))
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
        source.read(first, last, strip[first - top : last - top, :, start:end])
        start = end
    # With the batch's dimension added first, its stride is one that oneDNN takes for channels_last; else it would copy.
    return strip[None].permute(0, 3, 1, 2)
