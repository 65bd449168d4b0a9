"""Colours of 16 bits a channel, of which Pillow alone would read 8 and write none.

Pillow unpacks a 16-bit colour channel to its high byte, in the byte order that it is told. Told the other order, it
returns the low byte. So each image is unpacked twice, and every compression, filter, predictor, interlacing and check
for truncation is the one that 8-bit images have.
"""

import io
import sys
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from hdnet.transforms.codecs.planes import Samples
from hdnet.transforms.pixels.image import Plane

BAND = 64
"""Rows that are filtered and compressed at a time: more would take memory and save next to nothing."""

LEVEL = 2
"""Level of deflate in all PNG and TIFF files: a fifth of the time of zlib's default 6, for files a seventh larger."""

_OTHER = {"L": "B", "B": "L"}
_NATIVE = "L" if sys.byteorder == "little" else "B"


def unpack_png(data: bytes, size: tuple[int, int], channels: int, interlaced: bool) -> Samples:
    """Inflate and unfilter a PNG's pixels of 16 bits.

    Args:
        data: What its IDAT chunks hold, joined.
        size: Width and height.
        channels: 2 grey and alpha, 3 RGB, 4 RGBA.
        interlaced: Whether its rows are in the order of Adam7.

    Returns:
        (H,W,channels) uint16.
    """
    if channels == 2:
        # The four bytes of a pixel fit one RGBA pixel of 8 bits.
        quads = np.asarray(Image.frombytes("RGBA", size, data, "zip", "RGBA", interlaced))
        return _joined(quads[..., 0::2], quads[..., 1::2])
    mode = "RGB" if channels == 3 else "RGBA"
    high, low = (
        np.asarray(Image.frombytes(mode, size, data, "zip", f"{mode};16{order}", interlaced)) for order in "BL"
    )
    return _joined(high, low)


def unpack_tiff(data: bytes) -> Samples:
    """Decode an RGB or RGBA TIFF of 16 bits, as Pillow reads its directory.

    Returns:
        (H,W,3) or (H,W,4) uint16; channels beyond RGB that are not alpha are left out.

    Raises:
        ValueError: Each channel is stored as a plane of its own, which cannot be told the other byte order.
    """
    return _joined(_tiff_half(data, swap=False), _tiff_half(data, swap=True))


def _joined(high: npt.NDArray[np.uint8], low: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    joined = high.astype(np.uint16)
    joined <<= 8
    joined |= low
    return joined


def _tiff_half(data: bytes, swap: bool) -> npt.NDArray[np.uint8]:
    encoded = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    tiles = []
    for tile in encoded.tile:
        raw, *rest = tile.args if isinstance(tile.args, tuple) else ("",)
        mode, depth, order = raw.partition(";16")
        if not depth or not order:
            raise ValueError("16-bit channels stored one after the other: save them interleaved")
        order = _NATIVE if order == "N" else order
        # Colours multiplied by alpha (mode RGBa) are divided by it later, at full depth.
        tiles.append(tile._replace(args=(f"{mode.upper()};16{_OTHER[order] if swap else order}", *rest)))
    encoded.tile = tiles
    return np.array(encoded)


def divide_by_alpha(colours: Plane, alpha: Plane) -> Plane:
    """Undo the multiplication of (H,W,3) uint16 colours by their (H,W) uint16 alpha; 0 where alpha is 0."""
    wide, divisor = colours.astype(np.uint32), np.maximum(alpha, 1).astype(np.uint32)[..., None]
    divided: Plane = np.minimum((wide * 65535 + divisor // 2) // divisor, 65535).astype(np.uint16)
    return divided


def pack_png(samples: Samples) -> Iterator[bytes]:
    """Yield the content of IDAT chunks: (H,W,C) uint16 samples, each row filtered by Paeth's predictor, compressed.

    Paeth's is the best single filter for photos; trying all five costs more time than it saves bytes.
    """
    height, width, channels = samples.shape
    compressor = zlib.compressobj(LEVEL)
    above = np.zeros((1, width * channels * 2), np.uint8)
    for top in range(0, height, BAND):
        rows = samples[top : top + BAND].astype(">u2").view(np.uint8).reshape(-1, width * channels * 2)
        filtered = np.full((len(rows), rows.shape[1] + 1), 4, np.uint8)
        filtered[:, 1:] = rows - _paeth(np.concatenate([above, rows]), channels * 2)
        above = rows[-1:]
        yield compressor.compress(filtered.tobytes())
    yield compressor.flush()


def _paeth(rows: npt.NDArray[np.uint8], step: int) -> npt.NDArray[np.uint8]:
    """Predict all rows but the first from their left, upper and upper left neighbours, `step` bytes away."""
    left, above, corner = np.zeros((3, len(rows) - 1, rows.shape[1]), np.int16)
    left[:, step:], above[:], corner[:, step:] = rows[1:, :-step], rows[:-1], rows[:-1, :-step]
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    best = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, best).astype(np.uint8)
