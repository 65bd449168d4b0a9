"""Every format, depth, alpha and orientation, read as it is."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, mask, picture
from tests import pictures

CASES = [
    *itertools.product(["png", "tiff", "tiff-big-endian", "tiff-deflate", "tiff-separate"], [8, 16], [1, 2, 3, 4]),
    *itertools.product(["webp"], [8], [3, 4]),
]


def write(kind: str, pixels: pictures.Samples, orientation: int = 1) -> bytes:
    if kind == "png":
        return pictures.png(pixels, pictures.chunk(b"eXIf", pictures.exif(orientation)))
    if kind == "webp":
        exif = pictures.exif(orientation, ">")
        return pictures.pillow(pixels, "WEBP", lossless=True, exact=True, exif=exif)
    order = ">" if "big" in kind else "<"
    return pictures.tiff(pixels, order, deflate="deflate" in kind, separate="separate" in kind, t274=orientation)


def check(found: picture.Picture, pixels: pictures.Samples) -> None:
    channels = pixels.shape[2]
    colours = np.repeat(pixels[..., :1], 3, axis=2) if channels < 3 else pixels[..., :3]
    assert found.pixels.dtype == pixels.dtype and np.array_equal(found.pixels, colours)
    assert found.grey == (channels < 3)
    assert (found.alpha is None) == (channels in (1, 3))
    if found.alpha is not None:
        assert found.alpha.dtype == pixels.dtype and np.array_equal(found.alpha, pixels[..., -1])


@pytest.mark.parametrize("kind, depth, channels", CASES)
def test_every_sample_is_read(kind, depth, channels):
    pixels = pictures.samples(channels, depth)
    check(decode.decode(write(kind, pixels), "a"), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind, depth, channels", CASES)
def test_orientation_is_applied_and_then_1(kind, depth, channels, orientation):
    pixels = pictures.samples(channels, depth)
    found = decode.decode(write(kind, pixels, orientation), "a")
    check(found, np.ascontiguousarray(pictures.upright(pixels, orientation)))
    exif = Image.Exif()
    exif.load(found.exif or b"")
    assert exif[274] == 1
    assert kind.startswith("tiff") or exif[271] == "Cam"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_jpeg(orientation):
    stored = np.repeat(np.arange(16, dtype=np.uint8)[:, None] * 15, 24, axis=1)[..., None]
    data = pictures.pillow(stored, "JPEG", quality=100, exif=b"Exif\0\0" + pictures.exif(orientation))
    plain = decode.decode(pictures.pillow(stored, "JPEG", quality=100), "plain").pixels
    assert np.array_equal(decode.decode(data, "turned").pixels, pictures.upright(plain, orientation))


@pytest.mark.parametrize("order", "<>")
def test_exif_is_kept_byte_by_byte_but_for_its_orientation(order):
    data = pictures.pillow(pictures.samples(3, 8), "JPEG", exif=b"Exif\0\0" + pictures.exif(6, order))
    assert decode.decode(data, "a.jpg").exif == pictures.exif(1, order)


def test_exif_that_cannot_be_read_is_absent():
    data = pictures.pillow(pictures.samples(3, 8), "JPEG", exif=b"Exif\0\0II*\0garbage")
    assert decode.decode(data, "a.jpg").exif is None


def test_exif_behind_the_pixels_of_a_png_counts():
    pixels = pictures.samples(3, 16)
    data = pictures.png(pixels, late=pictures.chunk(b"eXIf", pictures.exif(8)))
    assert np.array_equal(decode.decode(data, "a.png").pixels, np.rot90(pixels))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_interlaced_png_is_read(depth, channels):
    pixels = pictures.samples(channels, depth)
    check(decode.decode(pictures.png(pixels, interlaced=True), "a.png"), pixels)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_named_as_transparent_becomes_alpha(depth):
    pixels = pictures.samples(3, depth)
    key = b"".join(int(value).to_bytes(2, "big") for value in pixels[3, 5])
    found = decode.decode(pictures.png(pixels, pictures.chunk(b"tRNS", key)), "a.png")
    assert found.alpha is not None and np.argwhere(found.alpha == 0).tolist() == [[3, 5]]
    assert np.array_equal(found.pixels, pixels) and found.alpha.max() == 2**depth - 1


def test_a_transparent_grey_of_four_bits_is_found():
    head = pictures.chunk(b"IHDR", b"\0\0\0\2\0\0\0\1\4\0\0\0\0")
    body = [head, pictures.chunk(b"tRNS", b"\0\3"), pictures.chunk(b"IDAT", zlib.compress(b"\0\x3a"))]
    found = decode.decode(b"\x89PNG\r\n\x1a\n" + b"".join([*body, pictures.chunk(b"IEND", b"")]), "a.png")
    assert found.pixels[0, :, 0].tolist() == [0x33, 0xAA]
    assert found.alpha is not None and found.alpha.tolist() == [[0, 255]]


def test_palette_becomes_rgb_with_its_transparency():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    found = decode.decode(pictures.pillow(palette, "PNG", transparency=b"\x80\xff"), "p.png")
    assert found.pixels.tolist() == [[[10, 20, 30], [40, 50, 60]]] and not found.grey
    assert found.alpha is not None and found.alpha.tolist() == [[0x80, 0xFF]]
    assert decode.decode(pictures.pillow(palette, "TIFF"), "p.tif").pixels.tolist() == found.pixels.tolist()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_one_bit_is_grey(kind):
    found = decode.decode(pictures.pillow(Image.fromarray(np.eye(4, dtype=np.bool_)), kind), "a")
    assert found.grey and np.array_equal(found.pixels[..., 0], np.eye(4) * 255)


@pytest.mark.parametrize("deep", [False, True])
def test_white_may_be_zero_in_a_tiff(deep):
    pixels = pictures.samples(1, 16 if deep else 8)
    found = decode.decode(pictures.tiff(pixels, t262=0), "a.tif")
    assert np.array_equal(found.pixels[..., :1], np.iinfo(pixels.dtype).max - pixels)


def test_colours_multiplied_by_alpha_are_divided():
    pixels = np.array([[[100, 200, 300, 32768], [5, 6, 7, 65535], [0, 0, 0, 0]]], np.uint16)
    found = decode.decode(pictures.tiff(pixels, t338=1), "a.tif")
    assert found.pixels.tolist() == [[[200, 400, 600], [5, 6, 7], [0, 0, 0]]]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("separate", [False, True])
def test_a_fourth_channel_without_meaning_is_left_out(depth, separate):
    pixels = pictures.samples(4, depth)
    found = decode.decode(pictures.tiff(pixels, separate=separate, t338=0), "a.tif")
    assert found.alpha is None and np.array_equal(found.pixels, pixels[..., :3])


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind):
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = decode.decode(pictures.pillow(inks, kind, icc_profile=b"no profile"), "a")
    assert np.abs(found.pixels.astype(int) - [255, 0, 0]).max() <= 3
    assert found.icc is None and not found.grey


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(kind):
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = decode.decode(pictures.pillow(inks, kind, icc_profile=pictures.cmyk_profile()), "a")
    assert np.abs(found.pixels.astype(int) - 119).max() <= 3  # sRGB's number for L* 50
    assert found.icc is None


def test_cmyk_jpeg_without_adobe_marker_is_not_inverted():
    data = pictures.pillow(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    at = data.index(b"\xff\xee")
    plain = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert np.abs(decode.decode(plain, "a.jpg").pixels.astype(int) - [0, 0, 0]).max() <= 3


def test_a_profile_of_another_kind_does_not_convert_cmyk():
    inks = Image.new("CMYK", (2, 2), (255, 0, 0, 0))
    assert decode.decode(pictures.pillow(inks, "TIFF", icc_profile=pictures.SRGB), "a.tif").icc is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_profile_and_numbers_are_kept(kind):
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:-1] + b"x"
    data = pictures.pillow(pictures.samples(3, 8), kind, icc_profile=wide)
    assert decode.decode(data, "a").icc == wide
    with Image.open(io.BytesIO(data)) as plain:
        assert np.array_equal(decode.decode_image(data, "a"), np.asarray(plain))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_dpi_is_read(kind):
    found = decode.decode(pictures.pillow(pictures.samples(3, 8), kind, dpi=(300, 150)), "a").dpi
    assert found == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("dpi", [(0, 0), None])
def test_no_dpi_is_none(dpi):
    data = pictures.pillow(pictures.samples(3, 8), "JPEG", **({"dpi": dpi} if dpi else {}))
    assert decode.decode(data, "a.jpg").dpi is None


def test_the_first_of_several_is_read():
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for kind in ("WEBP", "TIFF", "PNG"):
        data = pictures.pillow(pages[0], kind, save_all=True, append_images=pages[1:])
        assert (decode.decode_image(data, "a") == [255, 0, 0]).all() or kind == "WEBP"
    assert decode.decode_image(pictures.pillow(pages[0], "MPO", save_all=True, append_images=pages[1:]), "a").ndim == 3


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "empty"),
        (b"8BPS\0\1......", "not a JPEG, PNG, .* or HEIC .*8BPS"),
        (pictures.pillow(Image.new("F", (2, 2)), "TIFF"), "floating-point values"),
        (pictures.pillow(Image.new("I", (2, 2)), "TIFF"), "signed values"),
        (pictures.pillow(Image.new("LAB", (2, 2)), "TIFF"), "mode LAB"),
        (pictures.tiff(pictures.samples(1, 16), t258=12), "12 bits"),
        (pictures.tiff(pictures.samples(3, 8), t256=0), "0 x 12"),
        (pictures.tiff(pictures.samples(7, 16)), "7 channels of 16 bits: save it without alpha channels"),
        (pictures.tiff(pictures.samples(3, 8), t322=60000, t323=60000), "tiles of 60000"),
    ],
)
def test_what_is_not_read_says_what_it_is(data, message):
    with pytest.raises(errors.DecodeError, match=rf"^shop/7\.jpg .*{message}"):
        decode.decode(data, "shop/7.jpg")


def test_too_many_pixels_are_refused():
    data = pictures.png(pictures.samples(3, 8))
    assert decode.decode(data, "a.png", max_pixels=192).pixels.shape == (12, 16, 3)
    with pytest.raises(errors.SizeError, match=r"a\.png claims 16 x 12 = 192 pixels, more than the 191 .*--max-pixels"):
        decode.decode(data, "a.png", max_pixels=191)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode):
    white = Image.new("RGB", (3, 2), "white").convert(mode)
    pixels = decode.decode_image(pictures.pillow(white, "TIFF"), "white.tif")
    assert pixels.shape == (2, 3, 3) and pixels.dtype == np.uint8 and (pixels == 255).all()


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_depth(file_format):
    deep = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    pixels = decode.decode_image(pictures.pillow(deep, file_format), "deep")
    assert pixels.dtype == np.uint16 and pixels.tolist() == [[[0] * 3, [257] * 3, [65535] * 3]]


def test_exif_orientation_turns_image_and_mask():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn: show the file turned clockwise
    data = pictures.pillow(pictures.grey(0, 200, 255), exif=exif)
    assert decode.decode_image(data, "a.png")[..., 0].tolist() == [[0], [200], [255]]
    assert mask.decode_mask(data, "a.png").tolist() == [[0], [200], [255]]


@pytest.mark.parametrize("read", [decode.decode_image, mask.decode_mask])
@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"BM", b"not an image", pictures.pillow(Image.new("F", (2, 2)), "TIFF")]
)
def test_what_is_no_image_is_an_error_that_names_the_file(read, data):
    with pytest.raises(errors.DecodeError, match=r"^shop/7\.png "):
        read(data, "shop/7.png")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_truncated_file_is_an_error(file_format):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = pictures.pillow(Image.fromarray(pixels), file_format)
    with pytest.raises(errors.DecodeError, match="cut"):
        decode.decode_image(data[: len(data) // 2], "cut")


def test_decompression_bomb_is_an_error():
    small = pictures.pillow(Image.new("1", (1, 1)))
    header = b"IHDR" + struct.pack(">II", 65536, 65536) + small[24:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(errors.SizeError, match=r"bomb\.png claims 65536 x 65536"):
        decode.decode_image(bomb, "bomb.png")
