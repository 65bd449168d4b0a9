"""Small pictures for people: thumbnails, and the outline of what a mask covers."""

from PIL import Image, ImageChops, ImageFilter

from hdnet.transforms.pixels import image, resize

DIMMED = 0.35
"""The share of its brightness that a spotlight leaves the background."""


def fit(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return (width, height) of an (H,W,...) array's thumbnail: the longer is `side`; small images are enlarged."""
    height, width = shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def thumbnail(pixels: image.Pixels, size: tuple[int, int]) -> Image.Image:
    """Resize an (H,W,3) uint8 or uint16 image to 8-bit RGB of (width, height)."""
    width, height = size
    return Image.fromarray(resize.resize_image(image.to_8_bit(pixels), height, width))


def outline(picture: Image.Image, foreground: image.Foreground) -> Image.Image:
    """Draw a white line with a black one around it just outside the foreground: it shows on any colour.

    Args:
        picture: A thumbnail; it is changed.
        foreground: (H,W) bool, at the size of the image that the thumbnail was made from.

    Returns:
        The picture.
    """
    inside = _inside(picture, foreground)
    once, twice = inside.filter(ImageFilter.MaxFilter(3)), inside.filter(ImageFilter.MaxFilter(5))
    picture.paste("black", (0, 0), ImageChops.subtract(twice, once))
    picture.paste("white", (0, 0), ImageChops.subtract(once, inside))
    return picture


def spotlight(picture: Image.Image, foreground: image.Foreground) -> Image.Image:
    """Draw a thumbnail with its background in dark grey and the foreground outlined: what is in colour was changed.

    Args:
        picture: A thumbnail.
        foreground: (H,W) bool, at the size of the image that the thumbnail was made from.

    Returns:
        A new picture.
    """
    dimmed = picture.convert("L").point(lambda level: level * DIMMED).convert("RGB")
    return outline(Image.composite(picture, dimmed, _inside(picture, foreground)), foreground)


def _inside(picture: Image.Image, foreground: image.Foreground) -> Image.Image:
    width, height = picture.size
    small = resize.resize_soft_mask(image.soft_mask(foreground), height, width)
    return Image.fromarray(image.threshold(small)).convert("L")
