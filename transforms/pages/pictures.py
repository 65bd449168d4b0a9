"""Pictures that are part of a page, small enough to be embedded in it."""

import base64
import dataclasses
import io
from collections.abc import Callable

from PIL import Image

from hdnet.transforms.errors import HarmonizeError

LARGE, SMALL = 480, 240
"""The longer side in pixels of the pictures that are compared, and of those beside them."""
QUALITY = 75


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture, or the reason why there is none.

    Attributes:
        name: Its caption.
        uri: The picture as a data: URI, "" if there is none.
        size: (width, height) in pixels.
        problem: Why there is no picture, "" if there is one.
    """

    name: str
    uri: str = ""
    size: tuple[int, int] = (SMALL, SMALL)
    problem: str = ""


def embed(name: str, picture: Image.Image) -> Picture:
    """Encode an RGB picture as WebP, which takes two thirds of a JPEG's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY)
    return Picture(name, f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", picture.size)


def attempt(name: str, draw: Callable[[], Image.Image]) -> Picture:
    """Draw and encode a picture. A file that cannot be read any more costs its picture, not the page."""
    try:
        return embed(name, draw())
    except (HarmonizeError, OSError) as error:
        return Picture(name, problem=str(error))
