"""Masks: one value for each pixel that says how much of it is foreground, from any file, at any depth."""

import numpy as np
import numpy.typing as npt

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode
from hdnet.transforms.codecs.limits import MAX_PIXELS
from hdnet.transforms.codecs.planes import Planes
from hdnet.transforms.pixels import image, resize
from hdnet.transforms.pixels.image import Mask

NOISE = 16
"""In a lossy file, values less than this from 0 or 255 are 0 or 255.

JPEG rings by up to 7 around a hard edge at quality 95, 14 at 90, 19 at 85 and 39 at 75: this removes all of it, or
nine tenths at 75. From a real soft edge it removes the outermost sixteenth, which nobody sees in the blend.
"""

_TINT = 16  # how far the channels of a grey image may differ when it was compressed with loss


def decode_mask(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Mask:
    """Read an encoded mask as a soft mask, upright (its EXIF orientation is applied).

    An alpha channel that is not constant is the mask. Otherwise the mask is the grey value of a grey, 1-bit, palette
    or RGB image; 16-bit values are rounded to 8 bits. A mask whose largest value is 1 is read as 0/1, so 1 becomes
    255. In a lossy file (JPEG, AVIF, HEIC, lossy WebP, JPEG within TIFF) grey values below 16 become 0 and those above
    239 become 255.

    Args:
        data: The bytes of an image file.
        name: What to call the mask in an error message, usually its URI.
        max_pixels: Refuse larger masks before any pixel is decoded.

    Returns:
        (H,W) uint8: 0 background, 255 foreground, the coverage of the pixel in between.

    Raises:
        DecodeError: As for `decode.decode`, or the mask is coloured, so that no single value can be read from it.
        SizeError: The mask has more than `max_pixels` pixels.
    """
    header, found = decode.read(data, name, max_pixels)
    return from_planes(found.planes, name, lossy=header.lossy)


def from_planes(planes: Planes, name: str, *, lossy: bool) -> Mask:
    """Read decoded planes as a soft mask, by the rules of `decode_mask`.

    Raises:
        DecodeError: The mask is coloured.
    """
    if planes.alpha is not None and not planes.keyed and np.ptp(planes.alpha):
        return image.soft_mask(planes.alpha)
    values = _grey(planes.colours, name, _TINT if lossy else 0)
    return image.soft_mask(_without_noise(values) if lossy else values)


def resize_mask_to(mask: Mask, height: int, width: int, *, name: str = "the mask", allowed: bool = True) -> Mask:
    """Bring a mask to its image's size, if it is the same picture at another scale.

    Args:
        mask: (H,W) uint8.
        height: Of the image.
        width: Of the image.
        name: What to call the mask in an error message, usually its URI.
        allowed: Whether resizing was asked for (`--resize-mask`); a mask of the right size never needs it.

    Returns:
        (height,width) uint8, by `resize.resize_soft_mask`.

    Raises:
        ShapeError: The sizes differ and resizing is not allowed, or the aspect ratios differ by more than 1 %.
    """
    if mask.shape == (height, width):
        return mask
    sizes = f"{name} is {mask.shape[1]} x {mask.shape[0]}, its image {width} x {height}"
    across, down = mask.shape[1] * height, mask.shape[0] * width
    if max(across, down) > 1.01 * min(across, down):
        raise errors.ShapeError(f"{sizes}: another aspect ratio; export the mask at the image's size")
    if not allowed:
        raise errors.ShapeError(f"{sizes}: export the mask at the image's size, or give --resize-mask")
    return resize.resize_soft_mask(mask, height, width)


def _grey(
    colours: npt.NDArray[np.uint8 | np.uint16], name: str, tint: int
) -> npt.NDArray[np.uint8 | np.uint16]:  # (H,W) or (H,W,3) -> (H,W)
    if colours.ndim == 2:
        return colours
    red, green, blue = np.moveaxis(colours, 2, 0)
    # Green is the nearest to grey: JPEG and WebP change it least.
    for other in (red, blue):
        if (np.maximum(green, other) - np.minimum(green, other)).max() > tint:
            raise errors.DecodeError(f"{name} is a coloured mask: save it as grey, foreground white")
    return np.ascontiguousarray(green)


def _without_noise(values: npt.NDArray[np.uint8 | np.uint16]) -> npt.NDArray[np.uint8 | np.uint16]:
    top = np.iinfo(values.dtype).max
    noise = NOISE * (top // 255)
    quiet = np.where(values < noise, 0, values)
    return np.where(quiet > top - noise, top, quiet).astype(values.dtype)
