"""The report's pictures: thumbnails of inputs and results, small enough to be embedded in the page."""

import base64
import dataclasses
import io
from collections.abc import Callable

from PIL import Image

from hdnet.pipeline.settings import recorded_reading
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms.catalog.rows import Record
from hdnet.transforms.codecs import decode, limits
from hdnet.transforms.codecs import mask as masks
from hdnet.transforms.errors import HarmonizeError
from hdnet.transforms.pixels import image, thumbnails

SIDE = 240
QUALITY = 80
NAMES = ("composite", "mask outline", "result", "reference")

Read = Callable[[str], bytes]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture of an image.

    Attributes:
        name: One of `NAMES`.
        uri: The picture as a data: URI, "" if there is none.
        size: (width, height) in pixels.
        problem: Why there is no picture, "" if there is one.
    """

    name: str
    uri: str = ""
    size: tuple[int, int] = (SIDE, SIDE)
    problem: str = ""


def load(summary: Summary, read: Read, max_pixels: int = limits.MAX_PIXELS) -> dict[str, tuple[Panel, ...]]:
    """Draw every image of the contact sheet, each once.

    Args:
        summary: Totals of the run, with the images to show.
        read: Returns the bytes of a URI, or raises a `HarmonizeError` or an `OSError`.
        max_pixels: The run's own limit, so that every image it accepted is shown.

    Returns:
        The panels of each image, by id. A panel without a picture says why.
    """
    rows = {row["id"]: row for entries in summary.shown.values() for _, _, row in entries}
    return {identity: draw(row, read, max_pixels) for identity, row in rows.items()}


def draw(row: Record, read: Read, max_pixels: int = limits.MAX_PIXELS) -> tuple[Panel, ...]:
    """Draw composite, mask outline and result, and the reference if there is one."""

    def small(uri: str) -> Image.Image:
        pixels = decode.decode_image(read(uri), uri, max_pixels)
        return thumbnails.thumbnail(pixels, thumbnails.fit(pixels.shape, SIDE))

    def outlined(picture: Image.Image) -> Image.Image:
        mask = masks.decode_mask(read(row["mask"]), row["mask"], max_pixels, recorded_reading(row["options"]))
        return thumbnails.outline(picture.copy(), image.threshold(mask))

    composite = _attempt(lambda: small(row["composite"]))
    pictures = {
        "composite": composite,
        "mask outline": composite if isinstance(composite, Exception) else _attempt(lambda: outlined(composite)),
        "result": _attempt(lambda: small(row["output"])),
    }
    if row["reference"] is not None:
        pictures["reference"] = _attempt(lambda: small(row["reference"]))
    return tuple(_panel(name, picture) for name, picture in pictures.items())


def _attempt(make: Callable[[], Image.Image]) -> Image.Image | Exception:
    # The run is over: a file that has disappeared since then costs its picture, not the report.
    try:
        return make()
    except (HarmonizeError, OSError) as error:
        return error


def _panel(name: str, picture: Image.Image | Exception) -> Panel:
    if isinstance(picture, Exception):
        return Panel(name, problem=str(picture))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return Panel(name, f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}", picture.size)
