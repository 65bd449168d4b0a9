"""Places where a mask's edge is crossed: a few pixels in a row or a column, from inside outwards."""

import numpy as np
import numpy.typing as npt

from hdnet.transforms.pixels import image

REACH = 3
"""Pixels on both sides of the two that the edge lies between."""
EDGE = REACH
"""The step over the edge, among the steps from each pixel to the next."""
FEWEST = 50
"""Places that an edge needs, to be read."""
LINES = 512
"""Rows, and columns, that are looked at, about."""
MOST = 1 << 16
"""Crossings that are looked at in each direction, about."""
INSIDE, OUTSIDE = 250, 5
"""From the first value on, a pixel beside a soft edge counts as the object's; up to the second, as the background's.
With a tenth of the object in it, a plain background would look like the object."""
WIDEST = 4
"""Pixels from an inner to an outer pixel across a soft edge, at most."""

Places = npt.NDArray[np.intp]  # (N, 2 * REACH + 2), indices of pixels

_AROUND = np.arange(-REACH, REACH + 2)
"""Pixels across the edge, outwards; 0 is the last inside."""


def across(mask: image.Mask) -> Places:
    """Return where rows and columns cross a mask's edge, hard there, and no other edge near by.

    Of a mask that is mostly soft there is no place.

    Args:
        mask: (H,W) uint8.
    """
    return _crossed(mask, 1, 255, 0)


def across_soft(mask: image.Mask) -> Places:
    """Return what `across` does, of a soft edge too: there every second pixel, or every n-th.

    A soft edge is the paste's own, and its pixels are mixed of both sides. The places pass over them, with the smallest
    step that does so at most of them. Where an edge fades to one side of its middle alone, they may not.

    Args:
        mask: (H,W) uint8.
    """
    found = across(mask)
    for stride in range(2, WIDEST + 1):
        if len(found) >= FEWEST:
            break
        found = _crossed(mask, stride, INSIDE, OUTSIDE)
    return found


def _crossed(mask: image.Mask, stride: int, least: int, most: int) -> Places:
    """Return the places whose inner pixel has no less than one value, and the outer one no more than another."""
    width = mask.shape[1]
    found = np.concatenate((_along(mask, width, 1, stride), _along(mask.T, 1, width, stride)))
    inner, outer = mask.reshape(-1)[found[:, EDGE : EDGE + 2]].T
    clear = (inner >= least) & (outer <= most)
    return found[clear] if 2 * np.count_nonzero(clear) >= len(found) else found[:0]


def _along(mask: image.Mask, line: int, pixel: int, stride: int) -> Places:
    """Return the places of the rows, where the next line and the next pixel are so many indices away."""
    every = max(1, len(mask) // LINES)
    lines = np.ascontiguousarray(mask[::every])
    inside = image.threshold(lines)
    rows, columns = np.nonzero(inside[:, 1:] != inside[:, :-1])
    few = slice(None, None, max(1, len(rows) // MOST))
    rows, columns = rows[few, None], columns[few, None]
    outwards = np.where(inside[rows, columns], 1, -1)
    middle = np.where(outwards > 0, columns, columns + 1)  # the last inside
    if stride % 2 == 0:  # a pixel lies in the middle: of the two at the edge the one that is mixed more
        mixed = np.minimum(lines, 255 - lines)
        middle = np.where(mixed[rows, middle] >= mixed[rows, middle + outwards], middle, middle + outwards)
    around = stride * _AROUND - stride // 2
    between = np.arange(around[0], around[-1] + 1)
    run = middle + outwards * between
    within = ((run >= 0) & (run < lines.shape[1])).all(axis=1)
    rows, run = rows[within], run[within]
    alone = ((inside[rows, run] == (between < 0)) | (between == 0)).all(axis=1)
    indices: Places = rows[alone] * (every * line) + run[alone][:, ::stride] * pixel
    return indices
