"""Small pictures for people: images shrunk to fit, and the outline of what a mask covers."""

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from hdnet.transforms import image
from hdnet.transforms.pixels import tensor


def fit(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return (width, height) of the thumbnail of an array (H,W,...): the longer is `side`, small ones are enlarged."""
    height, width = shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def thumbnail(pixels: image.Pixels, size: tuple[int, int]) -> Image.Image:
    """Resize an (H,W,3) uint8 or uint16 image to 8-bit RGB of (width, height)."""
    narrow = pixels if pixels.dtype == np.uint8 else tensor.quantise(pixels / 257, np.uint8)
    return Image.fromarray(narrow).resize(size, tensor.RESAMPLE)


def outline(picture: Image.Image, foreground: image.Foreground) -> Image.Image:
    """Ring the foreground from outside, white within black: it shows on any colour and hides nothing of the object.

    Args:
        picture: A thumbnail, which is drawn on.
        foreground: (H,W) bool, of the thumbnail's image.

    Returns:
        The picture.
    """
    inside = Image.fromarray(foreground.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.BILINEAR)
    inside = inside.point(lambda value: 255 if value >= image.FOREGROUND_FROM else 0)
    once, twice = inside.filter(ImageFilter.MaxFilter(3)), inside.filter(ImageFilter.MaxFilter(5))
    picture.paste("black", (0, 0), ImageChops.subtract(twice, once))
    picture.paste("white", (0, 0), ImageChops.subtract(once, inside))
    return picture
