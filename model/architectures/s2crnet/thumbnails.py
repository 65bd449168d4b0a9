"""What the network sees of an image of any size: two thumbnails, each of three colours and the mask.

They are the paper's: bilinear, antialiased where they shrink, the aspect ratio not kept. Pillow's and torch's results
differ by one level of 255 at most; torch's is many times as fast.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hdnet.model import team
from hdnet.transforms.pixels import image

STRIP = 1 << 19
"""Pixels that are shrunk at once."""

Box = tuple[slice, slice]  # rows, columns


def find_box(mask: image.Mask) -> Box | None:
    """Return the smallest box that holds every pixel above 0 of an (H,W) mask; None where there is none."""
    rows, columns = (np.flatnonzero(mask.max(axis)) for axis in (1, 0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if len(rows) else None


def look(
    composite: image.Pixels, mask: image.Mask, box: Box, side: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `S2CRNet.parameterise` takes: image and mask, and the two within the foreground's box.

    Args:
        composite: (H,W,3) uint8 or uint16, of any size.
        mask: (H,W) uint8.
        box: The foreground's.
        side: Height and width of the thumbnails.
        device: Where the network is.
    """
    whole = shrink(composite, mask, side).to(device)
    crop = whole if mask[box].shape == mask.shape else shrink(composite[box], mask[box], side).to(device)
    return whole[:, :3], whole[:, 3:], crop[:, :3], crop[:, 3:]


def shrink(composite: image.Pixels, mask: image.Mask, side: int) -> Tensor:
    """Shrink, or enlarge, an image with its mask to (1,4,side,side) float32 in [0, 1], the mask last."""
    return torch.cat([_shrink_colours(composite, side), _shrink_mask(mask, side)], dim=1) / 255


def _shrink_colours(composite: image.Pixels, side: int) -> Tensor:  # (H,W,3) -> (1,3,side,side) uint8
    def narrow(rows: slice) -> Tensor:
        strip = np.array(image.to_8_bit(composite[rows]))  # a copy: torch takes no views that are turned or read-only
        return _resize(torch.from_numpy(strip).permute(2, 0, 1)[None], len(strip), side)

    height, width, _ = composite.shape
    strips = team.share(narrow, spans(height, STRIP // width))
    return _resize(torch.cat(strips, dim=2), side, side)


def _shrink_mask(mask: image.Mask, side: int) -> Tensor:  # (H,W) -> (1,1,side,side) uint8
    """Shrink columns four at a time, as if they were channels: torch has a fast way for those, and none for one."""

    def flatten(columns: slice) -> npt.NDArray[np.uint8]:
        strip = mask[:, columns]
        height, width = strip.shape
        four = torch.from_numpy(np.pad(strip, ((0, 0), (0, -width % 4)))).view(height, -1, 4)
        flat = _resize(four.permute(2, 0, 1)[None], side, four.shape[1])
        return flat[0].permute(1, 2, 0).reshape(side, -1).numpy()[:, :width]

    height, width = mask.shape
    flat = np.concatenate(team.share(flatten, spans(width, STRIP // height)), axis=1)
    small = Image.fromarray(flat).resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small))[None, None]


def spans(length: int, step: int) -> list[slice]:
    """Divide `length` rows or columns into pieces of `step`, or of 1 where that is 0."""
    step = max(1, step)
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _resize(pixels: Tensor, height: int, width: int) -> Tensor:  # (1,C,H,W) uint8 -> (1,C,height,width) uint8
    return F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
