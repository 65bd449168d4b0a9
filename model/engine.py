"""HDNet's forward pass for one image of any size on a CPU: the network's own weights, strip by strip.

The result is the network's to rounding; what differs is the order of the work. docs/engine.md has the
reasons and figures.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.hdnet import LEVELS, SLOPE, HDNet
from model.regional import Dynamics
from model.regions import Regions
from model.strips import Conv, Map, Source, Window, Writer, gather, strips

REACH = 2
"""Pixels that a result's colours see of the stem and of what the stem sees: one for each convolution."""


@dataclasses.dataclass(frozen=True)
class Stem:
    """The first skip, computed anew from the pixels wherever it is read: cheaper than to keep it.

    Attributes:
        pixels: The composite.
        conv: From 3 channels to n.
        mean: (n,) float32 over the whole map.
    """

    pixels: Map
    conv: Conv
    mean: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, _ = self.pixels.shape
        return height, width, self.conv.channels

    def read(self, top: int, bottom: int) -> Tensor:  # (bottom-top,W,n)
        """Convolve and activate rows."""
        out = self.conv(gather([self.pixels], top - 1, bottom + 1, self.conv.weight.dtype))
        return F.leaky_relu_(out, SLOPE)[0].permute(1, 2, 0)


class Engine:
    """Runs a network on one image.

    Args:
        network: On a CPU, in float32. Its convolutions are copied: later changes of them are not seen.
        dtype: Of the convolutions and of the maps they leave, float32 or bfloat16.
    """

    def __init__(self, network: HDNet, dtype: torch.dtype) -> None:
        self.network, self.dtype = network, dtype
        self.stem, self.neck, self.out = (_conv(module, dtype) for module in (network.stem, network.neck, network.out))
        self.encoder = [(_conv(stage.conv, dtype), stage.norm) for stage in network.encoder]
        self.decoder = [(_conv(stage.conv, dtype), stage) for stage in (network.widen, *network.decoder)]

    def __call__(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Harmonize.

        Args:
            composite: (1,3,H,W) float32 in [-1, 1]; H and W are multiples of 8.
            mask: (1,1,H,W) of 0 and 1, 1 in the foreground.

        Returns:
            (1,3,H,W) float32 in [-1, 1]: the network's colours in the foreground, the composite elsewhere.
        """
        inside = [(mask[0, 0, :: 2**level, :: 2**level] > 0.5).contiguous() for level in range(4)]
        result = composite.clone(memory_format=torch.channels_last)
        if inside[0].any():
            window = _window(inside[0])
            pixels = result[0].permute(1, 2, 0)[window]
            colours = self._colours(composite[0].permute(1, 2, 0), inside, window)
            pixels.copy_(torch.where(inside[0][window][:, :, None], colours, pixels))
        return result

    def _colours(self, pixels: Tensor, inside: list[Tensor], window: Window) -> Tensor:  # (H,W,3) -> (h,w,3)
        """Return the network's colours in a window that holds the foreground and all it sees of the stem."""
        stem_mean, skips = self._encode(pixels)
        x = self._localise(skips[-1], inside[3])
        for i in range(7):
            joined = [skips.pop(), x] if i else [x]
            levels = LEVELS[min(7 - i, 6)], LEVELS[6 - i]
            x = self._decode(i, joined, *(inside[level] for level in levels), window if i == 6 else None)
        stem = Stem(Map(pixels[window]), self.stem, stem_mean)
        strips = self._mixed([stem, x], self.network.last, inside[0][window])
        colours = torch.cat([self.out(strip) for strip in strips], dim=2)
        return colours[0].permute(1, 2, 0).float().add_(self.network.out.bias).tanh_()

    def _encode(self, pixels: Tensor) -> tuple[Tensor, list[Source]]:
        """Return the mean of the stem, and the other skips: e1 ... e6."""
        x: Stem | Map = Stem(Map(pixels), self.stem, torch.empty(0))
        maps: list[Stem | Map] = []
        for conv, norm in self.encoder:
            out, total = self._writer(x, conv), torch.zeros(x.shape[2])
            for strip in strips([x], self.dtype):
                total += strip[:, :, 1:-1].sum((0, 2, 3), dtype=torch.float32)
                out.write(conv(strip))
            maps.append(dataclasses.replace(x, mean=total / (x.shape[0] * x.shape[1])))
            x = out.map(norm, SLOPE)
        return maps[0].mean, [*maps[1:], x]

    def _localise(self, x: Source, inside: Tensor) -> Map:
        """Run the neck and local dynamics, whole: at 1/8 they are small."""
        out = torch.cat([self.neck(strip) for strip in strips([x], self.dtype)], dim=2)
        matched = self.network.local(out.float(), Regions.of(inside[None, None]))
        return Map(matched[0].permute(1, 2, 0))

    def _decode(
        self, i: int, sources: Sequence[Source], before: Tensor, after: Tensor, window: Window | None
    ) -> Map:
        conv, stage = self.decoder[i]
        out = self._writer(sources[0], conv, after, window)
        for strip in self._mixed(sources, stage.dynamics, before):
            out.write(conv(strip))
        return out.map(stage.norm)

    def _mixed(self, sources: Sequence[Source], dynamics: Dynamics, inside: Tensor) -> Iterator[Tensor]:
        """Yield strips of the joined maps, mixed globally and activated."""
        mix = dynamics.bind(torch.cat([source.mean for source in sources])[None])
        framed, top = F.pad(inside[None, None].float(), (0, 0, 1, 1)), 0
        for strip in strips(sources, self.dtype):
            regions = Regions.of(framed[:, :, top : top + strip.shape[2]])
            top += strip.shape[2] - 2
            with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                mixed = F.relu_(mix(strip, regions))
            yield mixed

    def _writer(self, x: Source, conv: Conv, inside: Tensor | None = None, window: Window | None = None) -> Writer:
        height, width, _ = x.shape
        shape = int(height * conv.scale), int(width * conv.scale), conv.channels
        return Writer(shape, self.dtype, inside, window)


def _window(inside: Tensor) -> Window:  # (H,W) bool
    """Return the foreground's box and what it sees of the stem."""
    rows, columns = (_span(inside.any(1 - axis), REACH) for axis in range(2))
    return rows, columns


def _span(occupied: Tensor, margin: int) -> slice:  # (N,) bool
    found = occupied.nonzero()
    return slice(max(int(found[0]) - margin, 0), min(int(found[-1]) + 1 + margin, len(occupied)))


def _conv(module: nn.Module, dtype: torch.dtype) -> Conv:
    """Turn a network's convolution, plain or transposed, of 3 x 3 or of 4 x 4 with stride 2, into one for strips."""
    weight, stride = module.weight.detach(), module.stride[0]
    if not isinstance(module, nn.ConvTranspose2d):
        return Conv(F.conv2d, weight.to(dtype), stride, 0, weight.shape[0], 1 / stride)
    if stride == 2:
        return Conv(F.conv_transpose2d, weight.to(dtype), 2, 3, weight.shape[1], 2)
    # With stride 1 the transposed convolution is the plain one with the kernel turned round.
    turned = weight.flip(2, 3).transpose(0, 1).contiguous()
    return Conv(F.conv2d, turned.to(dtype), 1, 0, weight.shape[1], 1)
