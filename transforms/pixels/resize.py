"""To another size: images by bicubic interpolation, hard masks by the nearest pixel, soft masks bilinearly."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.pixels.image import Mask

_BICUBIC, _BILINEAR, _NEAREST = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.NEAREST


def resize_image(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize an (H,W,3) uint8 image to (height,width,3), bicubic; antialiased where it shrinks.

    Raises:
        ShapeError: The image has another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise errors.ShapeError(f"an image to resize is (H,W,3) uint8, not {pixels.shape} {pixels.dtype}")
    return np.array(Image.fromarray(pixels).resize((width, height), _BICUBIC))


def resize_hard_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resize an (H,W) uint8 mask to (height,width) by the nearest pixel, so that no new value appears.

    Raises:
        ShapeError: The mask has another shape or dtype.
    """
    return _resize_mask(mask, height, width, _NEAREST)


def resize_soft_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resize an (H,W) uint8 mask to (height,width), bilinear; antialiased where it shrinks, so that edges stay soft.

    Raises:
        ShapeError: The mask has another shape or dtype.
    """
    return _resize_mask(mask, height, width, _BILINEAR)


def _resize_mask(mask: Mask, height: int, width: int, filter_: Image.Resampling) -> Mask:
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise errors.ShapeError(f"a mask to resize is (H,W) uint8, not {mask.shape} {mask.dtype}")
    return np.array(Image.fromarray(mask).resize((width, height), filter_))
