"""Runs an S2CRNet on one image of any size: looks at thumbnails, then renders the foreground's box at full size.

A cascade of curves sends each level of a channel to one value, whatever the pixel's place: a table holds it. With
8 bits the blend has only 256 shares of 256 levels, so that a second table holds the blended and rounded pixels.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from hdnet.model import team
from hdnet.model.architectures.base import Renderer, autocast
from hdnet.model.architectures.s2crnet import curves, thumbnails
from hdnet.model.architectures.s2crnet.network import S2CRNet
from hdnet.model.precision import Precision
from hdnet.transforms import errors
from hdnet.transforms.pixels import image, tensor

LEVELS = 256
STRIP = 1 << 16
"""Pixels that are rendered at once: their indices stay in cache."""
LARGE = 1 << 19
"""Pixels of an image from which threads share its strips."""

Result = TypeVar("Result")
Table = npt.NDArray[np.float32]  # (3,256) or (3,65536): a channel's level -> its colour, in the image's integer scale


class CurveRenderer(Renderer):
    """Runs a network on one image.

    Args:
        network: In eval mode, on `device`.
        device: Where the network runs; rendering is the CPU's work.
        precision: What the backbone computes in; curves are computed in float32 and better.
    """

    def __init__(self, network: S2CRNet, device: torch.device, precision: Precision) -> None:
        self.network, self.device, self.precision = network, device, precision

    def __call__(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.Pixels:
        """Harmonize an image: give what `tensor.blend` makes of composite and colours, without a float image.

        A curve has a colour for every pixel, so that soft edges need none carried outward.
        """
        box = thumbnails.find_box(mask)
        if box is None:
            return composite.copy()
        table = self._table(composite, mask, box, label)
        return _in_team(lambda: _render(composite, mask, box, table), mask)

    def colours(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.FloatPixels:
        """Render where the mask is above 0; colours may be outside the composite's range."""
        result = composite.astype(np.float32)
        inside = mask > 0
        result[inside] = self.look_up(composite, mask, inside, label)
        return result

    def look_up(
        self, composite: image.Pixels, mask: image.Mask, region: image.Foreground, label: int | None = None
    ) -> image.FloatPixels:
        """Return the network's colours of a region's N pixels, (N,3) float32 in the composite's integer scale.

        Args:
            composite: As for `colours`.
            mask: As for `colours`.
            region: (H,W) bool, where the mask is above 0.
            label: As for `colours`.

        Raises:
            HarmonizeError: As for `colours`.
        """
        box = thumbnails.find_box(mask)
        if box is None:
            return np.empty((0, 3), np.float32)
        return _look_up(self._table(composite, mask, box, label), composite[region])

    def _table(self, composite: image.Pixels, mask: image.Mask, box: thumbnails.Box, label: int | None) -> Table:
        seen = _in_team(lambda: thumbnails.look(composite, mask, box, self.network.config.thumbnail, self.device), mask)
        known = None if label is None else torch.tensor([label], device=self.device)
        with torch.inference_mode(), autocast(self.device, self.precision):
            parameters = self.network.parameterise(*seen, known)
        if not torch.isfinite(parameters).all():
            height, width = mask.shape
            raise errors.HarmonizeError(f"the network's result for a {width} x {height} image is not finite")
        highest = np.iinfo(composite.dtype).max
        table: Table = (curves.tables(parameters.cpu().double(), highest + 1)[-1][0] * highest).float().numpy()
        return table


def _in_team(work: Callable[[], Result], mask: image.Mask) -> Result:
    return team.lead(work) if mask.size >= LARGE else work()


def _render(composite: image.Pixels, mask: image.Mask, box: thumbnails.Box, table: Table) -> image.Pixels:
    """Blend the table's colours into a copy of the composite, strip by strip."""
    result = np.empty_like(composite, order="C")
    rows, columns = box
    blend = _blend_by_table(table) if composite.dtype == np.uint8 and mask[box].size > LEVELS**2 else _blend(table)

    def render(strip: slice) -> None:
        result[strip] = composite[strip]
        inside = slice(max(strip.start, rows.start), min(strip.stop, rows.stop))
        if inside.start < inside.stop:
            result[inside, columns] = blend(composite[inside, columns], mask[inside, columns])

    height, width = mask.shape
    team.share(render, thumbnails.spans(height, STRIP // width))
    return result


def _look_up(table: Table, composite: image.Pixels) -> image.FloatPixels:  # (3,N), (...,3) -> (...,3)
    return np.stack([values.take(composite[..., channel]) for channel, values in enumerate(table)], axis=-1)


def _blend(table: Table) -> Callable[[image.Pixels, image.Mask], image.Pixels]:
    return lambda composite, mask: tensor.blend(composite, _look_up(table, composite), mask)


def _blend_by_table(table: Table) -> Callable[[image.Pixels, image.Mask], image.Pixels]:
    """Blend every share with every level once, and look pixels up: what `tensor.blend` gives, many times as fast."""
    levels = np.arange(LEVELS, dtype=np.uint8)
    shares, composite = np.meshgrid(levels, levels, indexing="ij")
    every = np.repeat(composite[..., None], 3, axis=2)
    blended = np.moveaxis(tensor.blend(every, _look_up(table, every), shares), 2, 0).reshape(3, LEVELS**2)

    def blend(composite: image.Pixels, mask: image.Mask) -> image.Pixels:
        result = np.empty(composite.shape, np.uint8)
        row = mask.astype(np.uint16) * np.uint16(LEVELS)
        for channel, values in enumerate(np.ascontiguousarray(blended)):
            result[..., channel] = values.take(row | composite[..., channel])
        return result

    return blend
