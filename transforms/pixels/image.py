"""Images and masks as arrays: their types, and the one rule each for rounding, depth, brightness and thresholds."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8 | np.uint16]  # (H,W,3) RGB, the full range of its dtype
Plane = npt.NDArray[np.uint8 | np.uint16]  # (H,W), the full range of its dtype
Mask = npt.NDArray[np.uint8]  # (H,W) soft mask: 0 background, 255 foreground, the coverage of a pixel in between
Foreground = npt.NDArray[np.bool_]  # (H,W)
FloatPixels = npt.NDArray[np.float32]  # (H,W,3) in an image's own integer scale
PixelType = type[np.uint8] | type[np.uint16] | np.dtype[np.uint8 | np.uint16]

FOREGROUND_FROM = 128
"""A pixel whose soft mask has at least this value is foreground to the network."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""

_STEP = 257  # levels of 16 bits for each level of 8: 65535 / 255


def quantise(values: npt.NDArray[np.floating], dtype: PixelType) -> Pixels:
    """Round float values of any shape to `dtype` (uint8 or uint16): clamp to its range, halves go to the even value."""
    rounded: Pixels = np.rint(np.clip(values, 0, np.iinfo(dtype).max)).astype(dtype)
    return rounded


def mix(before: Pixels, after: Pixels, share: float) -> Pixels:
    """Return (H,W,3) pixels that have gone a share, 0 to 1, of the way from `before` to `after`, of the same dtype."""
    if share == 1:
        return after
    result = np.empty_like(before)
    for row in range(len(result)):  # row by row, because floats take four times the memory
        change = after[row].astype(np.float32) - before[row]
        result[row] = quantise(before[row] + np.float32(share) * change, before.dtype)
    return result


def to_8_bit(values: npt.NDArray[np.bool_ | np.uint8 | np.uint16]) -> npt.NDArray[np.uint8]:
    """Round uint16 values of any shape to the nearest of 8 bits, which is never a tie; others keep their values."""
    if values.dtype != np.uint16:
        return values.astype(np.uint8, copy=False)
    return ((values.astype(np.uint32) + _STEP // 2) // _STEP).astype(np.uint8)


def luma(pixels: Pixels) -> Plane:
    """Return the (H,W) brightness of (H,W,3) pixels; where the three channels are equal it is their very value."""
    return quantise(pixels @ LUMA, pixels.dtype)


def soft_mask(values: npt.NDArray[np.bool_ | np.uint8 | np.uint16]) -> Mask:
    """Scale an (H,W) mask of bool, uint8 or uint16 to 0..255; where its largest value is 1, 1 becomes 255."""
    if values.max(initial=0) == 1:
        return values.astype(np.uint8) * np.uint8(255)
    return to_8_bit(values)


def threshold(mask: Mask | Foreground) -> Foreground:
    """Return which pixels of an (H,W) mask are foreground: those of 128 and more. A bool mask is returned as it is."""
    return mask.astype(np.bool_) if mask.dtype == np.bool_ else mask >= FOREGROUND_FROM


def blocks(inside: Foreground, size: int) -> Iterator[slice]:
    """Yield the pixels of a flat mask, (N,), some at a time, without those parts in which none is inside."""
    for start in range(0, len(inside), size):
        block = slice(start, start + size)
        if inside[block].any():
            yield block


def sample(inside: Foreground, count: int) -> slice:
    """Return every n-th of an image's pixels, in all columns alike, so that about `count` of those inside are there."""
    every = max(1, int(np.count_nonzero(inside)) // count)
    while math.gcd(every, inside.shape[1]) > 1:
        every -= 1
    return slice(None, None, every)
