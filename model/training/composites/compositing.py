"""Pasting a recoloured object into its own photo so that no seam tells how it was recoloured.

Where paste and mask cut through one material, the true and the changed colours lie side by side, and a network that
is trained on such composites copies the difference in and looks at nothing else. Real pastes have soft edges, come
without a rim of their old surroundings, and have masks that are a little off.
"""

import io
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from hdnet.model.training.composites.augment import MIN_PIXELS, RGB, Mask
from hdnet.transforms.pixels import lab
from hdnet.transforms.pixels.lab import Floats

Edge = Literal["hard", "soft", "cut out"]
EDGES: dict[Edge, float] = {"hard": 0.2, "soft": 0.5, "cut out": 0.3}
"""How often a paste has each edge: sharp; fading over some pixels; fading, and its old surroundings gone."""
SOFTEST, ERODED, REFILLED = 2.0, 3.0, 6.0
"""Pixels: the largest deviation of a soft edge, how much of its border a cut-out can lose, how far around it the
old surroundings can be gone."""
MISPLACED = 3.0
"""Pixels by which the mask that the network sees can be off."""
FADE, MASK_BLUR = 1.5, 3.0
"""Pixels: the largest standard deviations of the blurs by which `blur_edge` fades a change and moves a mask."""


def draw_paste(real: RGB, mask: Floats, rng: np.random.Generator) -> tuple[RGB, Floats]:
    """Return what an object is pasted on, (H,W,3), and how opaque it is, (H,W) in [0, 1].

    Args:
        real: (H,W,3) uint8.
        mask: (H,W) in [0, 1], the object's own.
        rng: The only source of randomness.
    """
    edge = list(EDGES)[int(np.searchsorted(np.cumsum(list(EDGES.values()))[:-1], rng.random(), side="right"))]
    hard = mask >= 0.5
    if edge == "hard":
        return real, hard.astype(np.float32)
    deviation = rng.uniform(0.3, SOFTEST)
    if edge == "soft":
        return real, blurred(hard, deviation)
    inner = grown(hard, -rng.uniform(0, ERODED))
    if np.count_nonzero(inner) < MIN_PIXELS:
        return real, blurred(hard, deviation)
    return refilled(real, grown(hard, rng.uniform(1, REFILLED))), blurred(inner, deviation)


def refilled(real: RGB, hole: Mask) -> RGB:
    """Fill a hole with the background around it, mirrored at the hole's edge: nothing of the object is left there."""
    if hole.all():
        return real
    rows, columns = np.nonzero(hole)
    nearest = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)[:, rows, columns]
    height, width = hole.shape
    mirrored = 2 * nearest - np.stack((rows, columns))
    mirrored = np.clip(mirrored, 0, [[height - 1], [width - 1]])
    source = np.where(hole[tuple(mirrored)], nearest, mirrored)
    filled = real.copy()
    filled[rows, columns] = real[tuple(source)]
    return filled


def seen_mask(alpha: Floats, rng: np.random.Generator) -> Mask:
    """Return the mask that the network gets: the paste's own, in half of the cases grown, shrunk, smoothed or moved."""
    exact = alpha >= 0.5
    if rng.random() < 0.5:
        return exact
    amount = MISPLACED * rng.random()
    kind = rng.integers(3)
    if kind == 0:
        mask = grown(exact, amount if rng.random() < 0.5 else -amount)
    elif kind == 1:
        mask = blurred(exact, amount) > rng.uniform(0.2, 0.8)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        mask = _moved(exact, round(amount * np.sin(angle)), round(amount * np.cos(angle)))
    return mask if MIN_PIXELS <= np.count_nonzero(mask) < mask.size else exact


def paste(base: RGB, colours: RGB, alpha: Floats) -> RGB:
    """Blend colours over a base, (H,W,3) both, by an opacity (H,W); where that is 0 the base stays bit-identical."""
    changed = base + alpha[..., None] * (colours.astype(np.float32) - base)
    return np.rint(changed).astype(np.uint8)


def gain_field(image: RGB, rng: np.random.Generator) -> RGB:
    """Multiply light by a smooth field of 2 x 2 to 6 x 6 cells, up to a stop, more in level than in colour."""
    height, width, _ = image.shape
    cells = int(rng.integers(2, 7))
    stops = rng.uniform(0.2, 1.0) * (rng.uniform(-1, 1, (cells, cells, 1)) + 0.25 * rng.normal(0, 1, (cells, cells, 3)))
    fields = [
        np.asarray(Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC))
        for channel in np.moveaxis(stops.astype(np.float32), -1, 0)
    ]
    light = lab.LIGHT[image.dtype][image] * np.exp2(np.clip(np.stack(fields, axis=-1), -1, 1))
    return np.rint(lab.encode(light)).astype(np.uint8)


def recoded(image: RGB, quality: int, subsampling: int) -> RGB:
    """Write and read an image as JPEG; a subsampling of 0 is 4:4:4, of 2 is 4:2:0."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer))


def blur_edge(composite: RGB, real: RGB, mask: Mask, rng: np.random.Generator) -> tuple[RGB, Mask]:
    """Let the change fade towards the foreground's edge, and put the mask's up to some three pixels beside it.

    Real masks are like that. With exact ones alone a network learns to read the change of colour from the step at the
    mask's edge, and does nothing without it. Outside the mask both photos are the same, so about half the step stays.
    """
    faded = real + blurred(mask, rng.uniform(0, FADE))[..., None] * (composite.astype(np.float32) - real)
    moved = blurred(mask, rng.uniform(0, MASK_BLUR)) > rng.uniform(0.15, 0.85)
    usable = MIN_PIXELS <= np.count_nonzero(moved) < moved.size
    return np.rint(faded).astype(np.uint8), moved if usable else mask


def grown(mask: Mask, pixels: float) -> Mask:
    """Grow a mask by so many pixels, or shrink it where they are negative."""
    if pixels >= 0:
        return mask if pixels < 1 or not mask.any() else ndimage.distance_transform_edt(~mask) <= pixels
    return mask if pixels > -1 or mask.all() else ndimage.distance_transform_edt(mask) > -pixels


def blurred(mask: Mask, deviation: float) -> Floats:
    """Return a mask's Gaussian blur, (H,W) in [0, 1]."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(deviation))
    return np.asarray(picture, np.float32) / np.float32(255)


def _moved(mask: Mask, down: int, right: int) -> Mask:
    """Move a mask, the edge's pixels repeated."""
    height, width = mask.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    return mask[rows][:, np.clip(np.arange(width) - right, 0, width - 1)]
