"""One smooth colour map for a whole object: what a network did pixel by pixel, without its noise and blotches."""

import numpy as np

from hdnet.transforms.pixels import image, polynomial
from hdnet.transforms.pixels.image import FloatPixels
from hdnet.transforms.pixels.lab import Floats

SAMPLE = 1 << 16
"""Pixels that a map is fitted to, about."""
FEWEST = 200
"""Pixels that a map needs: it has 33 numbers."""
BLOCK = 1 << 14
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
    flat = inside.reshape(-1)
    if np.count_nonzero(flat) < FEWEST or not share:
        return
    top = np.float32(np.iinfo(composite.dtype).max)
    before, after = composite.reshape(-1, 3), result.reshape(-1, 3)
    few = image.sample(inside, SAMPLE)
    weights = _fit(before[few][flat[few]], after[few][flat[few]], top)
    for block in image.blocks(flat, BLOCK):
        mapped = before[block].T / top + weights @ _terms(before[block], top)
        change = top * np.clip(mapped, 0, 1).T - after[block]
        after[block] += np.float32(share) * flat[block, None] * change


def _fit(before: image.Pixels, after: FloatPixels, top: np.float32) -> Floats:  # (N,3), (N,3) -> (3,11)
    terms = _terms(before, top).astype(np.float64)
    change = (after.astype(np.float64) - before) / top
    normal = terms @ terms.T / len(before) + RIDGE * np.eye(len(terms))
    solved: Floats = np.linalg.solve(normal, terms @ change / len(before)).T.astype(np.float32)
    return solved


def _terms(pixels: image.Pixels, top: np.float32) -> Floats:  # (N,3) -> (11,N)
    return polynomial.terms(np.ascontiguousarray(pixels.T).astype(np.float32) / top)
