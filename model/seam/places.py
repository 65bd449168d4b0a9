"""Places where a mask's edge is crossed: a few pixels in a row or a column, from inside outwards."""

import numpy as np
import numpy.typing as npt

from hdnet.transforms.pixels import image

REACH = 3
"""Pixels on both sides of the two that the edge lies between."""
EDGE = REACH
"""The step over the edge, among the steps from each pixel to the next."""
LINES = 512
"""Rows, and columns, that are looked at, about."""
MOST = 1 << 16
"""Crossings that are looked at in each direction, about."""

Places = npt.NDArray[np.intp]  # (N, 2 * REACH + 2), indices of pixels

_AROUND = np.arange(-REACH, REACH + 2)
"""Pixels across the edge, outwards; 0 is the last inside."""


def across(mask: image.Mask) -> Places:
    """Return where rows and columns cross a mask's edge, hard there, and no other edge near by.

    A soft edge is the paste's own, and shows no step, for both sides are mixed: of a mask that is mostly soft there is
    no place.

    Args:
        mask: (H,W) uint8.
    """
    inside, width = image.threshold(mask), mask.shape[1]
    found = np.concatenate((_along(inside, width, 1), _along(inside.T, 1, width)))
    inner, outer = mask.reshape(-1)[found[:, EDGE : EDGE + 2]].T
    hard = (inner == 255) & (outer == 0)
    return found[hard] if 2 * np.count_nonzero(hard) >= len(found) else found[:0]


def _along(inside: image.Foreground, line: int, pixel: int) -> Places:
    """Return the places of the rows, where the next line and the next pixel are so many indices away."""
    every = max(1, len(inside) // LINES)
    lines = np.ascontiguousarray(inside[::every])
    rows, columns = np.nonzero(lines[:, 1:] != lines[:, :-1])
    few = slice(None, None, max(1, len(rows) // MOST))
    rows, columns = rows[few], columns[few]
    within = (columns >= REACH) & (columns + REACH + 1 < lines.shape[1])
    rows, columns = rows[within, None], columns[within, None]
    leaving = lines[rows, columns]
    run = np.where(leaving, columns + _AROUND, columns + 1 - _AROUND)
    alone = (lines[rows, run] == (_AROUND <= 0)).all(axis=1)
    indices: Places = rows[alone] * (every * line) + run[alone] * pixel
    return indices
