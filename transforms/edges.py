"""Soft edges: what a network that saw a hard mask leaves for the pixels just outside it."""

import numpy as np
import numpy.typing as npt

from transforms import image
from transforms.tensor import FloatPixels

REACH = 64
"""How far, in pixels, a change is carried; softer parts farther out keep their colours."""


def carry_outward(result: FloatPixels, composite: image.Pixels, mask: image.Mask) -> None:
    """Give soft pixels outside the thresholded mask the colour change of the foreground next to them.

    A soft pixel holds share * foreground + (1 - share) * background. Its foreground changes like the
    foreground beside it, so the blend, which applies the share, needs that change there; without it
    the edge would keep a rim of the old colours. Ring by ring, each soft pixel takes the mean change of
    its neighbours that already have one. The cost grows with the soft pixels, not with the image.

    Args:
        result: (H,W,3) float32 in the composite's scale; written where 0 < mask < 128.
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8.
    """
    known = image.threshold(mask)
    waiting = np.argwhere((mask > 0) & ~known)
    for _ in range(REACH):
        change, count = _neighbours_change(result, composite, known, waiting)
        reached = count > 0
        if not reached.any():
            return
        rows, columns = waiting[reached].T
        result[rows, columns] = composite[rows, columns] + change[reached] / count[reached, None]
        known[rows, columns] = True
        waiting = waiting[~reached]


def _neighbours_change(
    result: FloatPixels, composite: image.Pixels, known: image.Foreground, places: npt.NDArray[np.intp]
) -> tuple[FloatPixels, npt.NDArray[np.intp]]:
    """Return the sum of the known neighbours' changes, (N,3), and how many they are, (N,)."""
    total, count = np.zeros((len(places), 3), np.float32), np.zeros(len(places), np.intp)
    for step in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
        rows, columns = (places + step).T
        inside = (rows >= 0) & (rows < known.shape[0]) & (columns >= 0) & (columns < known.shape[1])
        inside[inside] = known[rows[inside], columns[inside]]
        rows, columns = rows[inside], columns[inside]
        total[inside] += result[rows, columns] - composite[rows, columns]
        count += inside
    return total, count
