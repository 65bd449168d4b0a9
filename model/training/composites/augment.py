"""Recolour foregrounds on the fly, and flip and crop: fresh composites for every epoch of a training.

A composite is the real image with its foreground recoloured; the background stays bit-identical. All work is
done on the foreground's pixels alone, gathered once as (3,N), and all randomness comes from the caller's
generator: the same generator state gives the same bytes.
"""

import dataclasses
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from hdnet.model.training.composites import colours
from hdnet.transforms import errors
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
SAMPLE = 1500
"""Pixels on which maps are accepted or rejected, and from which a donor's statistics are taken."""
MAX_A_DRAWS, MAX_B_DRAWS = 20, 10
STALE_MAPS = ("8D5U5599", "IMG_0290")
"""ccHarmony's two forward maps that are older than their patch colours: not usable as `a`."""
FADE, MISPLACED = 1.5, 3.0
"""Pixels: the largest standard deviations of the blurs that soften a foreground's edge and move a mask's."""
CROP_AREA, CROP_ASPECT = (0.5, 1.0), (3 / 4, 4 / 3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IlluminationMaps:
    """Polynomial colour maps of the training photos, photo to standard light and back.

    Attributes:
        to_standard: (K,3,11) float32, photo colours to the colours under the standard light.
        from_standard: (K,3,11) float32, the other way.
        sources: Rows whose `to_standard` may be drawn.
    """

    to_standard: lab.Floats
    from_standard: lab.Floats
    sources: npt.NDArray[np.intp]


def load_illumination_maps(path: str | Path) -> IlluminationMaps:
    """Read the maps of ccHarmony's training photos from an npz file.

    Raises:
        DatasetError: As for `read_maps`.
    """
    _, forward, reverse, sources = read_maps(path, "train")
    return IlluminationMaps(
        to_standard=forward.astype(np.float32), from_standard=reverse.astype(np.float32), sources=sources
    )


def read_maps(
    path: str | Path, split: Literal["train", "test"]
) -> tuple[npt.NDArray[np.str_], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Read names, maps to standard light (K,3,11), maps from it, and the usable rows, from an npz file.

    Args:
        path: The file: `name`, `split`, `to_standard` and `from_standard`.
        split: The photos to keep.

    Raises:
        DatasetError: The file is missing, is not an npz of plain arrays, lacks an array, or has other shapes.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            name, splits, forward, reverse = (file[key] for key in ("name", "split", "to_standard", "from_standard"))
    except KeyError as error:
        raise _unusable(path, f"lacks an array: {error.args[0]}") from error
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise _unusable(path, f"cannot be read: {error}") from error
    rows = len(name)
    if splits.shape != (rows,) or not forward.shape == reverse.shape == (rows, 3, 11):
        raise _unusable(path, f"needs {rows} splits and maps of shape ({rows},3,11)")
    chosen = splits == split
    sources = np.flatnonzero(~np.isin(name[chosen], STALE_MAPS))
    if len(sources) < 2:
        raise _unusable(path, f"has fewer than two {split} photos")
    return name[chosen], forward[chosen], reverse[chosen], sources


def _unusable(path: str | Path, why: str) -> errors.DatasetError:
    return errors.DatasetError(
        f"illumination maps {str(path)!r}: {why}; the file is an npz of name, split, to_standard and from_standard,"
        " such as ccharmony_maps.npz, which ships (docs/ccharmony.md)"
    )


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
            return _pixels(other, index[_subsample(index.size, rng)])

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
            return change_illumination(values, self._maps, rng)
        if method == "mix":
            return colours.adjust(pixels, rng)
        sample = donor()
        if sample.shape[1] < MIN_PIXELS:
            return None
        transfer = colours.transfer_lab if method == "lab" else colours.match_histogram
        return _softened(transfer(pixels, sample), values, rng)


def _pixels(image: RGB, index: npt.NDArray[np.intp]) -> colours.Pixels:  # (H,W,3), (N,) -> (3,N)
    return np.ascontiguousarray(image.reshape(-1, 3).take(index, axis=0).T)


def _subsample(count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    # With replacement: ten times faster than without, and as good for shares and correlations.
    return rng.integers(0, count, SAMPLE) if count > SAMPLE else np.arange(count)


def _mean_square(change: lab.Floats) -> float:
    flat = change.ravel()
    return float(flat @ flat) / flat.size


def _softened(result: lab.Floats | None, values: lab.Floats, rng: np.random.Generator) -> lab.Floats | None:
    """Go only part of the way where a donor's colours are too far away for `FMSE_RANGE`.

    Drawing again would not help, the donor stays the same, and every third pair of images is that different.
    """
    if result is None or (change := _mean_square(result - values)) <= FMSE_RANGE[1]:
        return result
    share = rng.uniform(0.25, 0.75) * np.sqrt(FMSE_RANGE[1] / change)
    return values + np.float32(share) * (result - values)


def _shifted(values: lab.Floats) -> colours.Pixels:
    """Brighten or darken by 20 levels, away from the nearer end: works on any foreground."""
    step = 20 if values.mean() < 128 else -20
    return np.clip(values + step, 0, 255).astype(np.uint8)


def change_illumination(
    values: lab.Floats, maps: IlluminationMaps, rng: np.random.Generator
) -> lab.Floats | None:  # (3,N)
    """Show the colours under another photo's light: photo `a` to standard light, standard light to photo `b`.

    The photo at hand was not taken under `a`'s light, so maps extrapolate; those that leave the range, reorder
    lightness or change too little or too much on a sample of pixels are drawn again. None after too many draws.
    """
    sample = values[:, _subsample(values.shape[1], rng)]
    keeps_luma = colours.luma_test(sample)
    terms = colours.polynomial_terms(sample)
    for _ in range(MAX_A_DRAWS):
        a = int(maps.sources[rng.integers(len(maps.sources))])
        standard = maps.to_standard[a] @ terms
        if _in_range(standard) and keeps_luma(standard):
            break
    else:
        return None
    terms = colours.polynomial_terms(np.clip(standard, 0, 255))
    for _ in range(MAX_B_DRAWS):
        b = (a + int(rng.integers(1, len(maps.from_standard)))) % len(maps.from_standard)
        if _acceptable(maps.from_standard[b] @ terms, sample, keeps_luma):
            standard = np.clip(maps.to_standard[a] @ colours.polynomial_terms(values), 0, 255)
            result: lab.Floats = maps.from_standard[b] @ colours.polynomial_terms(standard)
            return result
    return None


def _acceptable(
    result: lab.Floats,
    sample: lab.Floats,
    keeps_luma: Callable[[lab.Floats], bool],
) -> bool:
    if not _in_range(result):
        return False
    change = np.clip(result, 0, 255) - sample
    rms = float(np.sqrt(np.mean(change * change)))
    return 5 <= rms <= 90 and keeps_luma(result)


def _in_range(values: lab.Floats) -> bool:  # (3,N)
    return float(np.mean((values.min(axis=0) < 0) | (values.max(axis=0) > 255))) < 0.1


def blur_edge(composite: RGB, real: RGB, mask: Mask, rng: np.random.Generator) -> tuple[RGB, Mask]:
    """Let the change fade towards the foreground's edge, and put the mask's up to some three pixels beside it.

    Real masks are like that. With exact ones alone a network learns to read the change of colour from the step at the
    mask's edge, and does nothing without it. Outside the mask both photos are the same, so about half the step stays.
    """
    faded = real + _blurred(mask, rng.uniform(0, FADE))[..., None] * (composite.astype(np.float32) - real)
    moved = _blurred(mask, rng.uniform(0, MISPLACED)) > rng.uniform(0.15, 0.85)
    usable = MIN_PIXELS <= np.count_nonzero(moved) < moved.size
    return np.rint(faded).astype(np.uint8), moved if usable else mask


def _blurred(mask: Mask, deviation: float) -> lab.Floats:  # (H,W) in [0, 1]
    blurred = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(deviation))
    return np.asarray(blurred, np.float32) / np.float32(255)


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
