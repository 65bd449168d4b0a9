"""Masks for photos without composites: an object, a union of neighbouring segments, or a rough shape."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hdnet.model.training.composites.augment import Mask

Labels = npt.NDArray[np.uint8]
"""(H,W): 0 outside, 255 the object, 1 to 254 segments."""

OBJECT = 255
SHAPES = 0.08
"""Share of the masks that are shapes which follow nothing in the photo."""
MOST_SEGMENTS = 3
LARGEST = 0.7
"""Share of the photo that a mask may have."""
CORNERS = (6, 40)
GAP = 2
"""Pixels between segments that count as neighbours."""


def draw(labels: Labels, rng: np.random.Generator) -> Mask:
    """Draw a mask of a photo, (H,W) bool."""
    if rng.random() >= SHAPES:
        mask = natural(labels, rng)
        if 0 < np.count_nonzero(mask) <= LARGEST * mask.size:
            return mask
    return _shape(labels.shape[0], labels.shape[1], rng)


def natural(labels: Labels, rng: np.random.Generator) -> Mask:
    """Return the object, or else a union of segments, empty where there are none; (H,W) bool."""
    return labels == OBJECT if labels.max() == OBJECT else _union(labels, rng)


def _union(labels: Labels, rng: np.random.Generator) -> Mask:
    """Take one segment, and up to two that touch what was taken."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1
    if not len(present):
        return np.zeros(labels.shape, np.bool_)
    mask: Mask = labels == rng.choice(present)
    for _ in range(int(rng.integers(MOST_SEGMENTS))):
        beside = np.unique(labels[_around(mask) & ~mask])
        beside = beside[beside > 0]
        if not len(beside):
            break
        wider = mask | (labels == rng.choice(beside))
        if np.count_nonzero(wider) > LARGEST * mask.size:
            break
        mask = wider
    return mask


def _around(mask: Mask) -> Mask:
    """Grow a mask by `GAP` pixels up, down, left and right."""
    wide = mask.copy()
    wide[GAP:] |= mask[:-GAP]
    wide[:-GAP] |= mask[GAP:]
    wide[:, GAP:] |= mask[:, :-GAP]
    wide[:, :-GAP] |= mask[:, GAP:]
    return wide


def _shape(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Draw a star-shaped polygon with few or many corners, anywhere."""
    corners = int(rng.integers(*CORNERS))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    lobes = 1 + 0.3 * np.sin(rng.integers(1, 5) * angles + rng.uniform(0, 6)) + 0.1 * rng.normal(0, 1, corners)
    reach = rng.uniform(0.15, 0.45) * np.array([width, height]) * rng.uniform(0.7, 1.3, 2)
    centre = rng.uniform(0.25, 0.75, 2) * (width, height)
    points = centre + lobes[:, None].clip(0.2) * reach * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    picture = Image.new("1", (width, height))
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.array(picture)
