"""Planes, colours and alpha apart, and the ways between them and Pillow's images."""

import dataclasses
import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageCms, JpegImagePlugin

from hdnet.transforms.pixels.image import Plane

Samples = npt.NDArray[np.uint8 | np.uint16]  # (H,W,C), C from 1 to 4

_BAND = 1 << 16
"""Pixels that are copied at once."""


@dataclasses.dataclass(frozen=True)
class Planes:
    """Decoded pixels as the file has them.

    Attributes:
        colours: (H,W) where the file is grey, else (H,W,3) RGB; uint8 or uint16.
        alpha: (H,W) in the same dtype, or None.
        keyed: Alpha is not a channel of the file, but made from one colour named as transparent.
    """

    colours: npt.NDArray[np.uint8 | np.uint16]
    alpha: Plane | None = None
    keyed: bool = False


def loaded(encoded: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Check the size, then decode every pixel, so that broken bytes raise an error here and nowhere later."""
    check_size(encoded, size)
    encoded.load()
    return encoded


def check_size(encoded: Image.Image, size: tuple[int, int]) -> None:
    """Check that Pillow sees the width and height that were admitted: a crafted file may show two readers two sizes.

    Raises:
        ValueError: It sees others.
    """
    if encoded.size != size:
        raise ValueError(f"the header says {size}, the pixels are {encoded.size}")


def from_pillow(encoded: Image.Image) -> tuple[Planes, Any]:
    """Return what a decoded Pillow image holds, and the profile that describes it."""
    mode, icc = encoded.mode, encoded.info.get("icc_profile")
    if mode.startswith("I;16"):
        return Planes(np.asarray(encoded).astype(np.uint16)), icc  # "I;16B" arrives in the other byte order
    if mode == "CMYK":
        return Planes(_values(_cmyk_to_rgb(encoded, icc))), None
    if mode in ("1", "L"):
        return Planes(_values(_as_mode(encoded, "L"))), icc
    if mode in ("LA", "PA", "RGBA") or (mode == "P" and "transparency" in encoded.info):
        samples = np.asarray(encoded if mode == "LA" else _as_mode(encoded, "RGBA"))
        return split(samples), icc
    if mode not in ("RGB", "P", "RGBX", "YCbCr"):
        raise ValueError(f"values of mode {mode}, not grey, RGB, palette or CMYK of 8 or 16 bits")
    return Planes(_values(_as_mode(encoded, "RGB"))), icc


def saved(samples: Samples, file_format: str, **options: object) -> bytes:
    """Return the file that Pillow writes of (H,W,C) uint8 samples."""
    buffer = io.BytesIO()
    Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(buffer, file_format, **options)
    return buffer.getvalue()


def _values(picture: Image.Image) -> npt.NDArray[np.uint8]:  # of mode L or RGB -> (H,W) or (H,W,3)
    """Copy a band at a time: Pillow makes copies of its own, which cost little as long as the cache holds them."""
    (width, height), channels = picture.size, len(picture.getbands())
    values = np.empty((height, width, channels)[: 3 if channels > 1 else 2], np.uint8)
    rows = max(1, _BAND // max(1, width))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        values[top:bottom] = np.asarray(picture.crop((0, top, width, bottom)))
    return values


def _as_mode(encoded: Image.Image, mode: str) -> Image.Image:
    # Converting to the same mode would copy the pixels for nothing.
    return encoded if encoded.mode == mode else encoded.convert(mode)


def split(samples: Samples) -> Planes:
    """Divide (H,W,C) samples, C from 2 to 4, into colours and alpha."""
    if samples.shape[2] == 3:
        return Planes(samples)
    colours = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
    return Planes(np.ascontiguousarray(colours), np.ascontiguousarray(samples[..., -1]))


def divide_by_alpha(colours: Samples, alpha: Plane) -> Samples:
    """Undo the multiplication of (H,W,C) colours by their (H,W) alpha of the same dtype, where that is not 0."""
    top = np.iinfo(colours.dtype).max
    wide, divisor = colours.astype(np.uint32), np.where(alpha, alpha, top).astype(np.uint32)[..., None]
    divided: Samples = np.minimum((wide * top + divisor // 2) // divisor, top).astype(colours.dtype)
    return divided


def with_key(decoded: Planes, key: int | tuple[int, ...], bits: int) -> Planes:
    """Make an alpha plane from the one colour that is named as transparent."""
    top = np.iinfo(decoded.colours.dtype).max
    # Pillow stretches 2 and 4 bits to 8, but not the colour that it reports; with one bit it reports 0 or 255.
    scaled = np.multiply(key, top // (2**bits - 1) if bits in (2, 4) else 1)
    hit = decoded.colours == scaled
    hit = hit if hit.ndim == 2 else hit.all(axis=2)
    return Planes(decoded.colours, np.where(hit, 0, top).astype(decoded.colours.dtype), keyed=True)


def turn(decoded: Planes, orientation: int) -> Planes:
    """Apply an EXIF orientation, 1 to 8."""
    alpha = None if decoded.alpha is None else _turn(decoded.alpha, orientation)
    return dataclasses.replace(decoded, colours=_turn(decoded.colours, orientation), alpha=alpha)


def _turn(plane: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:  # (H,W) or (H,W,3)
    flip_rows, flip_columns, swap = {
        1: (1, 1, False), 2: (1, -1, False), 3: (-1, -1, False), 4: (-1, 1, False),
        5: (1, 1, True), 6: (-1, 1, True), 7: (-1, -1, True), 8: (1, -1, True),
    }[orientation]  # fmt: skip
    turned = plane[::flip_rows, ::flip_columns]
    return np.ascontiguousarray(turned.swapaxes(0, 1) if swap else turned)


def _cmyk_to_rgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert to sRGB through the profile, or by Pillow's plain rule where there is none that works."""
    if isinstance(picture, JpegImagePlugin.JpegImageFile) and "adobe" not in picture.info:
        # Pillow takes every CMYK JPEG for Adobe's, whose inks are inverted.
        picture = ImageChops.invert(picture)
    if icc:
        try:
            return ImageCms.applyTransform(picture, _inks_to_srgb(icc)) or picture.convert("RGB")
        except (ImageCms.PyCMSError, OSError):
            pass
    return picture.convert("RGB")


@functools.lru_cache(maxsize=4)
def _inks_to_srgb(icc: bytes) -> ImageCms.ImageCmsTransform:
    """Build the transform from a profile's inks to sRGB: a tenth of a second, for the few profiles of a catalog."""
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    return ImageCms.buildTransform(source, target, "CMYK", "RGB", intent, flags=flags)
