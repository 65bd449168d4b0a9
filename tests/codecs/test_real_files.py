"""What phones, scanners and editors write beside the letter of the formats is read as viewers read it."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, header
from hdnet.transforms.codecs.formats import jpeg
from tests import pictures

RGB = pictures.samples(3, 8)
JPEG = pictures.pillow(RGB, "JPEG", quality=95)
EXIF_SEGMENT = b"\xff\xe1" + struct.pack(">H", 8 + len(pictures.exif(1))) + b"Exif\0\0" + pictures.exif(1)


def same(data: bytes, plain: bytes) -> bool:
    return np.array_equal(decode.decode_image(data, "a"), decode.decode_image(plain, "plain"))


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def test_a_video_behind_a_jpeg_is_not_part_of_it():
    video = b"MotionPhoto_Data\0\0\0\x18ftypmp42" + b"\xff\xda\0\x02\xff\xd9" * 3000
    assert same(JPEG + video, JPEG)
    progressive = pictures.pillow(RGB, "JPEG", progressive=True)
    assert same(progressive + video, progressive)


PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(9, axis=0).repeat(9, axis=1)
FLAT = np.pad(np.full((20, 20), 255, np.uint8), 99)[..., None]


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"restart_marker_rows": 1}, {"progressive": True}], ids=str
)
@pytest.mark.parametrize("rest", [b"", b"\xff\xd9", bytes(9000), bytes(300) + b"\xff\xd9", b"<html>" * 99], ids=len)
@pytest.mark.parametrize("pixels", [PHOTO, FLAT], ids=["photo", "flat"])
def test_a_jpeg_that_was_cut_off_is_refused_whatever_stands_in_the_place_of_the_rest(pixels, rest, options):
    data = pictures.pillow(pixels, "JPEG", **options)
    start = data.rfind(b"\xff\xda")
    for share in (0.2, 0.5, 0.8):
        cut = start + round(share * (len(data) - start))
        try:
            found = decode.decode_image(data[:cut] + rest, "a")
        except errors.DecodeError as error:
            assert "truncated" in str(error)
        else:  # a pixel or two were missing
            assert np.mean(np.abs(found.astype(int) - decode.decode_image(data, "whole")) > 16) < 0.01


@pytest.mark.parametrize("options", [{}, {"optimize": True, "quality": 20}, {"restart_marker_rows": 1}], ids=str)
def test_a_whole_jpeg_may_lack_the_mark_of_its_end(options):
    for pixels in (PHOTO, FLAT, np.zeros((200, 300, 1), np.uint8)):
        data = pictures.pillow(pixels, "JPEG", **options)
        for rest in (b"", bytes(5000), b"\xff\xd9" + bytes(99)):
            assert same(data[:-2] + rest, data)


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"subsampling": 2}, {"restart_marker_rows": 1}], ids=str)
@pytest.mark.parametrize("shape", [(161, 307), (177, 192), (160, 320)])
def test_only_a_jpeg_that_may_be_cut_off_is_decoded_twice(shape, options, monkeypatch):
    photo = np.resize(PHOTO, (*shape, 3))
    data = pictures.pillow(photo, "JPEG", **options)
    start = data.rfind(b"\xff\xda")
    for share in (0.1, 0.5, 0.9, 0.95):  # the last is within the last row of blocks, which may have one row of pixels
        cut = start + round(share * (len(data) - start))
        with pytest.raises(errors.DecodeError, match="truncated"):
            decode.decode_image(data[:cut] + b"\xff\xd9", "a")
    monkeypatch.delattr(jpeg, "_is_cut_off")
    assert decode.decode_image(data, "a").shape == photo.shape


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"optimize": True, "quality": 20}], ids=str)
def test_a_jpeg_that_lacks_a_few_bytes_is_refused_or_lacks_less_than_a_block(options):
    data = pictures.pillow(np.resize(PHOTO, (160, 320, 3)), "JPEG", **options)
    whole = decode.decode_image(data, "a")
    for cut in range(3, 61):
        try:
            differs = decode.decode_image(data[:-cut] + b"\xff\xd9", "a") != whole
        except errors.DecodeError as error:
            assert "truncated" in str(error)
        else:  # colours are interpolated one pixel beyond their block
            assert not differs[:-17].any() and not differs[:, :-17].any()


@pytest.mark.parametrize(
    "between", [b'"?', b"\0\0", b"\0\xe1" + struct.pack(">H", 40) + bytes(38), b"\xff" * 99, b"\xff\0\xff\xd0"]
)
def test_bytes_between_two_segments_of_a_jpeg_are_passed_over(between):
    assert same(JPEG[:2] + EXIF_SEGMENT + between + JPEG[2:], JPEG)


@pytest.mark.parametrize(
    "marker, content", [(0xE0, b"JFIF\0"), (0xED, b"Photoshop 3.0\0"), (0xEE, b"Adobe"), (0xE2, b"ICC_PROFILE\0")]
)
def test_short_segments_that_say_nothing_about_pixels_are_left_out(marker, content):
    bogus = struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content
    assert same(JPEG[:2] + bogus + JPEG[2:], JPEG)


def test_a_jpeg_in_arithmetic_coding_may_take_nearly_no_bytes():
    segments = [
        (0xDB, b"\0" + b"\1" * 64),
        (0xCA, struct.pack(">BHHB3B", 8, 900, 1000, 1, 1, 0x11, 0)),
        (0xDA, b"\1\1\0\0\0\0"),
    ]
    body = b"".join(struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content for marker, content in segments)
    found = decode.decode(b"\xff\xd8" + body + b"\xff\xd9", "a")
    assert found.pixels.shape == (900, 1000, 3) and found.grey


def test_long_text_and_a_long_profile_of_a_png_are_no_reason_to_refuse_it():
    text = pictures.chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(3_000_000)))
    profile = pictures.SRGB + bytes(2_000_000)
    data = pictures.png(RGB, text, pictures.chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)), late=text)
    found = decode.decode(data, "a")
    assert np.array_equal(found.pixels, RGB) and found.icc == profile


@pytest.mark.parametrize(
    "kind, content", [(b"gAMA", b""), (b"pHYs", b"\1"), (b"tRNS", b"\0"), (b"iCCP", b"x\0\0broken")]
)
def test_short_chunks_of_a_png_count_as_absent(kind, content):
    found = decode.decode(pictures.png(RGB, pictures.chunk(kind, content)), "a")
    assert np.array_equal(found.pixels, RGB) and found.alpha is None and found.icc is None


def test_damaged_text_of_a_png_costs_the_text_alone():
    broken = pictures.chunk(b"tEXt", b"a\0b")[:-1] + b"?"
    assert np.array_equal(decode.decode_image(pictures.png(RGB, broken), "a"), RGB)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_big_endian_bigtiff_is_read(depth, compression):
    pixels = pictures.samples(3, depth)
    data = tiff(pixels, photometric="rgb", bigtiff=True, byteorder=">", compression=compression)
    assert np.array_equal(decode.decode_image(data, "a"), pixels)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    "layout", [{}, {"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib", "predictor": True}]
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_channels_beyond_the_first_alpha_are_left_out(depth, layout, planar):
    pixels = pictures.samples(5, depth)
    stored = pixels if planar == "contig" else np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
    for extra, alpha in ((["unspecified"] * 2, None), (["unassalpha"] * 2, 3), (["unspecified", "unassalpha"], 4)):
        data = tiff(stored, photometric="rgb", extrasamples=extra, planarconfig=planar, **layout)
        found = decode.decode(data, "a")
        assert np.array_equal(found.pixels, pixels[..., :3])
        assert (found.alpha is None) == (alpha is None)
        assert found.alpha is None or np.array_equal(found.alpha, pixels[..., alpha])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("depth", [8, 16])
def test_cmyk_with_alpha_is_read(depth, planar):
    pixels = pictures.samples(5, 8)
    inks = Image.fromarray(np.ascontiguousarray(pixels[..., :4]), "CMYK").convert("RGB")
    stored = pixels if depth == 8 else pixels.astype(np.uint16) * 257
    stored = stored if planar == "contig" else np.ascontiguousarray(np.moveaxis(stored, 2, 0))
    found = decode.decode(tiff(stored, photometric="separated", extrasamples=["unassalpha"], planarconfig=planar), "a")
    assert np.array_equal(found.pixels, np.asarray(inks))
    assert found.alpha is not None and np.array_equal(found.alpha, pixels[..., 4])


def test_grey_multiplied_by_alpha_is_divided():
    pixels = np.array([[[50, 100], [7, 255], [9, 0]]], np.uint8)
    found = decode.decode(tiff(pixels, photometric="minisblack", extrasamples=["assocalpha"]), "a")
    assert found.pixels[..., 0].tolist() == [[128, 7, 9]] and found.grey


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_ycbcr_without_compression_is_not_taken_for_rgb(planar, tile):
    y, x = np.mgrid[0:48, 0:40]
    rgb = np.stack([x * 5, y * 5, 255 - x], -1)
    luma = rgb @ [0.299, 0.587, 0.114]
    stored = np.stack([luma, 128 + (rgb[..., 2] - luma) / 1.772, 128 + (rgb[..., 0] - luma) / 1.402], -1)
    stored = np.clip(stored.round(), 0, 255).astype(np.uint8)
    stored = stored if planar == "contig" else np.ascontiguousarray(np.moveaxis(stored, 2, 0))
    data = tiff(stored, photometric="ycbcr", subsampling=(1, 1), planarconfig=planar, tile=tile)
    assert np.abs(decode.decode_image(data, "a").astype(int) - rgb).max() <= 2


def test_tiles_under_the_tags_of_strips_are_tiles():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    data = tiff(pixels, photometric="rgb", tile=(16, 16))
    for tile, strip in ((324, 273), (325, 279)):
        assert data.count(struct.pack("<HH", tile, 4)) == 1 or tile == 325
        data = data.replace(struct.pack("<H", tile) + b"\4\0\6\0\0\0", struct.pack("<H", strip) + b"\4\0\6\0\0\0")
        data = data.replace(struct.pack("<H", tile) + b"\3\0\6\0\0\0", struct.pack("<H", strip) + b"\3\0\6\0\0\0")
    assert np.array_equal(decode.decode_image(data, "a"), pixels)


def sloppy(tag: int, count: int, kind: int = 3, value: int | None = None) -> bytes:
    """Return a TIFF with one tag's count, and perhaps its value, changed; the old values are followed by zeros."""
    data = bytearray(tiff(np.tile(RGB, (3, 3, 1)), photometric="rgb", compression="zlib", rowsperstrip=20,
                          extratags=[(43853, "B", 16, bytes(16), True)]))  # fmt: skip
    start = struct.unpack_from("<I", data, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, at)[0] == tag:
            struct.pack_into("<HI", data, at + 2, kind, count)
            if value is not None:
                struct.pack_into("<I", data, at + 8, value)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        sloppy(258, 4, value=len(sloppy(258, 3))) + struct.pack("<4H", 8, 8, 8, 1),
        sloppy(43853, 16, kind=1, value=1 << 30),
        sloppy(43853, 1 << 30, kind=1),
        sloppy(256, 1, kind=9),
        sloppy(279, 2, kind=4, value=len(sloppy(258, 3))) + struct.pack("<2I", 9000, 65000),
    ],
    ids=["a bit depth too many", "private tag outside", "private tag too long", "signed width", "strips said too long"],
)
def test_sloppy_tags_of_a_tiff_cost_nothing(data):
    assert np.array_equal(decode.decode_image(data, "a"), np.tile(RGB, (3, 3, 1)))


def pages(*pages: tuple[int, dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for scale, options in pages:
            writer.write(np.tile(RGB, (scale, scale, 1)), photometric="rgb", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "data, message",
    [
        (pages((1, {"subfiletype": 1, "subifds": 1}), (4, {})), "its first picture is a reduced-resolution preview"),
        (pages((1, {"subfiletype": 1}), (4, {})), "its first picture is a reduced-resolution preview"),
        (pages((1, {"subifds": 1}), (4, {})), "its first picture is a preview of a larger one"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "is a camera raw file"),
    ],
)
def test_a_first_picture_that_is_not_the_picture_is_refused(data, message):
    with pytest.raises(errors.DecodeError, match=rf"^7\.tif .*{message}.*: develop it first"):
        decode.decode(data, "7.tif")


@pytest.mark.parametrize(
    "data",
    [
        pages((4, {"subifds": 1}), (1, {"subfiletype": 1})),
        pages((4, {}), (1, {"subfiletype": 1})),
        pages((4, {}), (8, {})),
        pages((4, {"subfiletype": 1})),
    ],
    ids=["pyramid", "thumbnail second", "two pages", "alone"],
)
def test_a_first_picture_that_is_the_picture_is_read(data):
    assert decode.decode_image(data, "a").shape == (48, 64, 3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"t259": 34712}, "is compressed with JPEG 2000: save it with LZW or deflate"),
        ({"t259": 33005}, "is compressed with JPEG 2000"),
        ({"t259": 50001}, "is compressed with WebP"),
        ({"t259": 50002}, "is compressed with JPEG XL"),
        ({"t259": 999}, r"a method that is not read here \(number 999\)"),
        ({"t339": 3}, "holds floating-point values"),
        ({"t339": 2}, "holds signed values"),
        ({"t262": 32803}, "raw values of a camera's sensor: develop it first"),
        ({"t262": 9}, "ICCLab"),
        ({"t262": 777}, r"colours of an unknown kind \(777\)"),
    ],
)
def test_kinds_of_tiff_that_are_not_read_are_named(changes, message):
    with pytest.raises(errors.DecodeError, match=rf"^7\.tif .*{message}"):
        decode.decode(pictures.tiff(RGB, **changes), "7.tif")


def test_damage_that_the_decoder_only_prints_is_an_error_and_nothing_reaches_the_terminal(capfd):
    drawn = Image.fromarray(np.hypot(*np.mgrid[-50:50, -60:60]) < 40)
    sound = pictures.pillow(drawn, "TIFF", compression="tiff_lzw")
    said = []
    for place in range(8, 200, 3):
        data = bytearray(sound)
        data[place] ^= 0x10
        try:
            decode.decode(bytes(data), "m.tif")
        except errors.DecodeError as error:
            said.append(str(error))
    assert any("m.tif cannot be decoded as TIFF (Not enough data at scanline" in message for message in said)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer: run git lfs pull"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"%PDF-1.7", "a PDF"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\x93NUMPY\1\0", "a NumPy array: save it as PNG"),
        (b"P5\n64 48\n255\n", "a PGM: convert it"),
        (b"[[1, 2], [3, 4]]", "JSON, perhaps a list of polygons"),
        (bytes(99), "nothing but zeros: copy the file again"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera raw file: develop it first"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video: export a frame"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "a Mac's record about another file"),
        (b"iVBORw0KGgo=", "a PNG in base64"),
        (b"\x89PNG\r\r\n\x1a\r\n", "sent as text"),
        (pictures.png(RGB)[:8] + pictures.chunk(b"CgBI", b"P\0 \2") + pictures.png(RGB)[8:], "as Xcode packs it"),
        (JPEG.replace(b"\xff\xc0", b"\xff\xc5"), "a hierarchical JPEG"),
        (JPEG.replace(b"\xff\xc0", b"\xff\xf7"), "a lossless .JPEG-LS. JPEG"),
        (JPEG.replace(b"\xff\xc0\0\x11\x08\0\x0c", b"\xff\xc0\0\x11\x08\0\0"), "gives its height behind its pixels"),
        (b"BM" + bytes(14), "it is damaged, or cut off within a field"),
    ],
)
def test_what_is_no_image_is_named(data, message):
    with pytest.raises(errors.DecodeError, match=message):
        decode.decode(data, "7.jpg")


def test_alpha_of_a_bmp_that_is_nowhere_anything_is_none():
    data = pictures.bmp_with_alpha(np.dstack([RGB, np.zeros_like(RGB[..., 0])]))
    found = decode.decode(data, "a")
    assert found.alpha is None and np.array_equal(found.pixels, RGB)


def test_a_tiff_may_leave_it_to_its_depths_to_say_how_many_channels_it_has():
    data = tiff(RGB, photometric="rgb")
    assert data.count(struct.pack("<HHI", 277, 3, 1)) == 1
    changed = data.replace(struct.pack("<HHI", 277, 3, 1), struct.pack("<HHI", 65000, 3, 1))
    assert np.array_equal(decode.decode_image(changed, "a"), RGB)


def test_an_avif_made_of_tiles_leaves_it_to_them_to_say_of_what_kind_they_are():
    data = pictures.pillow(RGB, "AVIF")
    at = data.find(b"ipma")
    changed = data[:at] + data[at : at + 24].replace(b"\x83", b"\0") + data[at + 24 :]
    assert changed != data
    assert (header.read(changed, "a").width, header.read(changed, "a").channels) == (16, 3)
