"""Takes what is left of a paste's seam out of a harmonized object, where the seam can be read.

Where paste and mask cut through one material, the pixels on both sides of the edge should have the same colours. The
map of colours that makes them so, fitted to all places of the edge at once, mends the whole object. An object's natural
outline says nothing of the kind, so the map is used only as far as the edge looks like a cut: bright places inside lie
beside bright ones outside; the step is sharp, where a lens spreads an outline over some pixels; and at nearly all
places the map leaves no more of it than there is between pixels near by.
"""

import math

import numpy as np

from hdnet.model.seam import places
from hdnet.model.seam.places import EDGE
from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.image import FloatPixels
from hdnet.transforms.pixels.lab import Floats

SAMPLE = 4096
"""Places that are looked at, about, and pixels that the size of the change is measured at."""
ROUNDS, TOLERANCE = 10, 2.0
"""Rounds of the fit, and the levels of 255 below which a place's error counts in full."""
RIDGE = 0.05
"""How strongly the map is drawn towards changing nothing."""
MOST = 10.0
"""Levels of 255, the root mean square over the object: no change is larger."""
NOISE = 0.5
"""Levels of 255 that are added to steps before their ratio is taken."""
MENDED, ALIKE, SHARP, NEITHER = 17.8, 8.0, 3.4, 24.7
"""What counts for a cut: the share of mended places, the correlation of both sides, the logarithm of the sharpness; and
what counts against it (docs/lessons.md has the fit)."""
LEAST_ALIKE = 0.5
"""Where both sides are less alike it is no cut, such as around an object on a plain background."""
LEAST = 0.5
"""Where less of the map would be used, none is: an outline is as likely as a cut."""
BLOCK = 1 << 15


def correct(result: FloatPixels, composite: image.Pixels, mask: image.Mask) -> None:
    """Change a harmonized object's colours by the map that closes its seam, as far as the seam can be read.

    Args:
        result: (H,W,3) float32 in the composite's scale, the composite's own colours outside; written inside.
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8.
    """
    levels = np.float32(255 / np.iinfo(composite.dtype).max)
    across = places.across_soft(mask)
    across = across[:: max(1, len(across) // SAMPLE)]
    if len(across) < places.FEWEST:
        return
    before, after = (levels * pixels.reshape(-1, 3)[across] for pixels in (composite, result))
    weights = fit(after)
    share = legibility(before, after, weights)
    if share < LEAST:
        return
    inside, colours = image.threshold(mask).reshape(-1), result.reshape(-1, 3)
    few = image.sample(image.threshold(mask), SAMPLE)
    size = float(np.square(change(levels * colours[few][inside[few]], weights)).mean() ** 0.5)
    share *= MOST / max(size, MOST)
    _add(colours, inside, np.float32(share) * weights, np.float32(1) / levels)


def _add(colours: FloatPixels, inside: image.Foreground, weights: Floats, level: np.float32) -> None:
    """Add what a map adds to those of (N,3) colours that are inside, (N,); a level of 255 is `level` of theirs."""
    linear, constant = weights[1:] / np.float32(127.5), level * (weights[0] - weights[1:].sum(axis=0))
    for block in image.blocks(inside, BLOCK):
        colours[block] += inside[block, None] * (colours[block] @ linear + constant)


def fit(after: Floats) -> Floats:
    """Return the map that makes the pixels inside an edge most like those outside: least absolute errors, a ridge.

    Args:
        after: (N, 2 * REACH + 2, 3), colours of the result across the edge, in levels of 255.

    Returns:
        (4,3): what `change` adds, for each channel.
    """
    terms, wanted = _terms(after[:, EDGE]), (after[:, EDGE + 1] - after[:, EDGE]).astype(np.float64)
    ridge = RIDGE * np.diag([0.5, 1.0, 1.0, 1.0])
    trust = np.ones(len(terms))
    for _ in range(ROUNDS):
        weighted = (terms * trust[:, None]).T
        normal = weighted @ terms / len(terms) + trust.mean() * ridge
        weights: Floats = np.linalg.solve(normal, weighted @ wanted / len(terms))
        trust = 1 / (np.abs(wanted - terms @ weights).mean(axis=1) + TOLERANCE)
    return weights.astype(np.float32)


def change(colours: Floats, weights: Floats) -> Floats:
    """Return what a map adds to colours, (N,3) in levels of 255."""
    added: Floats = _terms(colours) @ weights
    return added


def legibility(before: Floats, after: Floats, weights: Floats) -> float:
    """Return how plainly an edge is a cut through one material, 0 to 1.

    Args:
        before: (N, 2 * REACH + 2, 3), colours of the composite across the edge, in levels of 255.
        after: Those of the result.
        weights: The map that closes the seam.
    """
    cut = np.median(_steps(before), axis=0) + NOISE
    sharpness = math.log(2 * cut[EDGE] / (cut[EDGE - 1] + cut[EDGE + 1]))
    alike = _alike(after)
    left = np.abs(after[:, EDGE + 1] - after[:, EDGE] - change(after[:, EDGE], weights)).mean(axis=1)
    around = _steps(after)[:, [0, 1, -2, -1]].mean(axis=1)
    mended = float(np.mean(left <= 2 * (around + 1)))
    evidence = MENDED * mended + ALIKE * alike + SHARP * sharpness - NEITHER
    return 1 / (1 + math.exp(-evidence)) if alike >= LEAST_ALIKE else 0.0


def _alike(after: Floats) -> float:
    """Return the correlation of the brightness inside and outside; 0 where a side is flat."""
    inner, outer = after[:, EDGE : EDGE + 2].mean(axis=2).T
    return float(np.corrcoef(inner, outer)[0, 1]) if min(inner.std(), outer.std()) >= 1 else 0.0


def _steps(across: Floats) -> Floats:  # (N, 2 * REACH + 1)
    steps: Floats = np.abs(np.diff(across, axis=1)).mean(axis=2)
    return steps


def _terms(colours: Floats) -> Floats:  # (N,3) -> (N,4)
    return np.concatenate((np.ones((len(colours), 1), np.float32), colours / np.float32(127.5) - 1), axis=1)
