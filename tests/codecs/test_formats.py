"""The table of formats, and what is particular to AVIF, GIF, BMP and HEIC."""

import dataclasses
import io
import struct
import sys
import time

import numpy as np
import pytest
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.catalog import layouts
from hdnet.transforms.codecs import decode, encode, header, mask, table
from tests import hostile, pictures

RGB, RGBA = pictures.samples(3, 8), pictures.samples(4, 8)
SMOOTH = np.linspace(0, 255, 12 * 16 * 3).astype(np.uint8).reshape(12, 16, 3)


def by_pillow(data: bytes, mode: str = "RGB") -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert(mode))


def test_every_format_can_be_written_or_says_what_is_written_in_its_place():
    assert table.OUTPUT_FORMATS == ("same", "jpeg", "png", "webp", "tiff", "avif")
    for name in table.CODECS:
        assert table.written("same", name).writer
    assert [encode.suffix("same", name) for name in ("gif", "bmp", "heic")] == [".png", ".png", ".jpg"]
    assert encode.suffix("avif", "heic") == ".avif"
    with pytest.raises(ValueError, match="the format must be one of same, jpeg, .*: 'gif'"):
        table.written("gif", "png")


def test_no_two_formats_share_a_suffix_or_a_file():
    suffixes = [suffix for codec in table.CODECS.values() for suffix in codec.suffixes]
    assert len(suffixes) == len(table.SUFFIXES) and all(suffix.startswith(".") for suffix in suffixes)
    for data in hostile.FILES.values():
        assert sum(codec.sniff(data[:64]) for codec in table.CODECS.values()) == 1


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_a_folder_listing_finds_every_format(tmp_path, kind):
    for folder in ("composites", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"a{table.CODECS[kind].suffixes[-1]}").write_bytes(b"")
    assert [pair.id for pair in layouts.read_folder(tmp_path)] == ["a"]


@pytest.mark.parametrize("kind", ["gif", "gif-transparent", "bmp", "bmp-alpha", "bmp-palette", "bmp-runs"])
def test_gif_and_bmp_are_read_exactly_and_written_as_png(kind):
    data = hostile.FILES[kind]
    found = decode.decode(data, kind)
    assert np.array_equal(found.pixels, by_pillow(data))
    assert (found.alpha is not None) == (kind in ("gif-transparent", "bmp-alpha"))
    assert found.alpha is None or np.array_equal(found.alpha, by_pillow(data, "RGBA")[..., 3])
    written = encode.encode(found, found.pixels)
    again = decode.decode(written, "again")
    assert written[:4] == b"\x89PNG" and np.array_equal(again.pixels, found.pixels)


def test_a_gif_s_transparent_colour_is_a_mask():
    assert mask.decode_mask(hostile.FILES["gif-transparent"], "m").dtype == np.uint8
    drawn = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    assert mask.decode_mask(pictures.pillow(drawn, "GIF", transparency=0), "m").tolist() == [[0, 255]]


def test_a_frame_beyond_a_gif_s_screen_makes_it_larger():
    data = bytearray(hostile.FILES["gif"])
    data[6:10] = struct.pack("<HH", 9, 3)
    found = header.read(bytes(data), "a")
    assert (found.width, found.height) == (16, 12)
    assert np.array_equal(decode.decode_image(bytes(data), "a"), by_pillow(hostile.FILES["gif"]))


def test_a_gif_without_a_frame_is_an_error():
    screen = hostile.FILES["gif"][: 13 + 3 * 16]
    with pytest.raises(errors.DecodeError, match="a has a broken gif header .*no frame, but 0x3b"):
        decode.decode(screen + b";", "a")
    with pytest.raises(errors.DecodeError, match="more than 200000 extensions"):
        decode.decode(screen + b"!\xfe\0" * 200_001, "a")


def test_the_dots_per_inch_of_a_bmp_are_kept():
    found = decode.decode(pictures.pillow(RGB, "BMP", dpi=(300, 150)), "a")
    assert found.dpi == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_as_its_container_says(orientation):
    data = pictures.pillow(SMOOTH, "AVIF", quality=100, subsampling="4:4:4", exif=pictures.exif(orientation))
    plain = pictures.pillow(SMOOTH, "AVIF", quality=100, subsampling="4:4:4")
    found = decode.decode(data, "a")
    assert header.read(data, "a").orientation == orientation
    assert np.array_equal(found.pixels, pictures.upright(by_pillow(plain), orientation))
    assert found.exif is not None and b"Cam" in found.exif


def test_avif_is_written_with_full_chroma_the_same_each_time():
    found = decode.decode(pictures.png(RGBA, pictures.chunk(b"eXIf", pictures.exif(1))), "a")
    data = encode.encode(found, found.pixels, "avif")
    assert data == encode.encode(found, found.pixels.copy(), "avif")
    again = decode.decode(data, "a")
    assert again.exif == pictures.exif(1) and again.alpha is not None
    assert np.abs(again.pixels.astype(int) - found.pixels).mean() < 4  # noise: 4:2:0 would be off by 40
    assert len(encode.encode(found, found.pixels, "avif", 30)) < len(data)


def test_grey_avif_stays_grey():
    wanted = decode.decode(pictures.png(SMOOTH[..., :1]), "a")
    again = decode.decode(encode.encode(wanted, wanted.pixels, "avif", 100), "a")
    assert again.grey and np.abs(again.pixels.astype(int) - wanted.pixels).max() <= 2


def test_the_first_bytes_of_an_avif_are_enough():
    data = pictures.pillow(np.tile(RGB, (20, 20, 1)), "AVIF", quality=100)
    assert header.read(data[:500], "a") == header.read(data, "a")


def test_exif_of_any_size_does_not_reach_pillow():
    # 1,000 tags that each claim all of the block: 12 MB in memory; 65,000 would be 60 GB.
    tags = b"".join(struct.pack("<HHII", tag, 7, 12_000, 8) for tag in range(1000, 2000))
    block = b"II*\0" + struct.pack("<IH", 8, 1000) + tags + bytes(4)
    plain = decode.decode(pictures.png(RGB), "a")
    data = encode.encode(dataclasses.replace(plain, exif=block), plain.pixels, "avif")
    assert block in data and decode.decode(data, "a").exif is None


def test_an_avif_of_endless_extents_takes_no_time():
    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s4x", 12 + len(content), kind) + content

    item = box(b"infe", struct.pack(">HH4s", 1, 0, b"Exif")).replace(bytes(4), b"\2\0\0\0", 1)
    places = struct.pack(">HH", 0, 50_000) + struct.pack(">HHH", 1, 0, 65_535) * 50_000
    meta = box(b"meta", box(b"iinf", struct.pack(">H", 1) + item) + box(b"iloc", places))
    start = time.process_time()
    assert table.CODECS["avif"].exif(io.BytesIO(meta)) == b""
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "primaries, transfer, message",
    [(9, 16, "a is an HDR image .PQ."), (9, 18, "HLG"), (12, 13, "a has colour primaries 12 and transfer 13")],
)
def test_colours_that_would_be_lost_are_refused(primaries, transfer, message):
    data = pictures.pillow(RGB, "AVIF")
    at = data.index(b"nclx") + 4
    other = data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
    with pytest.raises(errors.DecodeError, match=message):
        header.read(other, "a")
    nclx = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 1}
    with pytest.raises(errors.DecodeError, match=message):
        header.read(pictures.heic(RGB, **nclx), "a")


def test_what_a_broken_avif_lacks_is_said():
    data = pictures.pillow(RGB, "AVIF")
    for part, message in ((b"meta", "no box that describes"), (b"ispe", "no size or no kind"), (b"pitm", "numbers")):
        with pytest.raises(errors.DecodeError, match=f"a has a broken avif header .*{message}"):
            header.read(data.replace(part, b"none"), "a")


def test_heic_is_read_upright_and_written_as_jpeg():
    found = decode.decode(pictures.heic(SMOOTH, quality=100, exif=b"Exif\0\0" + pictures.exif(6)), "a")
    assert np.abs(found.pixels.astype(int) - np.rot90(SMOOTH, -1)).mean() < 12
    assert found.exif == pictures.exif(1)
    assert encode.encode(found, found.pixels)[:3] == b"\xff\xd8\xff"


def test_ten_bits_of_a_heic_fill_sixteen():
    white = np.full((16, 16, 3), 65535, np.uint16)
    found = decode.decode(pictures.heic(white, quality=100), "a")
    assert found.pixels.dtype == np.uint16 and found.pixels.min() >= 65535 - 128 and found.pixels.max() == 65535


def test_a_library_for_heic_that_cannot_be_imported_costs_no_more_than_heic(monkeypatch, tmp_path, caplog):
    (tmp_path / "pillow_heif.py").write_text("raise RuntimeError('built for another version of NumPy')")
    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        with pytest.raises(errors.DecodeError, match=r"^a\.heic is HEIC, .*cannot be imported.*of NumPy"):
            header.read(hostile.FILES["heic"], "a.heic")
    (warning,) = caplog.messages
    assert warning.startswith("pillow-heif is installed but cannot be imported (RuntimeError('built for another ver")


def test_without_its_library_heic_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(errors.DecodeError, match=r"^a\.heic is HEIC.*pip install 'hdnet-pipeline\[heic\]'"):
        header.read(hostile.FILES["heic"], "a.heic")
