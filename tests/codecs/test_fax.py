"""Faxes: sound ones of every kind are read, and damage that libtiff passes over is found."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode
from tests import pictures

RNG = np.random.default_rng(0)
DRAWN = np.hypot(*np.mgrid[-50:50, -60:61]) < 40
PICTURES = {
    "drawn": DRAWN,
    "noise": RNG.random((30, 77)) < 0.5,
    "white": np.ones((9, 30), np.bool_),
    "black": np.zeros((9, 30), np.bool_),
    "wide": RNG.random((5, 9000)) < 0.0005,
    "columns": np.arange(64)[None].repeat(9, axis=0) % 2 == 0,
}
ROWS = 278  # of a strip


def fax(picture: np.ndarray, kind: str, **tags: int) -> bytes:
    info = {int(name[1:]): value for name, value in tags.items()}
    return pictures.pillow(Image.fromarray(picture), "TIFF", compression=kind, tiffinfo=info)


@pytest.mark.parametrize("tags", [{}, {"t266": 2}, {"t278": 7}, {"t262": 0}], ids=str)
@pytest.mark.parametrize("kind", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("name", PICTURES)
def test_sound_faxes_are_read(name, kind, tags):
    found = decode.decode_image(fax(PICTURES[name], kind, **tags), "a")
    assert np.array_equal(found[..., 0] > 0, PICTURES[name])


@pytest.mark.parametrize("options", [1, 4, 5], ids=["two-dimensional", "marks at bytes", "both"])
@pytest.mark.parametrize("name", PICTURES)
def test_the_options_of_group_3_are_read(name, options):
    data = fax(PICTURES[name], "group3", t292=options)
    assert np.array_equal(decode.decode_image(data, "a")[..., 0] > 0, PICTURES[name])


@pytest.mark.parametrize(
    "code, kind, rows",
    [(b"\x80", 4, 1), (b"\xc0", 4, 2), (bytes(3000) + b"\x01\x98", 3, 1), (b"\x00\x19\x80\x01\x98", 3, 2)],
    ids=["no end mark", "no bit behind the rows", "a long mark", "marks within bytes"],
)
def test_marks_may_be_long_or_absent(code, kind, rows):
    found = decode.decode_image(pictures.fax(code, kind, rows=rows), "a")
    assert found.shape == (rows, 8, 3) and found.min() == 255


def refused(data: bytes, first: int, places: int) -> float:
    """Return the share of flipped bits with which a fax is refused or harmless."""
    true, found = decode.decode_image(data, "a"), 0
    flips = range(8 * first, 8 * (first + places), 8 * places // 100)
    for flip in flips:
        changed = bytearray(data)
        changed[flip // 8] ^= 0x80 >> flip % 8
        try:
            found += np.array_equal(decode.decode_image(bytes(changed), "a"), true)
        except errors.DecodeError:
            found += 1
    return found / len(flips)


@pytest.mark.parametrize("kind, share", [("group3", 1), ("tiff_ccitt", 0.98), ("group4", 0.75)])
def test_most_flipped_bits_are_found(kind, share):
    data = fax(DRAWN, kind)
    with Image.open(io.BytesIO(data)) as file:
        assert isinstance(file, TiffImagePlugin.TiffImageFile)
        first, places = file.tag_v2[273][0], file.tag_v2[279][0]
    assert refused(data, first, places) >= share


@pytest.mark.parametrize(
    "rows, words", [(99, "it goes on behind the last row"), (101, "row 100 holds bits that are no")]
)
def test_rows_too_many_or_too_few_are_damage(rows, words):
    data = fax(DRAWN, "group4")
    for tag in (257, ROWS):
        for kind in (3, 4):
            was, now = (struct.pack("<HHII", tag, kind, 1, number) for number in (100, rows))
            data = data.replace(was, now)
    with pytest.raises(
        errors.DecodeError, match=rf"m\.tif cannot be decoded as TIFF \(its fax code is damaged: {words}"
    ):
        decode.decode(data, "m.tif")
