"""Masks of every format and depth, noise, and another size."""

import numpy as np
import pytest
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, mask
from hdnet.transforms.pixels import image
from tests import pictures

SOFT = np.clip(np.arange(16) * 40 - 160, 0, 255).astype(np.uint8)[None].repeat(12, axis=0)


def write(kind: str, depth: int, channels: int) -> bytes:
    grey: pictures.Samples = SOFT.astype(np.uint16) * np.uint16(257) if depth == 16 else SOFT
    pixels: pictures.Samples = np.repeat(grey[..., None], channels, axis=2)
    if channels == 4:
        pixels[..., :3] = [9, 100, 200]  # a cut-out: what it is of does not matter
    return pictures.png(pixels) if kind == "png" else pictures.tiff(pixels, deflate=True)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_soft_edges_are_read_from_every_kind(kind, depth, channels):
    assert np.array_equal(mask.decode_mask(write(kind, depth, channels), "m"), SOFT)


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_webp_is_read_as_it_is(channels):
    pixels = np.repeat(SOFT[..., None], channels, axis=2)
    assert np.array_equal(mask.decode_mask(pictures.pillow(pixels, "WEBP", lossless=True, exact=True), "m"), SOFT)


@pytest.mark.parametrize("kind, options", [("JPEG", {"quality": 75}), ("JPEG", {"quality": 90}), ("WEBP", {})])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_around_black_and_white_is_neither(kind, options, channels):
    distance = np.hypot(*np.ogrid[-32:32, -32:32])
    disc = distance < 20
    pixels = np.repeat(disc[..., None] * np.uint8(255), channels, axis=2)
    found = mask.decode_mask(pictures.pillow(pixels, kind, **options), "m")
    far = np.abs(distance - 20) > 2
    assert (found[far] == pixels[far][..., 0]).mean() > (0.97 if options == {"quality": 75} else 0.999)
    assert (image.threshold(found) == disc).mean() > 0.99
    assert not ((found > 0) & (found < 16)).any() and not ((found > 239) & (found < 255)).any()


def test_a_real_soft_edge_survives_jpeg():
    found = mask.decode_mask(pictures.pillow(SOFT[..., None], "JPEG", quality=90), "m").astype(int)
    assert np.abs(found - SOFT).max() < 20 and np.unique(found).size > 5


def test_small_values_of_a_lossless_mask_stay():
    pixels = np.array([[[0], [1], [7], [248], [254]]], np.uint8)
    assert mask.decode_mask(pictures.png(pixels), "m").tolist() == [[0, 1, 7, 248, 254]]


def test_an_empty_jpeg_mask_is_empty():
    noise = np.random.default_rng(0).integers(0, 2, (16, 16, 1), dtype=np.uint8)
    assert not mask.decode_mask(pictures.pillow(noise, "JPEG", quality=100), "m").any()


@pytest.mark.parametrize("orientation, shape", [(1, (12, 16)), (6, (16, 12))])
def test_orientation_turns_the_mask(orientation, shape):
    data = pictures.tiff(SOFT[..., None], t274=orientation)
    assert mask.decode_mask(data, "m.tif").shape == shape


def test_coloured_lossy_mask_is_an_error():
    with pytest.raises(errors.DecodeError, match=r"m\.jpg is a coloured mask"):
        mask.decode_mask(pictures.pillow(Image.new("RGB", (8, 8), "red"), "JPEG"), "m.jpg")


@pytest.mark.parametrize("height, width", [(24, 32), (6, 8), (120, 160), (12, 16)])
def test_the_same_picture_at_another_scale_is_resized(height, width):
    found = mask.resize_mask_to(SOFT, height, width)
    assert found.shape == (height, width) and found.dtype == np.uint8
    assert (found[:, 0] == 0).all() and (found[:, -1] == 255).all()
    assert np.abs(found.mean() - SOFT.mean()) < 4 and (np.diff(found[0].astype(int)) >= 0).all()


def test_one_percent_is_the_same_aspect_ratio():
    wide = np.zeros((100, 200), np.uint8)
    assert mask.resize_mask_to(wide, 50, 101).shape == (50, 101)
    with pytest.raises(errors.ShapeError, match="m.png is 200 x 100, its image 102 x 50: another aspect ratio"):
        mask.resize_mask_to(wide, 50, 102, name="m.png")


def test_resizing_must_be_asked_for():
    assert mask.resize_mask_to(SOFT, 12, 16, allowed=False) is SOFT
    with pytest.raises(errors.ShapeError, match="16 x 12, its image 32 x 24: .*--resize-mask"):
        mask.resize_mask_to(SOFT, 24, 32, allowed=False)


@pytest.mark.filterwarnings("error")
def test_palette_with_transparency_keeps_its_colours_and_is_a_mask():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    data = pictures.pillow(palette, transparency=b"\x80\x40")
    assert decode.decode_image(data, "p.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert mask.decode_mask(data, "p.png").tolist() == [[0x80, 0x40]]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_grey_mask_is_read_from_any_mode(mode):
    data = pictures.pillow(pictures.grey(0, 100, 255).convert(mode))
    assert mask.decode_mask(data, "m.png").tolist() == [[0, 100, 255]]


def test_one_bit_mask_is_black_and_white():
    assert mask.decode_mask(pictures.pillow(Image.fromarray(np.array([[False, True]]))), "m.png").tolist() == [[0, 255]]


def test_mask_of_zeros_and_ones_is_stretched():
    assert mask.decode_mask(pictures.pillow(pictures.grey(0, 1, 1)), "m.png").tolist() == [[0, 255, 255]]
    assert mask.decode_mask(pictures.pillow(pictures.grey(0, 1, 2)), "m.png").tolist() == [[0, 1, 2]]


def test_sixteen_bit_mask_is_rounded_to_eight():
    deep = np.array([[0, 128, 129, 32767, 32896, 65535]], np.uint16)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(deep)), "m.png").tolist() == [[0, 0, 1, 127, 128, 255]]
    ones = np.array([[0, 1]], np.uint16)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(ones)), "m.png").tolist() == [[0, 255]]


def test_alpha_is_the_mask_where_it_says_something():
    cut_out = np.array([[[200, 10, 10, 0], [200, 10, 10, 90]]], np.uint8)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(cut_out)), "m.png").tolist() == [[0, 90]]
    opaque = np.array([[[0, 0, 0, 255], [90, 90, 90, 255]]], np.uint8)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(opaque)), "m.png").tolist() == [[0, 90]]


def test_one_transparent_colour_is_not_a_mask():
    rgb = pictures.grey(0, 90).convert("RGB")
    assert mask.decode_mask(pictures.pillow(rgb, transparency=(0, 0, 0)), "m.png").tolist() == [[0, 90]]


def test_coloured_mask_is_an_error():
    with pytest.raises(errors.DecodeError, match=r"red\.png is a coloured mask"):
        mask.decode_mask(pictures.pillow(Image.new("RGB", (2, 2), "red")), "red.png")
