"""Masks: the one value a pixel that says how much of it is foreground, from any file, at any depth."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode
from hdnet.transforms.codecs.picture import MAX_PIXELS, Foreground, Mask

FOREGROUND_FROM = 128
"""From this share of 255 on, a pixel is foreground to the network."""

NOISE = 16
"""In a lossy file, values less than this from 0 or 255 are 0 or 255.

JPEG rings by up to 7 around a hard edge at quality 95, 14 at 90, 19 at 85 and 39 at 75: this takes all of it, or nine
tenths at 75. Of a real soft edge it takes the outermost sixteenth, whose share in the blend nobody sees.
"""

_TINT = 16  # how far the channels of a grey image may part when it was compressed with loss


def decode_mask(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Mask:
    """Read an encoded mask as a soft share of foreground, upright (its EXIF orientation is applied).

    An alpha channel that is not constant is the mask. Otherwise the mask is the grey value of a grey, 1-bit, palette
    or RGB image; 16-bit values are brought to 8 bits. A mask whose largest value is 1 is read as 0/1, so 1 becomes
    255. In a lossy file (JPEG, lossy WebP, JPEG within TIFF) grey values below 16 are 0 and those above 239 are 255.

    Args:
        data: The bytes of a JPEG, PNG, WebP or TIFF.
        name: What to call the mask in an error message, usually its URI.
        max_pixels: Refuse larger masks before any pixel is decoded.

    Returns:
        (H,W) uint8: 0 background, 255 foreground, a share in between.

    Raises:
        DecodeError: As for `decode.decode`, or the mask is coloured, so that no single value can be read from it.
        SizeError: The mask has more than `max_pixels` pixels.
    """
    found = decode.read(data, name, max_pixels)
    alpha = found.planes.alpha
    if alpha is not None and not found.planes.keyed and np.ptp(alpha):
        return soft_mask(alpha)
    values = _grey(found.planes.colours, name, _TINT if found.header.lossy else 0)
    return soft_mask(_without_noise(values) if found.header.lossy else values)


def soft_mask(values: npt.NDArray[np.bool_ | np.uint8 | np.uint16]) -> Mask:
    """Bring an (H,W) mask of bool, uint8 or uint16 to shares of 0..255; where the largest value is 1, 1 becomes 255."""
    if values.max(initial=0) == 1:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return values.astype(np.uint8)


def threshold(mask: Mask | Foreground) -> Foreground:
    """Say which pixels of an (H,W) mask are foreground: 128 and more of 255. A bool mask is returned as it is."""
    return mask.astype(np.bool_) if mask.dtype == np.bool_ else mask >= FOREGROUND_FROM


def resize_mask_to(mask: Mask, height: int, width: int, *, name: str = "the mask", allowed: bool = True) -> Mask:
    """Bring a mask to its image's size, if it is the same picture at another scale.

    Args:
        mask: (H,W) uint8.
        height: Of the image.
        width: Of the image.
        name: What to call the mask in an error message, usually its URI.
        allowed: Whether resizing was asked for (`--resize-mask`); a mask of the right size never needs it.

    Returns:
        (height,width) uint8; bilinear, antialiased when it shrinks: soft edges stay soft, 0 and 255 stay themselves.

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
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))


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
    quiet = np.where(values < NOISE, 0, values)
    return np.where(quiet > 255 - NOISE, 255, quiet).astype(values.dtype)
