"""Masks that are a pixel or two off: the paste's edge is found by the colours across it.

A paste leaves a step of colours all along its edge. An object's natural outline, a texture or a shadow has large steps
too, but not everywhere. So the edge is where the step is large even at those places that have the smallest ones.
"""

import numpy as np

from hdnet.model.seam import places
from hdnet.model.seam.places import EDGE
from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.lab import Floats

SMALL = 0.2
"""Share of the places whose steps are no larger than what counts."""
RATIO = 2.0
"""How many times as large as at the mask's edge a step must be elsewhere."""
NOISE = 0.5
"""Levels of 255 that are added to both steps, for flat images have steps of rounding alone."""


def seen_mask(composite: image.Pixels, mask: image.Mask) -> image.Mask:
    """Return the mask that a network should see: the given one, moved to the paste's edge if that lies elsewhere.

    Args:
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8.

    Returns:
        `mask` itself, or a hard one, grown or shrunk by up to `places.REACH` pixels.
    """
    if not (offset := edge_offset(composite, mask)):
        return mask
    moved = (image.soft_mask(_moved(image.threshold(mask), offset, corners)) for corners in (False, True))
    # The given mask wins where nothing is left of the others.
    return max((mask, *moved), key=lambda one: float(_small_steps(composite, one)[EDGE]))


def edge_offset(composite: image.Pixels, mask: image.Mask) -> int:
    """Return how many pixels outside the mask's edge the paste's lies, negative for inside; 0 where that is unclear.

    Args:
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8.
    """
    small = _small_steps(composite, mask)
    if small[EDGE] >= RATIO * np.median(small):  # an edge is here, and the larger one is that of a frame
        return 0
    best = int(small.argmax())
    return best - EDGE if small[best] >= RATIO * small[EDGE] else 0


def _moved(inside: image.Foreground, offset: int, corners: bool) -> image.Foreground:
    """Grow a region by some pixels, or shrink it: as a diamond does, or as a square brush."""
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


def _small_steps(composite: image.Pixels, mask: image.Mask) -> Floats:  # (2 * REACH + 1,)
    """Return the step that is among the small ones, by its distance from the mask's edge; 0 for too few places."""
    across = composite.reshape(-1, 3)[places.across(mask)].astype(np.float32)
    if len(across) < places.FEWEST:
        return np.zeros(across.shape[1] - 1, np.float32)
    steps = np.abs(np.diff(across, axis=1)).mean(axis=2)
    small: Floats = np.quantile(steps, SMALL, axis=0) + NOISE * np.iinfo(composite.dtype).max / 255
    return small
