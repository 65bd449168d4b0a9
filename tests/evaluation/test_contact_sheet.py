"""The contact sheet: which images, and what is drawn of them."""

import numpy as np
import pytest
from PIL import Image

from hdnet.model.evaluation import contact_sheet
from hdnet.model.evaluation.contact_sheet import CAPTION, GAP, PAGE, THUMB, TileGroup
from hdnet.model.evaluation.protocol import DecodedPair
from hdnet.model.evaluation.records import Row
from hdnet.transforms.scores.metrics import Scores


def row(name: str, gain: float) -> Row:
    before, after = (Scores(1.0, 1.0, psnr, 20.0, 1.0, 1.0) for psnr in (30.0, 30.0 + gain))
    return Row(name, "", "paper", 40, 20, 0.25, after, before, before, 0.1)


def decoded(dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> DecodedPair:
    mask = np.zeros((20, 40), np.uint8)
    mask[5:15, 10:30] = 255
    return DecodedPair(np.full((20, 40, 3), 90, dtype), mask, np.full((20, 40, 3), 90, dtype))


def panel(tile: Image.Image, index: int) -> np.ndarray:
    left = index * (THUMB + GAP)
    return np.asarray(tile.crop((left, 0, left + THUMB, THUMB)))


def test_choose_takes_both_ends_and_the_middle() -> None:
    rows = [row(f"{i:02}", -i) for i in range(20)]
    best, median, worst = contact_sheet.choose(rows[::-1]).values()
    assert [[r.id for r in part] for part in (best, median, worst)] == [
        ["00", "01", "02", "03"], ["08", "09", "10", "11"], ["16", "17", "18", "19"],
    ]  # fmt: skip


@pytest.mark.parametrize("count", range(14))
def test_choose_never_takes_an_image_twice(count: int) -> None:
    chosen = [r.id for part in contact_sheet.choose([row(str(i), i) for i in range(count)]).values() for r in part]
    assert len(chosen) == len(set(chosen)) and len(chosen) >= min(count, 1)
    assert len(chosen) >= min(count, 3) and len(chosen) <= 12


def test_the_tile_shows_the_outline_outside_the_foreground() -> None:
    first = panel(contact_sheet.tile(row("a", 1), decoded(), decoded().composite), 0)
    inside = first[THUMB // 2 - 10 : THUMB // 2 + 10, THUMB // 2 - 10 : THUMB // 2 + 10]
    assert (inside == 90).all()
    assert (first == 255).all(axis=2).any() and (first == 0).all(axis=2).any()


@pytest.mark.parametrize(
    "off, colour", [(0, (0, 0, 4)), (25, (184, 60, 80)), (50, (252, 255, 164)), (99, (252, 255, 164))]
)
def test_the_error_is_coloured_by_its_root(off: int, colour: tuple[int, int, int]) -> None:
    result = decoded().composite + np.uint8(off)
    fourth = panel(contact_sheet.tile(row("a", 1), decoded(), result), 3)
    np.testing.assert_allclose(fourth[THUMB // 2, THUMB // 2], colour, atol=1)


def test_sixteen_bit_images_are_shown_and_measured_in_eight() -> None:
    deep = decoded(np.uint16)
    scaled = DecodedPair(deep.composite * np.uint16(257), deep.mask, deep.real * np.uint16(257))
    tiles = [contact_sheet.tile(row("a", 1), each, each.real) for each in (scaled, decoded())]
    assert np.array_equal(np.asarray(tiles[0]), np.asarray(tiles[1]))


def test_a_long_id_does_not_run_into_the_scores() -> None:
    short, long = (np.asarray(contact_sheet.tile(row(n, -1), decoded(), decoded().real)) for n in ("", "x" * 300))
    assert np.array_equal(short[THUMB:, 540:], long[THUMB:, 540:]) and not np.array_equal(short[THUMB:], long[THUMB:])
    assert long.shape == (THUMB + CAPTION, 4 * THUMB + 3 * GAP, 3)


def test_the_sheet_leaves_out_empty_groups_and_keeps_every_tile() -> None:
    tile = Image.new("RGB", (4 * THUMB + 3 * GAP, THUMB + CAPTION), "#123456")
    page = contact_sheet.sheet("three", [TileGroup("Best", [tile] * 3), TileGroup("Median", [])])
    assert (np.asarray(page) == (0x12, 0x34, 0x56)).all(axis=2).sum() == 3 * tile.width * tile.height
    assert page.getpixel((0, page.height - 1)) == Image.new("RGB", (1, 1), PAGE).getpixel((0, 0))
    assert page.height < contact_sheet.sheet("four", [TileGroup("Best", [tile] * 3), TileGroup("Worst", [tile])]).height


def test_a_sheet_of_one_image_is_one_column_wide() -> None:
    tile = contact_sheet.tile(row("a", 1), decoded(), decoded().real)
    one, two = (contact_sheet.sheet("title", [TileGroup("Best", [tile] * n)]) for n in (1, 2))
    assert one.width < two.width and one.height == two.height
