"""Soft edges: the pixels just outside the hard mask that the network saw."""

import numpy as np
import numpy.typing as npt

from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.image import FloatPixels

REACH = 64
"""How far, in pixels, a change is carried; soft parts farther out keep their colours."""

Places = npt.NDArray[np.intp]  # (N,2), row and column

_AROUND = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])


def carry_outward(result: FloatPixels, composite: image.Pixels, mask: image.Mask) -> None:
    """Give soft pixels outside the thresholded mask the colour change of the foreground next to them.

    A soft pixel holds coverage * foreground + (1 - coverage) * background. Its foreground changes like the
    foreground beside it, so the blend, which applies the coverage, needs that change there; without it
    the edge would keep a rim of the old colours. Ring by ring, each soft pixel takes the mean change of
    those neighbours that already have one, and is visited once.

    Args:
        result: (H,W,3) float32 in the composite's scale; written where 0 < mask < 128.
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8.
    """
    known = np.pad(image.threshold(mask), 1)  # a frame, so that every pixel has eight neighbours
    waiting = np.pad(mask > 0, 1) & ~known
    ring = np.argwhere(waiting & _grown(known))
    for _ in range(REACH):
        if not len(ring):
            return
        change = _mean_change(result, composite, known, ring)
        rows, columns = (ring - 1).T
        result[rows, columns] = composite[rows, columns] + change
        known[tuple(ring.T)] = True
        waiting[tuple(ring.T)] = False
        ring = _next_ring(ring, waiting)


def _grown(known: image.Foreground) -> image.Foreground:
    """Grow a region by one pixel in every direction."""
    tall = known.copy()
    tall[1:] |= known[:-1]
    tall[:-1] |= known[1:]
    grown = tall.copy()
    grown[:, 1:] |= tall[:, :-1]
    grown[:, :-1] |= tall[:, 1:]
    return grown


def _mean_change(result: FloatPixels, composite: image.Pixels, known: image.Foreground, ring: Places) -> FloatPixels:
    """Return the mean change of each place's known neighbours, (N,3); each place has one."""
    total, count = np.zeros((len(ring), 3), np.float32), np.zeros((len(ring), 1), np.float32)
    for step in _AROUND:
        inside = known[tuple((ring + step).T)]
        rows, columns = (ring[inside] + step - 1).T
        total[inside] += result[rows, columns] - composite[rows, columns]
        count[inside] += 1
    return total / count


def _next_ring(ring: Places, waiting: image.Foreground) -> Places:
    around = (ring[:, None] + _AROUND).reshape(-1, 2)
    around = around[waiting[tuple(around.T)]]
    flat = np.unique(around[:, 0] * waiting.shape[1] + around[:, 1])
    return np.stack(np.divmod(flat, waiting.shape[1]), axis=1)
