"""Feature maps worked on a few rows at a time, so that all but the maps themselves stays in cache.

A map is kept as its convolution left it, and normalised and activated whenever rows of it are read: to
store it normalised, or joined with another, would cost a pass over memory each, and its size again.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.norm import InstanceNorm, RegionNorm

STRIP = 1 << 20
"""Values in a strip of a convolution's input, and of its result: 4 MiB in float32, which caches hold."""

Window = tuple[slice, slice]
"""Rows and columns of a map."""


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
        affine: Scale and shift that normalise it, each (R,C) float32: for foreground and background, or for all.
        inside: (H,W) bool, the foreground; None where there is one region.
        slope: Of the activation after normalisation, for negative values; 1 for none.
        mean: (C,) float32, over the whole map as read.
    """

    raw: Tensor
    affine: tuple[Tensor, Tensor] | None = None
    inside: Tensor | None = None
    slope: float = 1.0
    mean: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.raw.shape
        return height, width, channels

    def read(self, top: int, bottom: int) -> Tensor:  # (bottom-top,W,C)
        """Normalise and activate rows."""
        rows = self.raw[top:bottom].flatten(0, 1)
        if self.affine is not None:
            inside = None if self.inside is None else self.inside[top:bottom].flatten()
            rows = _normalise(rows, self.affine, inside)
            rows = rows if self.slope == 1 else F.leaky_relu_(rows, self.slope)
        return rows.view(bottom - top, *self.shape[1:])


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


class Moments:
    """Count, mean and squared deviation of a region's values.

    Each strip is centred on its own mean before it is squared, and strips are merged in float64, so that
    nothing is lost where a mean is large beside its spread.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.spread = torch.zeros(channels, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:  # (P,C)
        """Count values in, using up their memory."""
        rows = rows.float()
        mean = rows.mean(0)
        share = len(rows) / (self.count + len(rows))
        offset = mean.double() - self.mean
        self.spread += rows.sub_(mean).square_().sum(0) + offset.square() * (self.count * share)
        self.mean += offset * share
        self.count += len(rows)


class Writer:
    """Takes a map's rows from the convolution, in order, and gathers each region's moments.

    Args:
        shape: Height, width and channels of the map.
        dtype: To keep it in.
        inside: (H,W) bool, the foreground; None where there is one region.
        window: What to keep of it; the moments are of all.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: torch.dtype,
        inside: Tensor | None = None,
        window: Window | None = None,
    ) -> None:
        self.inside = inside
        self.window = window or (slice(0, shape[0]), slice(0, shape[1]))
        height, width = (part.stop - part.start for part in self.window)
        self.raw = torch.empty(height, width, shape[2], dtype=dtype)
        self.moments = [Moments(shape[2]) for _ in range(1 if inside is None else 2)]
        self.row = 0

    def write(self, strip: Tensor) -> None:  # (1,C,h,W)
        """Take the next rows, and use up their memory."""
        rows = strip[0].permute(1, 2, 0)
        start, self.row = self.row, self.row + len(rows)
        kept, columns = self.window
        top, bottom = max(start, kept.start), min(self.row, kept.stop)
        if top < bottom:
            self.raw[top - kept.start : bottom - kept.start] = rows[top - start : bottom - start, columns]
        values = rows.flatten(0, 1)
        if self.inside is None:
            self.moments[0].add(values)
        else:
            self._add_regions(values, self.inside[start : self.row].flatten())

    def map(self, norm: InstanceNorm | RegionNorm, slope: float = 1.0) -> Map:
        """Return the map as a normalisation has it; with regions, its mean too."""
        sizes = torch.tensor([[moments.count] for moments in self.moments], dtype=torch.float64)
        means, spreads = (torch.stack([getattr(m, name) for m in self.moments]) for name in ("mean", "spread"))
        divisor = sizes + norm.slack
        mean = means * sizes / divisor
        var = (spreads + sizes * (means - mean).square()) / divisor
        scale, shift = (part[0].float() for part in norm.affine(mean[None], var[None]))
        whole = ((means * scale + shift) * sizes).sum(0) / sizes.sum()
        inside = None if self.inside is None else self.inside[self.window].contiguous()
        return Map(self.raw, (scale, shift), inside, slope, whole.float())

    def _add_regions(self, values: Tensor, inside: Tensor) -> None:
        count = int(inside.sum())
        if 0 < count < len(values):
            for moments, where in zip(self.moments, (inside, ~inside), strict=True):
                moments.add(values.index_select(0, where.nonzero()[:, 0]))
        else:
            self.moments[0 if count else 1].add(values)


def strips(sources: Sequence[Source], conv: Conv) -> Iterator[Tensor]:
    """Yield maps of one size, joined, in blocks of rows from top to bottom, as a convolution takes them.

    Yields:
        (1,C,h+2,W): h rows, an even number, between one more above and one below; 0 outside the maps.
    """
    height, width, _ = sources[0].shape
    channels = max(sum(source.shape[2] for source in sources), int(conv.channels * conv.scale**2))
    step = max(2, STRIP // (width * channels) // 2 * 2)
    for top in range(0, height, step):
        yield gather(sources, top - 1, min(top + step, height) + 1, conv.weight.dtype)


def gather(sources: Sequence[Source], top: int, bottom: int, dtype: torch.dtype) -> Tensor:  # (1,C,bottom-top,W)
    """Read and join the same rows of maps; rows outside them are 0."""
    height, width, _ = sources[0].shape
    first, last = max(top, 0), min(bottom, height)
    strip = torch.empty(bottom - top, width, sum(source.shape[2] for source in sources), dtype=dtype)
    strip[: first - top] = 0
    strip[last - top :] = 0
    start = 0
    for source in sources:
        end = start + source.shape[2]
        strip[first - top : last - top, :, start:end] = source.read(first, last)
        start = end
    # Added first, the batch's stride is one that oneDNN takes for channels_last; added last, it would copy.
    return strip[None].permute(0, 3, 1, 2)


def _normalise(rows: Tensor, affine: tuple[Tensor, Tensor], inside: Tensor | None) -> Tensor:  # (P,C)
    scale, shift = affine
    out = rows.to(torch.float32, copy=True)
    if inside is None:
        return torch.addcmul(shift[-1], out, scale[-1], out=out)
    index = inside.nonzero()[:, 0]
    foreground = torch.addcmul(shift[0], out.index_select(0, index), scale[0])
    return torch.addcmul(shift[-1], out, scale[-1], out=out).index_copy_(0, index, foreground)
