"""Feature maps worked on a few rows at a time, so that all but the maps themselves stays in cache.

A map is kept as its convolution left it, and normalised and activated whenever rows of it are read: to
store it normalised, or joined with another, would cost a pass over memory each, and its size again.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.hdnet.affine import Affine
from hdnet.model.architectures.hdnet.moments import Moments
from hdnet.model.architectures.hdnet.norm import InstanceNorm, RegionNorm
from hdnet.model.architectures.hdnet.regions import put_rows

STRIP = 1 << 20
"""Values in a strip of a convolution's input, and of its result: 4 MiB in float32, which caches hold."""
PARTS = 2
"""What the strips of a map of half that size and more come in multiples of, so that threads are done together.

Not the number of threads: it must not show in the result.
"""

Window = tuple[slice, slice]
"""Rows and columns of a map."""


@dataclasses.dataclass(frozen=True)
class Foreground:
    """Where a map's foreground is.

    Attributes:
        mask: (H,W) bool.
        index: (F,) int64, its positions in the map flattened.
        before: (H+1), how many of them lie above each row, and above the end.
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
        """Return its positions in rows, flattened; of rows outside the map none is foreground."""
        height, width = self.mask.shape
        return self.index[self.before[max(top, 0)] : self.before[min(bottom, height)]] - top * width

    def outside(self, top: int, bottom: int) -> Tensor:  # (G,) int64
        """Return the background's positions in rows, flattened."""
        return self.mask[top:bottom].flatten().logical_not().nonzero()[:, 0]


class Source(Protocol):
    """What a convolution reads rows from."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def mean(self) -> Tensor:
        """Over the whole map, as read; (C,) float32."""

    def read(self, top: int, bottom: int) -> Tensor:  # (bottom-top,W,C)
        """Return activated rows, all inside the map."""


@dataclasses.dataclass(frozen=True)
class Map:
    """A feature map.

    Attributes:
        raw: (H,W,C), as the convolution left it.
        affine: What normalises it: foreground and background, or all of it.
        foreground: None where there is one region.
        slope: Of the activation after normalisation, for negative values; 1 for none.
        mean: (C,) float32, over the whole map as read.
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
    """A convolution whose kernel reaches one row and one column past a block of input on each side.

    It has no bias.

    Attributes:
        function: `F.conv2d` or `F.conv_transpose2d`.
        weight: In the type to compute in.
        stride: 1 or 2.
        margin: Rows of padding that leave the block's own rows of the result, and none of the halo's.
        channels: Of the result.
        scale: Of the result's sides to the input's.
    """

    function: Callable[..., Tensor]
    weight: Tensor
    stride: int
    margin: int
    channels: int
    scale: float

    @classmethod
    def of(cls, module: nn.Conv2d | nn.ConvTranspose2d, dtype: torch.dtype) -> Self:
        """Take a convolution of 3 x 3, or of 4 x 4 with stride 2, whose padding is 1."""
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

    Several threads may write, each rows of its own.

    Args:
        shape: Height, width and channels of the map.
        dtype: To keep it in.
        foreground: Of the map; None where there is one region.
        window: What to keep of it; the moments are of all.
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
        """Return the map as a normalisation has it; with regions, its mean too."""
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
        together = [width] if len(scale) == 1 else [1, width]  # the foreground comes in any number of positions
        affine = tuple(Affine.of(*one) for one in zip(scale, shift, together, strict=True))
        return Map(self.raw, affine, seen, slope, whole.float())

    def _regions(self, values: Tensor, top: int, bottom: int) -> list[Tensor]:  # (P,C) of rows
        if self.foreground is None:
            return [values]
        index = self.foreground.within(top, bottom)
        if 0 < len(index) < len(values):
            return [values.index_select(0, where) for where in (index, self.foreground.outside(top, bottom))]
        return [values[: len(index)], values[len(index) :]]


def spans(sources: Sequence[Source], conv: Conv) -> list[tuple[int, int]]:
    """Divide the rows of maps of one size into strips of an even number: first row and the one after the last."""
    height, width, _ = sources[0].shape
    channels = max(sum(source.shape[2] for source in sources), int(conv.channels * conv.scale**2))
    parts = PARTS if 2 * height * width * channels >= STRIP else 1
    count = -(-height // max(2, STRIP // (width * channels)))
    count += -count % parts
    step = -(-height // count)
    step += step % 2
    return [(top, min(top + step, height)) for top in range(0, height, step)]


def gather(sources: Sequence[Source], top: int, bottom: int, dtype: torch.dtype) -> Tensor:  # (1,C,h+2,W)
    """Read and join the same rows of maps, between one more above and one below; 0 outside the maps."""
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
    # Added first, the batch's stride is one that oneDNN takes for channels_last; added last, it would copy.
    return strip[None].permute(0, 3, 1, 2)
