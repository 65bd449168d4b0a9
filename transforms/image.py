"""Encoded bytes to arrays and back, and the one rule that turns a soft mask into foreground."""

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from transforms import errors

Pixels = npt.NDArray[np.uint8 | np.uint16]  # (H,W,3) RGB, the full range of its dtype
Mask = npt.NDArray[np.uint8]  # (H,W) share of foreground, 0..255
Foreground = npt.NDArray[np.bool_]  # (H,W)

FOREGROUND_FROM = 128

# What Pillow's readers let through when bytes are broken (OSError holds "truncated" and "not an image").
_PILLOW_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError, struct.error,
    zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def decode_image(data: bytes, name: str) -> Pixels:
    """Read an encoded image as RGB, upright (its EXIF orientation is applied).

    Args:
        data: the bytes of any file that Pillow opens.
        name: what to call the image in an error message, usually its URI.

    Returns:
        (H,W,3), uint8; or uint16 for 16-bit grey, whose one channel is repeated. Alpha is dropped.

    Raises:
        DecodeError: the bytes are empty, truncated, no image, a decompression bomb, or hold 32-bit values.
    """
    picture = _open(data, name)
    if picture.mode.startswith("I;16"):
        return np.repeat(_array16(picture)[..., None], 3, axis=2)
    # A palette's transparency can only be carried by RGBA: going straight to RGB makes Pillow warn.
    return np.array((picture.convert("RGBA") if picture.mode == "P" else picture).convert("RGB"))


def decode_mask(data: bytes, name: str) -> Mask:
    """Read an encoded mask as a soft share of foreground, upright (its EXIF orientation is applied).

    An alpha channel that is not constant is the mask. Otherwise the mask is the grey value of a grey, 1-bit, palette
    or RGB image; 16-bit values are brought to 8 bits. A mask whose largest value is 1 is read as 0/1, so 1 becomes 255.

    Args:
        data: the bytes of any file that Pillow opens.
        name: what to call the mask in an error message, usually its URI.

    Returns:
        (H,W) uint8: 0 background, 255 foreground, a share in between.

    Raises:
        DecodeError: as `decode_image`, or the mask is coloured, so that no single value can be read from it.
    """
    return soft_mask(_mask_values(_open(data, name), name))


def soft_mask(values: npt.NDArray[np.bool_ | np.uint8 | np.uint16]) -> Mask:
    """Bring an (H,W) mask of bool, uint8 or uint16 to shares of 0..255; where the largest value is 1, 1 becomes 255."""
    if values.max(initial=0) == 1:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return values.astype(np.uint8)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Write an (H,W,3) uint8 image, or an (H,W) uint8 mask, as PNG; the same pixels always give the same bytes.

    Raises:
        ShapeError: another shape or dtype.
    """
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise errors.ShapeError(f"a PNG is written from (H,W,3) or (H,W) uint8, not {pixels.shape} {pixels.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def threshold(mask: Mask | Foreground) -> Foreground:
    """Say which pixels of an (H,W) mask are foreground: 128 and more of 255. A bool mask is returned as it is."""
    return mask.astype(np.bool_) if mask.dtype == np.bool_ else mask >= FOREGROUND_FROM


def _open(data: bytes, name: str) -> Image.Image:
    """Decode every pixel now, so that broken bytes show here and nowhere later."""
    if not data:
        raise errors.DecodeError(f"{name} is empty (0 bytes): write the file again")
    try:
        encoded = Image.open(io.BytesIO(data))
        encoded.load()
        picture = ImageOps.exif_transpose(encoded)
    except UnidentifiedImageError as error:
        raise errors.DecodeError(f"{name} is not an image ({len(data)} bytes): check what the file holds") from error
    except _PILLOW_ERRORS as error:
        raise errors.DecodeError(f"{name} cannot be decoded ({error}): export the file again") from error
    if picture.mode in ("I", "F"):
        raise errors.DecodeError(f"{name} has 32-bit values (mode {picture.mode}): save it with 8 or 16 bits a channel")
    return picture


def _array16(picture: Image.Image) -> npt.NDArray[np.uint16]:
    return np.asarray(picture).astype(np.uint16)  # mode "I;16B" arrives in the other byte order


def _mask_values(picture: Image.Image, name: str) -> npt.NDArray[np.uint8 | np.uint16]:
    """Return the one value per pixel, (H,W), that says how much of it is foreground, in the file's own scale."""
    if picture.mode.startswith("I;16"):
        return _array16(picture)
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))
    channels = np.asarray(picture.convert("RGBA"))
    alpha, colours = channels[..., 3], channels[..., :3]
    # Only an alpha band (or a palette's) can be a soft mask; one colour keyed as transparent is not meant as one.
    if picture.mode != "RGB" and np.ptp(alpha) > 0:
        return alpha
    if (colours != colours[..., :1]).any():
        raise errors.DecodeError(f"{name} is a coloured mask (mode {picture.mode}): save it as grey, foreground white")
    return colours[..., 0]
