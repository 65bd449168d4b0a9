"""The contact sheet: the best, the middle and the worst images of an evaluation on one page."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from hdnet.model.evaluation.protocol import DecodedPair
from hdnet.model.evaluation.records import Row
from hdnet.transforms.pixels import image, thumbnails

PER_GROUP = 4
THUMB = 192
GAP = 6
CAPTION = 24
GUTTER = 28
PAGE, BOX, INK, FAINT = "#fafaf8", "#e9e9e5", "#222222", "#777777"
BETTER, WORSE = "#1b7f3b", "#c0392b"
PANELS = ("composite", "result", "real", "squared error")

TOP_ERROR = 2500.0
"""The squared error, in 0..255 units, at the end of the heat scale: 50 levels off in every channel."""
# From dark to light with rising luminance throughout (anchors of matplotlib's inferno), so that it reads in grey, too.
_HEAT = np.array([[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]])
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_TILE = (len(PANELS) * THUMB + (len(PANELS) - 1) * GAP, THUMB + CAPTION)


@dataclasses.dataclass(frozen=True)
class TileGroup:
    """A heading and the tiles under it (see `tile`)."""

    heading: str
    tiles: list[Image.Image]


def choose(rows: Sequence[Row], count: int = PER_GROUP) -> dict[str, list[Row]]:
    """Pick up to `count` rows each with the largest, middle and smallest PSNR gain; no row twice, the worst last."""
    ordered = sorted(rows, key=lambda row: (-row.gain, row.id))
    count = min(count, max(1, len(rows) // 3))
    best, rest = ordered[:count], ordered[count:]
    worst, middle = rest[max(0, len(rest) - count) :], rest[: max(0, len(rest) - count)]
    start = (len(middle) - count + 1) // 2 if len(middle) > count else 0
    median = middle[start : start + count]
    return {"Best: largest gain in PSNR": best, "Median": median, "Worst: smallest gain in PSNR": worst}


def tile(row: Row, decoded: DecodedPair, result: image.Pixels) -> Image.Image:
    """Draw one image: the composite with the mask's outline, result, real photo, error map, and a caption.

    Args:
        row: The image's scores.
        decoded: What was measured.
        result: (H,W,3) uint8 or uint16, the network's result.

    Returns:
        RGB, four thumbnails of at most `THUMB` pixels side by side.
    """
    size = thumbnails.fit(decoded.mask.shape, THUMB)
    panels = (
        thumbnails.outline(thumbnails.thumbnail(decoded.composite, size), decoded.foreground),
        thumbnails.thumbnail(result, size),
        thumbnails.thumbnail(decoded.real, size),
        error_map(result, decoded.real, size),
    )
    canvas = Image.new("RGB", _TILE, PAGE)
    for i, panel in enumerate(panels):
        left = i * (THUMB + GAP)
        canvas.paste(BOX, (left, 0, left + THUMB, THUMB))
        canvas.paste(panel, (left + (THUMB - size[0]) // 2, (THUMB - size[1]) // 2))
    _caption(ImageDraw.Draw(canvas), row)
    return canvas


def error_map(result: image.Pixels, real: image.Pixels, size: tuple[int, int]) -> Image.Image:
    """Draw the squared error of a result, (H,W,3) as the real photo, as an RGB thumbnail of (width, height)."""
    return _heat(_squared_error(result, real, size))


def sheet(title: str, groups: Sequence[TileGroup]) -> Image.Image:
    """Lay out the groups' tiles two abreast, under the title and the legend of the error scale."""
    filled = [group for group in groups if group.tiles]
    columns = max([min(2, len(group.tiles)) for group in filled], default=1)
    width = columns * _TILE[0] + (columns + 1) * GUTTER
    height = 92 + sum(_group_height(group, columns) for group in filled)
    page = Image.new("RGB", (width, height), PAGE)
    draw = ImageDraw.Draw(page)
    draw.text((GUTTER, 24), title, INK, ImageFont.load_default(22))
    _legend(page, draw, width - GUTTER)
    top = 84
    for group in filled:
        _draw_group(page, draw, group, top, columns)
        top += _group_height(group, columns)
    return page


def _draw_group(page: Image.Image, draw: ImageDraw.ImageDraw, group: TileGroup, top: int, columns: int) -> None:
    draw.text((GUTTER, top), group.heading, INK, ImageFont.load_default(18))
    for column in range(min(columns, len(group.tiles))):
        for i, name in enumerate(PANELS):
            left = GUTTER + column * (_TILE[0] + GUTTER) + i * (THUMB + GAP)
            draw.text((left, top + 27), name, FAINT, ImageFont.load_default(12))
    for i, picture in enumerate(group.tiles):
        left = GUTTER + i % columns * (_TILE[0] + GUTTER)
        page.paste(picture, (left, top + 46 + i // columns * (_TILE[1] + 12)))


def _group_height(group: TileGroup, columns: int) -> int:
    return 46 + -(-len(group.tiles) // columns) * (_TILE[1] + 12) + 16


def _legend(page: Image.Image, draw: ImageDraw.ImageDraw, right: int) -> None:
    """Draw the heat scale; its ticks are evenly spaced in the error's root, as the colours are."""
    width, left, font = 320, right - 340, ImageFont.load_default(12)
    ramp = np.linspace(0, np.sqrt(TOP_ERROR), width)[None].repeat(12, axis=0) ** 2
    page.paste(_heat(ramp), (left, 34))
    draw.text((left, 14), "squared error; its mean over the foreground is fMSE", FAINT, font)
    for i, level in enumerate(np.linspace(0, np.sqrt(TOP_ERROR), 6)):
        text = f"{level**2:.0f}" + ("+" if i == 5 else "")
        draw.text((left + i * width / 5, 49), text, FAINT, font, anchor="ma")


def _caption(draw: ImageDraw.ImageDraw, row: Row) -> None:
    font, middle = ImageFont.load_default(14), THUMB + CAPTION // 2 + 1
    gain = f"{row.gain:+.2f} dB"
    x = _TILE[0] - draw.textlength(gain, font)
    draw.text((x, middle), gain, BETTER if row.gain >= 0 else WORSE, font, anchor="lm")
    after = f"{row.network.psnr:.2f} dB"
    x -= 18 + draw.textlength(after, font)
    draw.text((x, middle), after, INK, font, anchor="lm")
    _arrow(draw, x - 24, middle)
    before = f"PSNR {row.composite.psnr:.2f}"
    x -= 32 + draw.textlength(before, font)
    draw.text((x, middle), before, INK, font, anchor="lm")
    draw.text((0, middle), _shorten(draw, row.id, x - 16, font), INK, font, anchor="lm")


def _arrow(draw: ImageDraw.ImageDraw, left: float, middle: float) -> None:
    # Pillow's own font has no arrow.
    draw.line([(left, middle), (left + 15, middle)], FAINT, 1)
    draw.line([(left + 11, middle - 4), (left + 15, middle), (left + 11, middle + 4)], FAINT, 1)


def _shorten(draw: ImageDraw.ImageDraw, text: str, width: float, font: Font) -> str:
    """Drop the beginning of a text that is too wide: the end of an id tells the images apart."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength("..." + text, font) > width:
        text = text[1:]
    return "..." + text


def _squared_error(
    result: image.Pixels, real: image.Pixels, size: tuple[int, int]
) -> npt.NDArray[np.float64]:  # -> (h,w)
    """Return the squared error in 0..255 units, its mean over the channels and over each thumbnail pixel."""
    first, second = (x / (np.iinfo(x.dtype).max / 255) for x in (result, real))
    error = np.square(first - second).mean(axis=2).astype(np.float32)
    return np.asarray(Image.fromarray(error).resize(size, Image.Resampling.BOX), np.float64)


def _heat(error: npt.NDArray[np.float64]) -> Image.Image:  # (h,w)
    """Colour squared errors by their root, evenly from 0 to `TOP_ERROR`."""
    place = np.sqrt(np.clip(error / TOP_ERROR, 0, 1))
    anchors = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(place, anchors, _HEAT[:, i]) for i in range(3)]
    return Image.fromarray(np.stack(channels, axis=2).round().astype(np.uint8))
