"""Masks: one value for each pixel that says how much of it is foreground, from any file, at any depth."""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, label_maps
from hdnet.transforms.codecs import planes as pillow_planes
from hdnet.transforms.codecs.limits import MAX_PIXELS
from hdnet.transforms.codecs.planes import Planes
from hdnet.transforms.pixels import image, resize
from hdnet.transforms.pixels.image import Mask, Plane

NOISE = 16
"""In a lossy file, values less than this from 0 or 255 are 0 or 255.

JPEG rings by up to 7 around a hard edge at quality 95, 14 at 90, 19 at 85 and 39 at 75: this removes all of it, or
nine tenths at 75. From a real soft edge it removes the outermost sixteenth, which nobody sees in the blend.
"""

AS_STORED = (
    "the composite is turned by its EXIF orientation {}; the mask fits it as stored: make the mask of the upright "
    "picture"
)
"""What is wrong with a mask of another size, for messages."""

_TINT = {False: 1, True: 16}
"""How far the channels of a grey image may differ, by whether it was compressed with loss."""
_PILLOW_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")  # Pillow does not say which WebP is lossless


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """How to read masks that are not white on black.

    Attributes:
        value: The foreground is exactly this value: a class of a label map, or an index of a palette. None for masks
            as `decode_mask` describes them.
        invert: Foreground and background are exchanged.
    """

    value: int | None = None
    invert: bool = False


PLAIN = Reading()


def decode_mask(data: bytes, name: str, max_pixels: int = MAX_PIXELS, reading: Reading = PLAIN) -> Mask:
    """Read an encoded mask as a soft mask, upright (its EXIF orientation is applied).

    An alpha channel that is not constant is the mask. Otherwise the mask is the grey value of a grey, 1-bit, palette
    or RGB image; 16-bit values are rounded to 8 bits. A mask whose largest value is 1 is read as 0/1, so 1 becomes
    255. In a lossy file (JPEG, AVIF, HEIC, lossy WebP, JPEG within TIFF) grey values below 16 become 0 and those above
    239 become 255.

    Args:
        data: The bytes of an image file.
        name: What to call the mask in an error message, usually its URI.
        max_pixels: Refuse larger masks before any pixel is decoded.
        reading: How to read a label map, or a mask of the background.

    Returns:
        (H,W) uint8: 0 background, 255 foreground, the coverage of the pixel in between.

    Raises:
        DecodeError: As for `decode.decode`, or as for `from_planes`.
        SizeError: The mask has more than `max_pixels` pixels.
    """
    header, found = decode.read(data, name, max_pixels)
    planes = found.planes
    if reading.value is not None and header.channels == 1 and planes.colours.ndim == 3:
        planes = pillow_planes.turn(Planes(_palette_indices(data)), header.orientation)
    return from_planes(planes, name, lossy=header.lossy, reading=reading)


def from_pillow(picture: Image.Image, name: str, reading: Reading = PLAIN) -> Mask:
    """Read a Pillow image of any mode as a soft mask, by the rules of `decode_mask`, but not turned.

    Raises:
        DecodeError: As for `from_planes`, or the mode holds other values than 8 or 16 bits.
    """
    if reading.value is not None and picture.mode == "P":
        return from_planes(Planes(np.asarray(picture)), name, lossy=False, reading=reading)
    try:
        planes, _ = pillow_planes.from_pillow(picture)
    except (ValueError, OSError) as error:
        raise errors.DecodeError(f"{name} cannot be read ({error}): save it as grey, foreground white") from error
    return from_planes(planes, name, lossy=picture.format in _PILLOW_LOSSY, reading=reading)


def from_planes(planes: Planes, name: str, *, lossy: bool, reading: Reading = PLAIN) -> Mask:
    """Read decoded planes as a soft mask, by the rules of `decode_mask`.

    Raises:
        DecodeError: The mask is coloured, its alpha and its grey values are two different masks, no value of it is
            foreground, it is a label map, or it lacks the value that was asked for.
    """
    if reading.value is not None:
        soft = _of_class(_grey(planes.colours, name, lossy), reading.value, name, lossy)
    elif (alpha := _telling_alpha(planes)) is not None:
        _check_agreement(planes.colours, alpha, name, lossy)
        _check_alpha(alpha, name)
        soft = image.soft_mask(alpha)
    else:
        soft = from_values(_grey(planes.colours, name, lossy), name, lossy=lossy)
    return np.subtract(255, soft, dtype=np.uint8) if reading.invert else soft


def from_values(values: Plane, name: str, *, lossy: bool = False) -> Mask:
    """Read (H,W) values as a soft mask, by the rules of `decode_mask`.

    Raises:
        DecodeError: No value is foreground, or the values are those of a label map.
    """
    if lossy:
        _check_lossy_labels(values, name)
        values = _without_noise(values)
    counts = label_maps.histogram(values)
    held = np.flatnonzero(counts)
    _check_foreground(held, values.dtype, name, by_value=not lossy)
    if not lossy:
        _check_labels(values, counts, name)
    return image.soft_mask(values)


def resize_mask_to(
    mask: Mask, height: int, width: int, *, name: str = "the mask", allowed: bool = True, orientation: int = 1
) -> Mask:
    """Bring a mask to its image's size, if it is the same picture at another scale.

    Args:
        mask: (H,W) uint8.
        height: Height of the upright image.
        width: Width of the upright image.
        name: What to call the mask in an error message, usually its URI.
        allowed: Whether resizing was asked for (`--resize-mask`); a mask of the right size never needs it.
        orientation: The EXIF orientation that turned the image upright, for the message.

    Returns:
        (height,width) uint8, by `resize.resize_soft_mask`.

    Raises:
        ShapeError: The sizes differ and resizing is not allowed, or the aspect ratios differ by more than 1 %.
    """
    if mask.shape == (height, width):
        return mask
    rows, columns = mask.shape
    check_size((rows, columns), height, width, name=name, allowed=allowed, orientation=orientation)
    return resize.resize_soft_mask(mask, height, width)


def check_size(
    size: tuple[int, int], height: int, width: int, *, name: str, allowed: bool, orientation: int = 1
) -> None:
    """Refuse a mask of this size, by the rules of `resize_mask_to`.

    Args:
        size: Height and width of the mask.
        height, width, name, allowed, orientation: As there.

    Raises:
        ShapeError: As there.
    """
    if size == (height, width):
        return
    sizes = f"{name} is {size[1]} x {size[0]}, its image {width} x {height}"
    if not _is_alike(size, height, width):
        if orientation >= 5 and _is_alike(size, width, height):
            raise errors.ShapeError(f"{sizes}: {AS_STORED.format(orientation)}")
        raise errors.ShapeError(f"{sizes}: another aspect ratio; export the mask at the image's size")
    if not allowed:
        raise errors.ShapeError(f"{sizes}: export the mask at the image's size, or give --resize-mask")


def _is_alike(size: tuple[int, int], height: int, width: int) -> bool:
    across, down = size[1] * height, size[0] * width
    return max(across, down) <= 1.01 * min(across, down)


def _palette_indices(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the (H,W) indices of a palette image that has been decoded before."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


def _telling_alpha(planes: Planes) -> Plane | None:
    """Return the alpha channel if it is the mask: not made from one colour, and not opaque but for noise."""
    if planes.alpha is None or planes.keyed or not np.ptp(planes.alpha):
        return None
    top = np.iinfo(planes.alpha.dtype).max
    return planes.alpha if planes.alpha.min() <= top - _noise(planes.alpha.dtype) else None


def _check_agreement(colours: npt.NDArray[np.uint8 | np.uint16], alpha: Plane, name: str, lossy: bool) -> None:
    """Refuse a mask whose grey values look like a mask, too, but another one. Grey photos that are cut out do not."""
    if colours.ndim == 3 and _is_coloured(colours, _TINT[lossy]):
        return
    grey = colours if colours.ndim == 2 else colours[..., 1]
    noise, top = _noise(grey.dtype), np.iinfo(grey.dtype).max
    shown = grey[alpha > noise]
    extreme = np.count_nonzero((shown < noise) | (shown > top - noise))
    if np.ptp(grey) <= noise or grey.max() <= top - noise or extreme < max(1, shown.size / 2):
        return
    one, other = (image.threshold(image.to_8_bit(plane)) for plane in (grey, alpha))
    differing = np.count_nonzero(one != other)
    if differing > 0.02 * np.count_nonzero(one | other):
        raise errors.DecodeError(
            f"{name} holds two masks, its grey values and its alpha channel, which differ in {differing} pixels: save "
            "the right one as grey without alpha"
        )


def _of_class(values: Plane, value: int, name: str, lossy: bool) -> Mask:
    """Return the mask of one class of a label map."""
    if lossy:
        raise errors.DecodeError(f"{name} was compressed with loss, so it holds no exact value {value}: save it as PNG")
    found = values == value
    if not found.any():
        raise errors.DecodeError(f"{name} has no pixel of the value {value}, but {_named(_held(values).tolist())}")
    return image.soft_mask(found)


def _check_alpha(alpha: Plane, name: str) -> None:
    """Refuse alpha that is not coverage: nothing of it is opaque, and it is faint or has areas of a few values."""
    counts = label_maps.histogram(alpha)
    held = np.flatnonzero(counts)
    _check_foreground(held, alpha.dtype, name, by_value=False)
    noise = _noise(alpha.dtype)
    if held[-1] < counts.size - noise and held[-1] > 1 and label_maps.classes(alpha, counts, noise):
        raise errors.DecodeError(
            f"{name} is nowhere opaque, and its alpha channel has {_named(held.tolist())}, as an overlay on a photo: "
            "save the object as white on black"
        )


def _check_foreground(
    held: npt.NDArray[np.intp], dtype: np.dtype[np.uint8 | np.uint16], name: str, *, by_value: bool
) -> None:
    """Refuse a mask that is not empty and has no value of half of full scale or more."""
    largest, top = int(held[-1]) if held.size else 0, int(np.iinfo(dtype).max)
    if largest > 1 and image.to_8_bit(np.array(largest, dtype)) < image.FOREGROUND_FROM:
        scale = f" of {top}" if top > 255 else ""
        other = f", or --mask-value {largest} takes that value" if by_value else ""
        raise errors.DecodeError(
            f"{name} is no mask: its largest value is {largest}{scale}: no pixel is foreground; save the object "
            f"as {top}{other}"
        )


def _check_labels(values: Plane, counts: npt.NDArray[np.intp], name: str) -> None:
    """Refuse a label map: areas of a few values that are neither black nor white. Soft edges are no areas."""
    if classes := label_maps.classes(values, counts, _noise(values.dtype)):
        raise errors.DecodeError(
            f"{name} has {_named(np.flatnonzero(counts).tolist())}: a label map; save the object as {counts.size - 1}, "
            f"or --mask-value {classes[0]} takes that class"
        )


def _check_lossy_labels(values: Plane, name: str) -> None:
    """Refuse a label map that was compressed with loss."""
    found = label_maps.lossy_class(values, _noise(values.dtype))
    if found is not None:
        raise errors.DecodeError(
            f"{name} has areas of about {found}: a label map that was compressed with loss, or a mask whose black and "
            f"white are grey; save the object as {np.iinfo(values.dtype).max} and the rest as 0, in a PNG"
        )


def _held(values: Plane) -> npt.NDArray[np.intp]:
    return np.flatnonzero(label_maps.histogram(values))


def _named(values: Sequence[int]) -> str:
    """Return a set of values for a message."""
    shown = [str(value) for value in values]
    if len(shown) > 10:
        shown = [*shown[:8], "...", shown[-1]]
    return f"{len(values)} value{'s' if len(values) > 1 else ''} ({', '.join(shown)})"


def _grey(colours: npt.NDArray[np.uint8 | np.uint16], name: str, lossy: bool) -> Plane:
    """Return the (H,W) grey values of (H,W) or (H,W,3) colours."""
    if colours.ndim == 2:
        return colours
    if _is_coloured(colours, _TINT[lossy]):
        raise errors.DecodeError(f"{name} is a coloured mask: save it as grey, foreground white")
    # Green is the nearest to grey: JPEG and WebP change it least.
    return np.ascontiguousarray(colours[..., 1])


def _is_coloured(colours: npt.NDArray[np.uint8 | np.uint16], tint: int) -> bool:
    red, green, blue = np.moveaxis(colours, 2, 0)
    return any((np.maximum(green, other) - np.minimum(green, other)).max() > tint for other in (red, blue))


def _without_noise(values: Plane) -> Plane:
    top, noise = np.iinfo(values.dtype).max, _noise(values.dtype)
    quiet = np.where(values < noise, 0, values)
    return np.where(quiet > top - noise, top, quiet).astype(values.dtype)


def _noise(dtype: np.dtype[np.uint8 | np.uint16]) -> int:
    return NOISE * (int(np.iinfo(dtype).max) // 255)
