"""Bytes to arrays and back."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hdnet.transforms import errors, image


def encode(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def grey(*values: int) -> Image.Image:
    return Image.fromarray(np.array([values], np.uint8))


def test_png_gives_back_the_very_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(image.decode_image(image.encode_png(pixels), "a.png"), pixels)


def test_encode_png_writes_a_mask_and_the_same_bytes_each_time():
    mask = np.array([[0, 128, 255]], np.uint8)
    assert image.encode_png(mask) == image.encode_png(mask.copy())
    assert image.decode_mask(image.encode_png(mask), "m.png").tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("shape, dtype", [((4, 4, 3), np.uint16), ((4, 4, 4), np.uint8), ((4,), np.uint8)])
def test_encode_png_refuses_what_it_cannot_keep(shape, dtype):
    with pytest.raises(errors.ShapeError, match=np.dtype(dtype).name):
        image.encode_png(np.zeros(shape, dtype))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode):
    white = Image.new("RGB", (3, 2), "white").convert(mode)
    pixels = image.decode_image(encode(white, "TIFF"), "white.tif")
    assert pixels.shape == (2, 3, 3) and pixels.dtype == np.uint8 and (pixels == 255).all()


@pytest.mark.filterwarnings("error")
def test_palette_with_transparency_keeps_its_colours_and_is_a_mask():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    data = encode(palette, transparency=b"\x80\x40")
    assert image.decode_image(data, "p.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert image.decode_mask(data, "p.png").tolist() == [[0x80, 0x40]]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_depth(file_format):
    deep = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    pixels = image.decode_image(encode(deep, file_format), "deep")
    assert pixels.dtype == np.uint16 and pixels.tolist() == [[[0] * 3, [257] * 3, [65535] * 3]]


def test_exif_orientation_turns_image_and_mask():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn: show the file turned clockwise
    data = encode(grey(0, 200, 255), exif=exif)
    assert image.decode_image(data, "a.png")[..., 0].tolist() == [[0], [200], [255]]
    assert image.decode_mask(data, "a.png").tolist() == [[0], [200], [255]]


@pytest.mark.parametrize("decode", [image.decode_image, image.decode_mask])
@pytest.mark.parametrize("data", [b"", b"GIF89a", b"not an image", encode(Image.new("F", (2, 2)), "TIFF")])
def test_what_is_no_image_is_an_error_that_names_the_file(decode, data):
    with pytest.raises(errors.DecodeError, match=r"^shop/7\.png "):
        decode(data, "shop/7.png")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_truncated_file_is_an_error(file_format):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = encode(Image.fromarray(pixels), file_format)
    with pytest.raises(errors.DecodeError, match="cut"):
        image.decode_image(data[: len(data) // 2], "cut")


def test_decompression_bomb_is_an_error():
    small = encode(Image.new("1", (1, 1)))
    header = b"IHDR" + struct.pack(">II", 65536, 65536) + small[24:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(errors.SizeError, match=r"bomb\.png claims 65536 x 65536"):
        image.decode_image(bomb, "bomb.png")


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_grey_mask_is_read_from_any_mode(mode):
    assert image.decode_mask(encode(grey(0, 100, 255).convert(mode)), "m.png").tolist() == [[0, 100, 255]]


def test_one_bit_mask_is_black_and_white():
    assert image.decode_mask(encode(Image.fromarray(np.array([[False, True]]))), "m.png").tolist() == [[0, 255]]


def test_mask_of_zeros_and_ones_is_stretched():
    assert image.decode_mask(encode(grey(0, 1, 1)), "m.png").tolist() == [[0, 255, 255]]
    assert image.decode_mask(encode(grey(0, 1, 2)), "m.png").tolist() == [[0, 1, 2]]


def test_sixteen_bit_mask_is_rounded_to_eight():
    deep = np.array([[0, 128, 129, 32767, 32896, 65535]], np.uint16)
    assert image.decode_mask(encode(Image.fromarray(deep)), "m.png").tolist() == [[0, 0, 1, 127, 128, 255]]
    ones = np.array([[0, 1]], np.uint16)
    assert image.decode_mask(encode(Image.fromarray(ones)), "m.png").tolist() == [[0, 255]]


def test_alpha_is_the_mask_where_it_says_something():
    cut_out = np.array([[[200, 10, 10, 0], [200, 10, 10, 90]]], np.uint8)
    assert image.decode_mask(encode(Image.fromarray(cut_out)), "m.png").tolist() == [[0, 90]]
    opaque = np.array([[[0, 0, 0, 255], [90, 90, 90, 255]]], np.uint8)
    assert image.decode_mask(encode(Image.fromarray(opaque)), "m.png").tolist() == [[0, 90]]


def test_one_transparent_colour_is_not_a_mask():
    rgb = grey(0, 90).convert("RGB")
    assert image.decode_mask(encode(rgb, transparency=(0, 0, 0)), "m.png").tolist() == [[0, 90]]


def test_coloured_mask_is_an_error():
    with pytest.raises(errors.DecodeError, match=r"red\.png is a coloured mask"):
        image.decode_mask(encode(Image.new("RGB", (2, 2), "red")), "red.png")


def test_foreground_starts_at_128():
    assert image.threshold(np.array([[0, 127, 128, 255]], np.uint8)).tolist() == [[False, False, True, True]]
    assert image.threshold(np.array([[True, False]])).tolist() == [[True, False]]
