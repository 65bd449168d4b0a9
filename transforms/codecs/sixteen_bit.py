"""Colours of 16 bits a channel, of which Pillow alone would read 8 and write none.

Pillow unpacks a 16-bit colour channel to its high byte, in the byte order that it is told. Told the other order, it
returns the low byte. So each image is unpacked twice, and every compression, filter, predictor, interlacing and check
for truncation is the one that 8-bit images have.
"""

import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from hdnet.transforms.codecs.planes import Samples

BAND = 64
"""Rows that are filtered and compressed at a time: more would take memory and save next to nothing."""

LEVEL = 2
"""Level of deflate in TIFF files: a fifth of the time of zlib's default 6, for files a seventh larger."""
STRATEGY = zlib.Z_RLE
"""Deflate's strategy in PNG files: a filtered photo repeats nothing but runs, so that searching for more takes time. A
fifth of the time of level 6, for photos a hundredth larger; level 2 took a quarter more, for files an eighth larger."""


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


def _joined(high: npt.NDArray[np.uint8], low: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    joined = high.astype(np.uint16)
    joined <<= 8
    joined |= low
    return joined


def pack_png(samples: Samples) -> Iterator[bytes]:
    """Yield the content of IDAT chunks: (H,W,C) uint16 samples, each row filtered by Paeth's predictor, compressed.

    Paeth's is the best single filter for photos; trying all five costs more time than it saves bytes.
    """
    height, width, channels = samples.shape
    compressor = zlib.compressobj(strategy=STRATEGY)
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
