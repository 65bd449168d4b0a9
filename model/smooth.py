"""One smooth colour map for a whole object: what a network did pixel by pixel, without its noise and blotches."""

import numpy as np
import numpy.typing as npt

from hdnet.transforms.pixels import image, polynomial
from hdnet.transforms.pixels.image import FloatPixels
from hdnet.transforms.pixels.lab import Floats

SAMPLE = 1 << 16
"""Pixels that a map is fitted to, at most."""
FEWEST = 200
"""Pixels that a map needs: it has 33 numbers."""
BLOCK = 1 << 18
RIDGE = 1e-6


def smooth_change(result: FloatPixels, composite: image.Pixels, inside: image.Foreground, share: float) -> None:
    """Move an object's colours towards what one polynomial map of the composite's colours makes of them.

    The map is the least squares fit of the change over the object. Light and colour differ smoothly between two
    photos; what the map cannot follow is in part the network's noise.

    Args:
        result: (H,W,3) float32 in the composite's scale; written inside.
        composite: (H,W,3) uint8 or uint16.
        inside: (H,W) bool, the object.
        share: How far to go, 0 to 1.
    """
    index = np.flatnonzero(inside)
    if len(index) < FEWEST or not share:
        return
    top = np.float32(np.iinfo(composite.dtype).max)
    before, after = composite.reshape(-1, 3), result.reshape(-1, 3)
    weights = _fit(before, after, index[:: -(-len(index) // SAMPLE)], top)
    for start in range(0, len(index), BLOCK):
        block = index[start : start + BLOCK]
        mapped = top * (weights @ _terms(before[block], top)).T + before[block]
        after[block] += np.float32(share) * (np.clip(mapped, 0, top) - after[block])


def _fit(before: image.Pixels, after: FloatPixels, index: npt.NDArray[np.intp], top: np.float32) -> Floats:  # (3,11)
    terms = _terms(before[index], top).astype(np.float64)
    change = (after[index].astype(np.float64) - before[index]) / top
    normal = terms @ terms.T / len(index) + RIDGE * np.eye(len(terms))
    solved: Floats = np.linalg.solve(normal, terms @ change / len(index)).T.astype(np.float32)
    return solved


def _terms(pixels: image.Pixels, top: np.float32) -> Floats:  # (N,3) -> (11,N)
    return polynomial.terms(np.ascontiguousarray(pixels.T).astype(np.float32) / top)
