"""Recolour foregrounds on the fly, and flip and crop: fresh composites for every epoch of a training.

A composite is the real image with its foreground recoloured; the background stays bit-identical. All work is
done on the foreground's pixels alone, gathered once as (3,N), and all randomness comes from the caller's
generator: the same generator state gives the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hdnet.model.training.composites import colours, illumination
from hdnet.model.training.composites.illumination import IlluminationMaps
from hdnet.transforms.pixels import lab

RGB = npt.NDArray[np.uint8]
"""(H,W,3), sRGB."""
Mask = npt.NDArray[np.bool_]
"""(H,W), true on the foreground."""

METHOD_WEIGHTS: Mapping[str, float] = MappingProxyType({"maps": 0.45, "lab": 0.20, "histogram": 0.10, "mix": 0.25})
"""How often each method is drawn: measured illumination changes are the most realistic, so they lead; donor
statistics add changes no single light explains; the parametric mix covers what camera settings do."""
FMSE_RANGE = (80.0, 5000.0)
"""Accepted foreground MSE, 0..255 scale: weaker changes cannot be seen, stronger ones leave nothing to restore."""
MIN_PIXELS = 10
MAX_TRIES = 10
CROP_AREA, CROP_ASPECT = (0.5, 1.0), (3 / 4, 4 / 3)


class Recolor:
    """Make composites: draw a method, recolour the foreground, keep it if the change has a useful size.

    Args:
        maps: Illumination maps; without them their weight goes to the other methods, in proportion.
        weights: Method to weight; a method that is not named is never drawn.

    Raises:
        ValueError: A method is unknown, or no usable method has a positive weight.
    """

    def __init__(self, maps: IlluminationMaps | None = None, weights: Mapping[str, float] = METHOD_WEIGHTS) -> None:
        usable = {name: weight for name, weight in weights.items() if maps is not None or name != "maps"}
        if set(weights) - set(METHOD_WEIGHTS) or min(usable.values(), default=0) < 0 or sum(usable.values()) <= 0:
            raise ValueError(f"weights must name methods of {sorted(METHOD_WEIGHTS)} with a positive sum: {weights}")
        self._maps = maps
        self._methods = tuple(usable)
        self._edges = np.cumsum(list(usable.values())) / sum(usable.values())

    def __call__(self, real: RGB, mask: Mask, other: RGB, other_mask: Mask, rng: np.random.Generator) -> RGB:
        """Return `real` with its foreground recoloured, (H,W,3) uint8.

        Args:
            real: (H,W,3) uint8, never written to.
            mask: (H,W) bool. Below `MIN_PIXELS` true pixels, `real` itself is returned.
            other: The donor of colour statistics, (H',W',3) uint8.
            other_mask: (H',W') bool; below `MIN_PIXELS` true pixels, donor methods are passed over.
            rng: The only source of randomness.
        """
        index = np.flatnonzero(mask)
        if index.size < MIN_PIXELS:
            return real
        pixels = _pixels(real, index)
        composite = real.copy()
        composite.reshape(-1, 3)[index] = self._recoloured(pixels, other, other_mask, rng).T
        return composite

    def _recoloured(
        self, pixels: colours.Pixels, other: RGB, other_mask: Mask, rng: np.random.Generator
    ) -> colours.Pixels:  # (3,N)
        values = pixels.astype(np.float32)

        def donor() -> colours.Pixels:  # (3,M), gathered only for the methods that need it
            index = np.flatnonzero(other_mask)
            return _pixels(other, index[illumination.subsample(index.size, rng)])

        method = self._draw(rng)
        for attempt in range(1, MAX_TRIES + 1):
            candidate = self._candidate(method, pixels, values, donor, rng)
            if candidate is not None:
                rounded = np.rint(np.clip(candidate, 0, 255))
                if FMSE_RANGE[0] <= _mean_square(rounded - values) <= FMSE_RANGE[1]:
                    return rounded.astype(np.uint8)
            # Staying with the method keeps the weights true; three misses say that it does not suit the image.
            if candidate is None or attempt % 3 == 0:
                method = self._draw(rng)
        return _shifted(values)

    def _draw(self, rng: np.random.Generator) -> str:
        return self._methods[int(np.searchsorted(self._edges[:-1], rng.random(), side="right"))]

    def _candidate(
        self,
        method: str,
        pixels: colours.Pixels,
        values: lab.Floats,
        donor: Callable[[], colours.Pixels],
        rng: np.random.Generator,
    ) -> lab.Floats | None:
        if method == "maps":
            assert self._maps is not None
            return illumination.transfer(values, rng, self._maps).colours
        if method == "mix":
            return colours.adjust(pixels, colours.Camera.draw(rng))
        sample = donor()
        if sample.shape[1] < MIN_PIXELS:
            return None
        transfer = colours.transfer_lab if method == "lab" else colours.match_histogram
        found = transfer(pixels, sample)
        return None if found is None else soften(found, values, rng)[0]


def _pixels(image: RGB, index: npt.NDArray[np.intp]) -> colours.Pixels:  # (H,W,3), (N,) -> (3,N)
    return np.ascontiguousarray(image.reshape(-1, 3).take(index, axis=0).T)


def _mean_square(change: lab.Floats) -> float:
    flat = change.ravel()
    return float(flat @ flat) / flat.size


def soften(result: lab.Floats, values: lab.Floats, rng: np.random.Generator) -> tuple[lab.Floats, float]:
    """Go only part of the way where a donor's colours are too far away for `FMSE_RANGE`; also return how far.

    Drawing again would not help, the donor stays the same, and every third pair of images is that different.
    """
    if (change := _mean_square(result - values)) <= FMSE_RANGE[1]:
        return result, 1.0
    share = float(rng.uniform(0.25, 0.75) * np.sqrt(FMSE_RANGE[1] / change))
    return values + np.float32(share) * (result - values), share


def _shifted(values: lab.Floats) -> colours.Pixels:
    """Brighten or darken by 20 levels, away from the nearer end: works on any foreground."""
    step = 20 if values.mean() < 128 else -20
    return np.clip(values + step, 0, 255).astype(np.uint8)


def random_flip(images: Sequence[RGB], mask: Mask, rng: np.random.Generator) -> tuple[tuple[RGB, ...], Mask]:
    """Mirror left-right all (H,W,3) images and their (H,W) mask, or none of them, with probability 1/2."""
    if rng.random() < 0.5:
        return tuple(images), mask
    return tuple(np.ascontiguousarray(image[:, ::-1]) for image in images), np.ascontiguousarray(mask[:, ::-1])


def random_crop(images: Sequence[RGB], mask: Mask, rng: np.random.Generator) -> tuple[tuple[RGB, ...], Mask]:
    """Cut one random rectangle out of all (H,W,3) images and their (H,W) mask, and resize it to H x W.

    A crop keeps at least half of the foreground and some background; where ten draws find none, nothing is
    cropped. Crop `real` before recolouring it where possible: resizing a finished composite lets colours bleed
    over the mask's edge.
    """
    height, width = mask.shape
    for _ in range(MAX_TRIES):
        top, left, bottom, right = _crop_box(height, width, rng)
        part = mask[top:bottom, left:right]
        if 2 * np.count_nonzero(part) >= np.count_nonzero(mask) and not part.all():
            parts = (image[top:bottom, left:right] for image in images)
            resized = tuple(_resize(x, (width, height), Image.Resampling.BICUBIC) for x in parts)
            return resized, _resize(part, (width, height), Image.Resampling.NEAREST).astype(np.bool_)
    return tuple(images), mask


def _crop_box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    root = float(np.sqrt(rng.uniform(*CROP_AREA)))
    stretch = float(np.exp(rng.uniform(*np.log(CROP_ASPECT)) / 2))
    rows, columns = min(height, round(height * root / stretch)), min(width, round(width * root * stretch))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    return top, left, top + rows, left + columns


def _resize(array: npt.NDArray[Any], size: tuple[int, int], how: Image.Resampling) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(array).astype(np.uint8)).resize(size, how))
