"""Headers: size, depth and format, without a pixel."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, header, mask
from tests import hostile, pictures
from tests.hostile import KINDS, bomb


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"heic"}))
def test_a_bomb_is_refused_at_once(kind):
    start = time.process_time()
    for read in (decode.decode, decode.decode_image, mask.decode_mask):
        with pytest.raises(errors.SizeError, match=r"^bomb claims 60000 x 60000 = 3600000000 pixels"):
            read(bomb(kind, 60000, 60000), "bomb")
    assert time.process_time() - start < 2  # pixels would be minutes


def test_an_heic_that_shows_little_of_a_large_image_is_refused_at_once():
    with pytest.raises(errors.DecodeError, match="an image of 60000 x 60000 is stored, far larger"):
        header.read(bomb("heic", 60000, 60000), "bomb")


def test_pillow_s_limit_for_gif_is_an_error_of_size():
    data = bytearray(hostile.FILES["gif"])
    at = data.index(b",\0\0\0\0") + 5
    data[at : at + 4] = struct.pack("<HH", 14000, 14000)
    with pytest.raises(errors.SizeError, match="larger than Pillow reads a gif"):
        decode.decode(bytes(data), "a", max_pixels=10**9)


# A JPEG whose scan ends early is filled up with grey, a GIF's frame may be smaller than its screen, AVIF is enlarged.
@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "bmp", "heic"])
def test_a_claim_within_the_limit_is_still_no_image(kind):
    with pytest.raises(errors.HarmonizeError):
        decode.decode(bomb(kind, 300, 300), "a")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_first_bytes_are_enough(kind):
    data = pictures.pillow(pictures.samples(3, 8).repeat(20, axis=0), kind, quality=90)
    found = header.read(data[: 3 * len(data) // 4], "a")
    assert (found.width, found.height, found.bits, found.channels) == (16, 240, 8, 3)
    assert found.format == kind.lower() and found.lossy == (kind != "PNG")


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_size_is_of_the_upright_image(kind, orientation):
    if kind == "tiff":
        data = pictures.tiff(pictures.samples(3, 8), t274=orientation)
    else:
        exif = pictures.exif(orientation)
        data = pictures.pillow(pictures.samples(3, 8), kind.upper(), exif=b"Exif\0\0" + exif)
    found = header.read(io.BytesIO(data), "a")
    assert (found.width, found.height) == ((12, 16) if orientation == 6 else (16, 12))
    assert found.orientation == orientation and decode.decode_image(data, "a").shape == (found.height, found.width, 3)


@pytest.mark.parametrize("depth, channels", [(8, 1), (8, 4), (16, 2), (16, 3)])
def test_depth_and_channels(depth, channels):
    pixels = pictures.samples(channels, depth)
    for data in (pictures.png(pixels), pictures.tiff(pixels, ">")):
        found = header.read(data, "a")
        assert (found.bits, found.channels, found.pixels) == (depth, channels, 192)
        picture = decode.decode(data, "a")
        assert (picture.pixels.itemsize * 8, picture.pixels.size) == (found.bits, 3 * found.pixels)
        assert (picture.grey, picture.alpha is not None) == (found.channels < 3, found.channels in (2, 4))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("options", [{}, {"icc_profile": pictures.SRGB}])
def test_webp_of_each_layout(lossless, alpha, options):
    data = pictures.pillow(pictures.samples(4 if alpha else 3, 8), "WEBP", lossless=lossless, **options)
    found = header.read(data, "a")
    assert (found.width, found.height, found.channels, found.lossy) == (16, 12, 3 + alpha, not lossless)


def test_bigtiff_is_read():
    pixels = pictures.samples(3, 8)
    data = pictures.pillow(pixels, "TIFF", big_tiff=True)
    assert data[2] == 43 and header.read(data, "a").width == 16
    assert np.array_equal(decode.decode_image(data, "a"), pixels)


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0+"])
def test_a_header_that_ends_at_once_is_broken(data):
    with pytest.raises(errors.DecodeError, match="^a has a broken (jpeg|png|webp|tiff) header"):
        header.read(data, "a")


def test_a_directory_that_claims_more_than_the_file_is_not_followed():
    # 5,000 tags that all claim the same 60 kB would be 300 MB in memory.
    entry = b"".join(struct.pack("<HHII", tag, 7, 60000, 8) for tag in range(1000, 6000))
    hostile = b"II*\0" + struct.pack("<IH", 8, 5000) + entry
    with pytest.raises(errors.DecodeError, match="claims 300000000 bytes"):
        header.read(hostile, "a.tif")
    jpeg = pictures.pillow(Image.new("L", (8, 8)), "JPEG", exif=b"Exif\0\0" + hostile[:60000])
    assert decode.decode(jpeg, "a.jpg").exif is None
