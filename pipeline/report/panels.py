"""The report's pictures: thumbnails of inputs and results."""

import functools
from collections.abc import Callable, Mapping

from PIL import Image

from hdnet.pipeline.settings import recorded_reading
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms.catalog.rows import Record
from hdnet.transforms.codecs import decode, limits
from hdnet.transforms.codecs import mask as masks
from hdnet.transforms.pages import pictures
from hdnet.transforms.pages.pictures import LARGE, SMALL, Picture
from hdnet.transforms.pixels import image, thumbnails

Panels = Mapping[str, Picture]
"""The pictures of one image by name: "composite", "result", "mask", and "reference" if there is one."""
Read = Callable[[str], bytes]


def load(summary: Summary, read: Read, max_pixels: int = limits.MAX_PIXELS) -> dict[str, Panels]:
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


def draw(row: Record, read: Read, max_pixels: int = limits.MAX_PIXELS) -> Panels:
    """Draw composite and result in large, mask and reference in small; the mask as a spotlight on the composite."""

    @functools.cache
    def composite() -> image.Pixels:
        return decode.decode_image(read(row["composite"]), row["composite"], max_pixels)

    def small(uri: str, side: int) -> Image.Image:
        return _thumbnail(decode.decode_image(read(uri), uri, max_pixels), side)

    def spotlight() -> Image.Image:
        mask = masks.decode_mask(read(row["mask"]), row["mask"], max_pixels, recorded_reading(row["options"]))
        return thumbnails.spotlight(_thumbnail(composite(), SMALL), image.threshold(mask))

    drawn = {
        "composite": lambda: _thumbnail(composite(), LARGE),
        "result": lambda: small(row["output"], LARGE),
        "mask": spotlight,
    }
    if row["reference"] is not None:
        drawn["reference"] = lambda: small(row["reference"], SMALL)
    return {name: pictures.attempt(name, make) for name, make in drawn.items()}


def _thumbnail(pixels: image.Pixels, side: int) -> Image.Image:
    return thumbnails.thumbnail(pixels, thumbnails.fit(pixels.shape, side))
