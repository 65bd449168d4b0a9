"""Masks that are a pixel or two off: where the paste's edge really lies, told by the colours across it.

A paste leaves a step of colours all along its edge. An object's natural outline, a texture or a shadow has large steps
too, but not everywhere. So the edge is where the step is large even at those places that have the smallest ones.
"""

import numpy as np

from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.lab import Floats

MOST = 3
"""Pixels that an edge is looked for on both sides of the mask's."""
SMALL = 0.2
"""Share of the places whose steps are no larger than what counts."""
RATIO = 2.0
"""How many times as large as at the mask's edge a step must be elsewhere."""
NOISE = 0.5
"""Levels of 255 that are added to both steps, for flat images have steps of rounding alone."""
FEWEST = 50
"""Places that are needed."""
LINES = 512
"""Rows, and columns, of an image that are looked at, about."""

_AROUND = np.arange(-MOST, MOST + 2)
"""Pixels across the edge, outwards; 0 is the last inside."""


def seen_mask(composite: image.Pixels, mask: image.Mask) -> image.Mask:
    """Return the mask that a network should see: the given one, moved to the paste's edge if that lies elsewhere.

    Args:
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8.

    Returns:
        `mask` itself, or a hard one, grown or shrunk by up to `MOST` pixels.
    """
    inside = image.threshold(mask)
    if not (offset := edge_offset(composite, inside)):
        return mask
    moved = [_moved(inside, offset, corners) for corners in (False, True)]
    best = max(moved, key=lambda region: float(_small_steps(composite, region)[MOST]))
    return image.soft_mask(best)


def edge_offset(composite: image.Pixels, inside: image.Foreground) -> int:
    """Return how many pixels outside the mask's edge the paste's lies, negative for inside; 0 where that is unclear.

    Args:
        composite: (H,W,3) uint8 or uint16.
        inside: (H,W) bool.
    """
    small = _small_steps(composite, inside)
    best = int(small.argmax())
    return best - MOST if small[best] >= RATIO * small[MOST] else 0


def _moved(inside: image.Foreground, offset: int, corners: bool) -> image.Foreground:
    """Grow a region by some pixels, or shrink it: by so many in all directions, or as a square brush does."""
    moved = inside if offset > 0 else ~inside
    for _ in range(abs(offset)):
        tall, grown = moved.copy(), moved.copy()
        tall[1:] |= moved[:-1]
        tall[:-1] |= moved[1:]
        beside = tall if corners else moved
        grown[:, 1:] |= beside[:, :-1]
        grown[:, :-1] |= beside[:, 1:]
        moved = grown | tall
    return moved if offset > 0 else ~moved


def _small_steps(composite: image.Pixels, inside: image.Foreground) -> Floats:  # (2 * MOST + 1,)
    """Return the step that is among the small ones, by its distance from the mask's edge, the noise added."""
    across = np.concatenate((_steps(composite, inside), _steps(composite.swapaxes(0, 1), inside.T)))
    if len(across) < FEWEST:
        return np.ones(2 * MOST + 1, np.float32)
    small: Floats = np.quantile(across, SMALL, axis=0) + NOISE * np.iinfo(composite.dtype).max / 255
    return small


def _steps(composite: image.Pixels, inside: image.Foreground) -> Floats:  # (N, 2 * MOST + 1)
    """Return the steps from pixel to pixel along rows, where these cross the mask's edge and no other near by."""
    lines = slice(None, None, max(1, len(inside) // LINES))
    composite, inside = composite[lines], np.ascontiguousarray(inside[lines])
    rows, columns = np.nonzero(inside[:, 1:] != inside[:, :-1])
    within = (columns >= MOST) & (columns + MOST + 1 < inside.shape[1])
    rows, columns = rows[within, None], columns[within, None]
    leaving = inside[rows, columns]
    places = np.where(leaving, columns + _AROUND, columns + 1 - _AROUND)
    alone = (inside[rows, places] == (_AROUND <= 0)).all(axis=1)
    values = composite[rows[alone], places[alone]].astype(np.float32)
    steps: Floats = np.abs(np.diff(values, axis=1)).mean(axis=2)
    return steps
