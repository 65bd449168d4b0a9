"""Runs HDNet on one image: on a CPU strip by strip, elsewhere as the network itself.

The engine's result is the network's but for rounding; what differs is the order of the work. docs/engine.md has
reasons and figures.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor

from hdnet.model.allocator import keep_strips
from hdnet.model.architectures.base import PaddedRenderer
from hdnet.model.architectures.hdnet import LARGE, kernels
from hdnet.model.architectures.hdnet.global_dynamics import Dynamics
from hdnet.model.architectures.hdnet.network import LEVELS, SLOPE, DecoderStage, EncoderStage, HDNet
from hdnet.model.architectures.hdnet.passes import Foreground, Window
from hdnet.model.architectures.hdnet.regions import Regions
from hdnet.model.architectures.hdnet.strips import Conv, Map, MapWriter, Source, gather, spans
from hdnet.model.precision import Precision
from hdnet.model.team import lead, share

REACH = 2
"""Pixels that colours depend on beyond their own through the first skip: one for each of the two convolutions."""


@dataclasses.dataclass(frozen=True)
class Stem:
    """The first skip. It is computed anew from the pixels wherever it is read, which is cheaper than keeping it.

    Attributes:
        pixels: (H+2,W,3), the composite in the convolution's type, with a row of 0 above and one below.
        conv: The stem's convolution, from 3 channels to n.
        mean: (n,) float32, the mean over the whole map.
    """

    pixels: Tensor
    conv: Conv
    mean: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, _ = self.pixels.shape
        return height - 2, width, self.conv.channels

    def read(self, top: int, bottom: int, out: Tensor) -> None:  # (bottom-top,W,n)
        """Convolve and activate rows."""
        rows = self.conv(self.pixels[None, top : bottom + 2].permute(0, 3, 1, 2))
        kernels.installed().read(rows[0].permute(1, 2, 0), out, slope=SLOPE)


class Engine:
    """Runs a network on one image; any number of threads may call it at once.

    Args:
        network: It is on a CPU, in float32. Later changes of its weights may go unseen.
        dtype: The type of the convolutions and of the maps they leave, float32 or bfloat16.
    """

    def __init__(self, network: HDNet, dtype: torch.dtype) -> None:
        self.network, self.dtype = network, dtype
        self.stem, self.neck, self.out = (Conv.of(m, dtype) for m in (network.stem, network.neck, network.out))
        encoder = cast(Iterable[EncoderStage], network.encoder)
        decoder = cast(Iterable[DecoderStage], (network.widen, *network.decoder))
        self.encoder = [(Conv.of(stage.conv, dtype), stage.norm) for stage in encoder]
        self.decoder = [(Conv.of(stage.conv, dtype), stage.dynamics, stage.norm) for stage in decoder]

    def __call__(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Harmonize.

        Args:
            composite: (1,3,H,W) float32 in [-1, 1]; H and W are multiples of 8.
            mask: (1,1,H,W) of 0 and 1, 1 in the foreground.

        Returns:
            (1,3,H,W) float32 in [-1, 1]: the network's colours in the foreground, the composite elsewhere.
        """
        values = composite[0, 0].numel() * self.network.config.width
        if values < LARGE:  # operations too short for Python's threads to take turns: torch's share each one instead
            with torch.inference_mode():
                return self._harmonize(composite, mask)
        return lead(lambda: self._harmonize(composite, mask))

    def _harmonize(self, composite: Tensor, mask: Tensor) -> Tensor:
        inside = [Foreground.of(mask[0, 0, :: 2**level, :: 2**level].bool()) for level in range(4)]
        if not len(inside[0].index):
            return composite.clone()
        result = composite.clone(memory_format=torch.channels_last)
        pixels, painted = (image[0].permute(1, 2, 0) for image in (composite, result))
        self._paint(painted, pixels, inside, _window(inside[0].mask))
        return result

    def _paint(self, result: Tensor, pixels: Tensor, inside: list[Foreground], window: Window) -> None:  # (H,W,3) both
        """Put the network's colours into the foreground; the window holds it and all it sees of the stem."""
        mean, skips = self._encode(pixels)
        x = self._localise(skips[-1], inside[3])
        x = self._decode(0, [x], inside[3], inside[3])
        for i in range(1, 6):
            x = self._decode(i, [skips.pop(), x], inside[LEVELS[7 - i]], inside[LEVELS[6 - i]])
        x = self._decode(6, [skips.pop(), x], inside[1], inside[0], window)
        sources: list[Source] = [self._stem(pixels[window], mean), x]
        seen = inside[0].crop(window)
        mixed = self._mixer(sources, self.network.last, seen)
        bias = cast(Tensor, self.network.out.bias)

        def paint(rows: tuple[int, int]) -> None:
            colours = self.out(mixed(*rows))[0].permute(1, 2, 0).float().add_(bias).tanh_()
            part = result[window][slice(*rows)]
            part.copy_(torch.where(seen.mask[slice(*rows), :, None], colours, part))

        share(paint, spans(sources, self.out))

    def _encode(self, pixels: Tensor) -> tuple[Tensor, list[Source]]:
        """Return the mean of the stem, and the other skips: e1 ... e6."""
        x: Stem | Map = self._stem(pixels, torch.empty(0))
        maps: list[Stem | Map] = []
        for conv, norm in self.encoder:
            mean, out = self._encode_stage(x, conv)
            maps.append(dataclasses.replace(x, mean=mean))
            x = out.map(norm, SLOPE)
        return maps[0].mean, [*maps[1:], x]

    def _encode_stage(self, x: Source, conv: Conv) -> tuple[Tensor, MapWriter]:
        """Return the mean of the input, and the output."""
        out = MapWriter()

        def run(rows: tuple[int, int]) -> Tensor:
            strip = gather([x], *rows, self.dtype)
            out.write(rows[0] // conv.stride, conv(strip))
            return kernels.installed().total(strip[0].permute(1, 2, 0)[1:-1])

        total = torch.stack(share(run, spans([x], conv))).sum(0)
        return total / (x.shape[0] * x.shape[1]), out

    def _localise(self, x: Source, inside: Foreground) -> Map:
        """Run the neck and local dynamics, whole: at 1/8 they are small."""
        strips = share(lambda rows: self.neck(gather([x], *rows, self.dtype)), spans([x], self.neck))
        out = torch.cat(strips, dim=2)
        matched = self.network.local(out.float(), Regions.of(inside.mask[None, None]))
        return Map([matched[0].permute(1, 2, 0)])

    def _decode(
        self, i: int, sources: Sequence[Source], before: Foreground, after: Foreground, window: Window | None = None
    ) -> Map:
        """Run a stage of the decoder, whose input has the foreground `before` and whose result has `after`."""
        conv, dynamics, norm = self.decoder[i]
        out = MapWriter(after, window)
        mixed = self._mixer(sources, dynamics, before)
        share(lambda rows: out.write(int(rows[0] * conv.scale), conv(mixed(*rows))), spans(sources, conv))
        return out.map(norm)

    def _mixer(self, sources: Sequence[Source], dynamics: Dynamics, inside: Foreground) -> Callable[[int, int], Tensor]:
        """Return what reads rows of the joined maps, mixes them globally and activates them."""
        mix = dynamics.bind(torch.cat([source.mean for source in sources])[None])

        def mixed(top: int, bottom: int) -> Tensor:
            regions = kernels.installed().regions(inside, top - 1, bottom + 1, self.dtype)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                return kernels.installed().rectify(mix(gather(sources, top, bottom, self.dtype), regions))

        return mixed

    def _stem(self, pixels: Tensor, mean: Tensor) -> Stem:  # (H,W,3), (n,)
        height, width, channels = pixels.shape
        padded = torch.zeros(height + 2, width, channels, dtype=self.dtype)
        padded[1:-1] = pixels.to(self.dtype)  # converted before their order changes: twice as fast
        return Stem(padded, self.stem, mean)


def renderer(network: HDNet, device: torch.device, precision: Precision) -> PaddedRenderer:
    """Return what runs a network on one image of any size."""
    if device.type != "cpu":
        return PaddedRenderer.of(network, device, precision)
    keep_strips()
    return PaddedRenderer(Engine(network, getattr(torch, precision)), network.architecture.size, device)


def _window(inside: Tensor) -> Window:  # (H,W) bool
    """Return the foreground's box and what it sees of the stem."""
    occupied = inside.view(torch.uint8)  # whose maximum takes a fortieth of the time of `any`
    return _span(occupied.amax(1)), _span(occupied.amax(0))


def _span(occupied: Tensor) -> slice:  # (N,) bool
    first, last = occupied.nonzero()[[0, -1], 0].tolist()
    return slice(max(first - REACH, 0), min(last + 1 + REACH, len(occupied)))
