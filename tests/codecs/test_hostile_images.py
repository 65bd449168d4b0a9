"""Broken and hostile bytes: an expected error or an image of the declared size, and nothing else."""

import concurrent.futures
import io

import numpy as np
import pytest
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, encode, mask
from tests import hostile, pictures
from tests.hostile import FILES, RGB


@pytest.fixture(scope="module")
def network():
    return hostile.tiny_network()


def try_all(data: bytes) -> bool:
    """Read and write once; True where the bytes were still an image."""
    try:
        found = decode.decode(data, "hostile", max_pixels=10_000)
        mask.decode_mask(data, "hostile", max_pixels=10_000)
    except errors.HarmonizeError as error:
        assert str(error).startswith("hostile ") and len(str(error)) < 500
        return False
    assert found.pixels.size <= 30_000
    for wanted in ("same", "tiff"):
        encode.encode(found, found.pixels, wanted)
    return True


@pytest.mark.parametrize("kind", FILES)
def test_the_corpus_is_sound(kind):
    found = decode.decode(FILES[kind], kind)
    assert found.pixels.shape in ((12, 16, 3), (16, 12, 3))


@pytest.mark.parametrize("kind", FILES)
def test_truncated_is_an_error(kind):
    data = FILES[kind]
    for percent in range(0, 100, 5):
        with pytest.raises(errors.DecodeError, match="^cut "):
            decode.decode(data[: len(data) * percent // 100], "cut")


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bits_are_an_error_or_an_image(kind):
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(FILES[kind])
        for place in rng.integers(0, 8 * len(data), rng.integers(1, 4)):
            data[place // 8] ^= 1 << place % 8
        try_all(bytes(data))


@pytest.mark.parametrize("kind", FILES)
def test_overwritten_stretches_are_an_error_or_an_image(kind):
    rng = np.random.default_rng(1)
    for _ in range(40):
        data = bytearray(FILES[kind])
        start, fill = int(rng.integers(0, len(data))), [b"\0", b"\xff", rng.bytes(1)][rng.integers(3)]
        data[start : start + 8] = fill * 8
        try_all(bytes(data))


@pytest.mark.parametrize("name", hostile.SPECIAL)
@pytest.mark.parametrize("as_mask", [False, True])
def test_what_asks_for_much_is_an_error_or_an_image_at_bounded_cost(network, name, as_mask):
    outcome = hostile.attempt(hostile.SPECIAL[name], network, 1_000_000, as_mask=as_mask)
    assert outcome.seconds < 10 and outcome.excess < 1e9


def test_two_hundred_mutated_files_are_errors_or_images_at_bounded_cost(network):
    outcomes = [hostile.attempt(hostile.mutated(number), network, 1_000_000) for number in range(200)]
    assert max(outcome.seconds for outcome in outcomes) < 10
    assert max(outcome.excess for outcome in outcomes) < 1e9
    assert {"image", "DecodeError", "SizeError"} <= {outcome.kind for outcome in outcomes}


@pytest.mark.parametrize("name", ["empty", "one byte", "HTML", "JSON", "SVG"])
def test_what_is_no_image_is_an_error_whatever_it_is_called(name):
    with pytest.raises(errors.DecodeError, match="^7.jpg is (empty|not a JPEG)"):
        decode.decode(hostile.SPECIAL[name], "7.jpg")


@pytest.mark.parametrize("kind", FILES)
def test_a_wrong_extension_means_nothing(kind):
    assert decode.decode(FILES[kind], "a.gif").format == kind.partition("-")[0]


@pytest.mark.parametrize("kind", hostile.ANIMATIONS)
def test_the_first_frame_of_an_animation_is_the_image(kind):
    found = decode.decode_image(hostile.ANIMATIONS[kind], "a")
    assert found.shape == (12, 16, 3)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() < 3


@pytest.mark.parametrize("kind", hostile.KINDS)
@pytest.mark.parametrize("size", [(16000, 16000), (16383, 1), (1, 16383), (3000, 300)])
def test_a_size_that_is_not_the_pixels_is_an_error_or_an_image(network, kind, size):
    outcome = hostile.attempt(hostile.bomb(kind, *size), network, 1_000_000)
    assert outcome.seconds < 10 and outcome.excess < 1e9


def test_a_tag_outside_its_block_costs_that_tag_alone():
    block = bytearray(pictures.exif(6))
    block[10 + 2 * 12 : 10 + 2 * 12] = b"\x1a\x01\x05\x00\x01\x00\x00\x00\xff\xff\xff\x00"  # XResolution, far away
    block[8] += 1
    found = decode.decode(pictures.png(RGB, pictures.chunk(b"eXIf", bytes(block))), "a.png")
    assert found.pixels.shape == (16, 12, 3) and found.dpi is None and found.exif is not None
    assert b"Cam" in encode.encode(found, found.pixels, "tiff")


def test_a_png_whose_pixels_were_damaged_is_an_error():
    for data in (FILES["png"], FILES["png-16"]):
        at = data.index(b"IDAT") + 40
        broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(errors.DecodeError, match="IDAT.*damaged"):
            decode.decode(broken, "a.png")


def test_a_jpeg_of_endless_scans_is_an_error():
    with pytest.raises(errors.DecodeError, match="more than 100 scans"):
        decode.decode(FILES["jpeg-progressive"][:-2] + b"\xff\xda\0\x02" * 300, "a.jpg")


def test_a_jpeg_of_fewer_bytes_than_its_pixels_take_is_an_error():
    with pytest.raises(errors.DecodeError, match=r"bytes do not hold 64000000 pixels"):
        decode.decode(hostile.bomb("jpeg", 8000, 8000), "a.jpg")
    for mode in ("L", "RGB"):
        flat = pictures.pillow(Image.new(mode, (2000, 2000)), "JPEG", progressive=True, optimize=True, quality=10)
        assert decode.decode(flat, "a.jpg").pixels.shape == (2000, 2000, 3)


def test_a_jpeg_of_endless_segments_is_an_error():
    with pytest.raises(errors.DecodeError, match="more than 200000 segments"):
        decode.decode(b"\xff\xd8" + b"\xff\xe0\0\x02" * 200_001, "a.jpg")


WHITE = b"\x80"  # a row of a fax in Group 4, and zeros
MANY = 2_000_000


@pytest.mark.parametrize(
    "data, words",
    [(pictures.fax(WHITE + bytes(MANY), 4), "strip byte count"),  # libtiff's words
     (pictures.fax(WHITE + b"\xff" * MANY + bytes(MANY), 4), "strip byte count"),
     (pictures.fax(WHITE + b"\xff" * MANY + b"\x00\x10\x01" + bytes(MANY), 4), "it goes on behind the last row"),
     (pictures.fax(bytes(MANY), 3), "row 0 is cut off"),
     (pictures.fax(bytes(MANY), 3, strips=10_000), "strips or tiles of pixels that overlap")],
    ids=["zeros behind the row", "ones and zeros behind it", "the end mark far behind it", "zeros alone",
         "strips that overlap"],
)  # fmt: skip
def test_a_long_fax_is_refused_in_time_that_grows_with_its_length(data, words):
    with pytest.raises(errors.DecodeError, match=f"^a cannot be decoded as TIFF .*{words}"):
        decode.decode(data, "a")


@pytest.mark.filterwarnings("ignore:Metadata Warning, tag 266")
def test_the_values_of_a_tag_are_not_read_for_each_strip():
    found = decode.decode_image(pictures.fax(WHITE, 4, strips=5000, orders=500_000), "a")
    assert found.shape == (5000, 8, 3)


def test_exif_that_is_cut_off_in_a_webp_is_absent():
    data = pictures.pillow(RGB, "WEBP") + b"EXIF\xff\xff\0\0II*\0"
    assert decode.decode(data, "a.webp").exif is None


def test_threads_do_not_disturb_each_other():
    kinds = list(FILES) * 8
    expected = {kind: decode.decode_image(FILES[kind], kind) for kind in FILES}
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for kind, found in zip(
            kinds, threads.map(lambda kind: decode.decode_image(FILES[kind], kind), kinds), strict=True
        ):
            assert np.array_equal(found, expected[kind])


def test_pillow_s_own_limits_are_left_alone():
    before = Image.MAX_IMAGE_PIXELS
    decode.decode(FILES["png"], "a", max_pixels=10**9)
    assert before == Image.MAX_IMAGE_PIXELS
    with Image.open(io.BytesIO(FILES["png"])) as opened:
        opened.load()
