"""What is written: the same kind of file, the same pixels, the same bytes."""

import dataclasses
import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, encode, picture
from hdnet.transforms.pixels import tensor
from tests import pictures

KINDS = ["jpeg", "png", "webp", "tiff", "avif"]


def make(channels: int = 3, depth: int = 8, **fields: Any) -> picture.Picture:
    values = pictures.samples(channels, depth)
    pixels = np.repeat(values[..., :1], 3, axis=2) if channels < 3 else values[..., :3]
    alpha = values[..., -1] if channels in (2, 4) else None
    plain = picture.Picture(np.ascontiguousarray(pixels), alpha, channels < 3, "png")
    return dataclasses.replace(plain, **fields)


def metadata(kind: str) -> dict[str, Any]:
    profile = pictures.SRGB[:-1] + b"x"
    return {"format": kind, "icc": profile, "exif": pictures.exif(1), "dpi": (300.0, 150.0)}


def same(found: picture.Picture, wanted: picture.Picture) -> bool:
    one, two = found.alpha, wanted.alpha
    alphas = one is two if one is None or two is None else np.array_equal(one, two)
    depth = found.pixels.dtype == wanted.pixels.dtype
    return alphas and depth and found.grey == wanted.grey and np.array_equal(found.pixels, wanted.pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_png_and_tiff_hold_every_sample(kind, depth, channels):
    wanted = make(channels, depth, format=kind)
    assert same(decode.decode(encode.encode(wanted, wanted.pixels), "a"), wanted)


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_holds_every_sample_of_8_bits(channels):
    wanted = make(channels, format="webp")
    assert same(decode.decode(encode.encode(wanted, wanted.pixels), "a"), wanted)


def test_colours_under_transparent_pixels_survive():
    clear = make(4)
    clear = dataclasses.replace(clear, alpha=np.zeros_like(clear.alpha))
    for kind in ("png", "webp", "tiff"):
        assert same(decode.decode(encode.encode(clear, clear.pixels, kind), "a"), clear)


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
@pytest.mark.parametrize("depth", [8, 16])
def test_pixels_outside_the_mask_are_those_of_the_input(kind, depth):
    source = make(4, 8 if kind == "webp" else depth, format=kind)
    data = encode.encode(source, source.pixels)
    found = decode.decode(data, "a")
    mask = np.zeros((12, 16), np.uint8)
    mask[3:8, 2:9] = 255
    mask[8, 2:9] = 100
    result = tensor.blend(found.pixels, np.zeros((12, 16, 3), np.float32), mask)
    again = decode.decode(encode.encode(found, result), "a")
    assert np.array_equal(again.pixels[mask == 0], source.pixels[mask == 0]) and not again.pixels[mask == 255].any()
    assert same(dataclasses.replace(again, pixels=source.pixels), source)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_grey_picture_stays_grey_and_its_background_the_same(depth):
    source = make(1, depth)
    result = source.pixels.copy()
    result[:4] = result[:4] // 2 + np.array([9, 0, 0], result.dtype)  # a network knows colours only
    again = decode.decode(encode.encode(source, result), "a")
    assert again.grey and np.array_equal(again.pixels[4:], source.pixels[4:])
    assert np.abs(again.pixels[:4, :, 0].astype(float) - result[:4] @ [0.299, 0.587, 0.114]).max() <= 0.5001


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 4])
def test_the_same_picture_gives_the_same_bytes(kind, depth, channels):
    first, second = (make(channels, depth, **metadata(kind)) for _ in range(2))
    assert encode.encode(first, first.pixels) == encode.encode(second, second.pixels.copy())


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_profile_exif_and_dpi_survive(source, target, depth):
    wanted = make(3, depth, **metadata(source))
    middle = decode.decode(encode.encode(wanted, wanted.pixels), "a")
    found = decode.decode(encode.encode(middle, middle.pixels, target), "a")
    assert found.icc == wanted.icc and found.format == target
    exif = Image.Exif()
    exif.load(found.exif or b"")
    assert exif[271] == "Cam" and exif.get_ifd(34665)[37500] == b"maker note!!" and exif.get(274, 1) == 1
    assert "tiff" in (source, target) or found.exif == wanted.exif
    # WebP and AVIF have no place for the resolution but EXIF's, which did not have it.
    assert {"webp", "avif"} & {source, target} or found.dpi == pytest.approx((300, 150), abs=0.02)


def test_other_colour_chunks_of_a_png_survive():
    extra = [pictures.chunk(b"gAMA", struct.pack(">I", 45455)), pictures.chunk(b"cICP", b"\x0c\x0d\0\x01")]
    for depth in (8, 16):
        found = decode.decode(pictures.png(pictures.samples(3, depth), *extra), "a.png")
        data = encode.encode(found, found.pixels)
        assert all(data.index(chunk) < data.index(b"IDAT") for chunk in extra)
        assert extra[0] not in encode.encode(found, found.pixels, "tiff")


def test_a_profile_of_grey_is_not_put_on_colours():
    profile = pictures.SRGB[:16] + b"GRAY" + pictures.SRGB[20:]
    grey = make(1, icc=profile)
    assert decode.decode(encode.encode(grey, grey.pixels), "a").icc == profile
    assert decode.decode(encode.encode(grey, grey.pixels, "webp"), "a").icc is None


def test_jpeg_is_not_subsampled_and_drops_alpha():
    wanted = make(4)
    with Image.open(io.BytesIO(encode.encode(wanted, wanted.pixels, "jpeg"))) as found:
        assert isinstance(found, JpegImagePlugin.JpegImageFile) and found.mode == "RGB"
        assert [layer[1:3] for layer in found.layer] == [(1, 1)] * 3
    fine, coarse = (len(encode.encode(wanted, wanted.pixels, "jpeg", quality)) for quality in (95, 30))
    assert fine > coarse


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_sixteen_bits_are_rounded_to_eight_where_there_are_no_more(kind):
    deep = make(3, 16)
    flat = dataclasses.replace(deep, pixels=np.full((16, 16, 3), 257 * 100 + 128, np.uint16))
    assert (decode.decode(encode.encode(flat, flat.pixels, kind), "a").pixels == 100).all()
    brighter = flat.pixels + np.uint16(1)
    assert (decode.decode(encode.encode(flat, brighter, kind), "a").pixels == 101).all()


def test_exif_too_long_for_a_jpeg_is_left_out_there():
    long = make(exif=pictures.exif(1) + bytes(70000))
    assert decode.decode(encode.encode(long, long.pixels, "jpeg"), "a").exif is None
    assert decode.decode(encode.encode(long, long.pixels, "webp"), "a").exif == long.exif


def test_many_strips_are_written_in_order():
    tall = make(3, 16)
    tall = dataclasses.replace(tall, pixels=np.tile(tall.pixels, (30, 1, 1)))
    for kind in ("png", "tiff"):
        assert np.array_equal(decode.decode_image(encode.encode(tall, tall.pixels, kind), "a"), tall.pixels)


@pytest.mark.parametrize(
    "wanted, source, suffix",
    [("same", "tiff", ".tif"), ("same", "jpeg", ".jpg"), ("webp", "png", ".webp"), ("png", "jpeg", ".png")],
)
def test_suffix_follows_the_format(wanted, source, suffix):
    assert encode.suffix(wanted, source) == suffix


@pytest.mark.parametrize("pixels", [np.zeros((12, 15, 3), np.uint8), np.zeros((12, 16, 3), np.uint16)])
def test_pixels_of_another_size_or_depth_are_refused(pixels):
    with pytest.raises(errors.ShapeError, match=r"picture of \(12, 16, 3\) uint8"):
        encode.encode(make(), pixels)


def test_what_a_format_cannot_hold_is_refused():
    long = dataclasses.replace(make(), pixels=np.zeros((1, 16384, 3), np.uint8), alpha=None)
    with pytest.raises(errors.SizeError, match="webp holds no image of 16384 x 1"):
        encode.encode(long, long.pixels, "webp")
    with pytest.raises(ValueError, match="quality must be 1 to 100: 101"):
        encode.encode(make(), make().pixels, "jpeg", 101)
