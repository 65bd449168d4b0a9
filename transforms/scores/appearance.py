"""Compare a result with its composite, and its foreground with its background, without a reference.

Both images are taken in strips, whose values stay in the processor's cache: once for clipping, in all rows, and once
for colours, in every n-th row of large images. Only the composite's colours are measured in whole strips; all else
needs the columns that the object, or what else has changed, takes in a strip.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hdnet.transforms import errors
from hdnet.transforms.pixels import lab
from hdnet.transforms.pixels.image import Foreground, Pixels
from hdnet.transforms.scores import ciede2000

STRIP = 1 << 15
"""About how many pixels a strip has."""
SAMPLE = 1 << 18
"""Colours are measured in every n-th row, so that about so many pixels are, or more."""
FEWEST_ROWS = 64
"""About so many rows with foreground, and with background, are measured at least, where there are as many."""

Numbers = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Appearance:
    """What can be measured without a reference. All but the first two may be unmeasured: None, as without foreground.

    Attributes:
        foreground_ratio: Foreground pixels divided by all pixels, 0 to 1.
        border_ratio: The same for the outermost pixels alone.
        delta_e: Mean CIEDE2000 difference of result and composite inside the mask; about 1 is just visible.
        gap_before, gap_after: Distance of the foreground's colour statistics from the background's in composite and
            result, in CIELAB units. It is the Euclidean distance of two vectors of six numbers: mean and population
            standard deviation of L, a and b. None without background, too.
        clipped_ratio: Fraction of the foreground's channel values that are 0 or full scale in the result, 0 to 1.
        newly_clipped_ratio: Fraction of the foreground's pixels with such a value where the composite has none.
    """

    foreground_ratio: float
    border_ratio: float
    delta_e: float | None = None
    gap_before: float | None = None
    gap_after: float | None = None
    clipped_ratio: float | None = None
    newly_clipped_ratio: float | None = None


def coverage(foreground: Foreground) -> Appearance:
    """Measure the (H,W) bool foreground alone."""
    return Appearance(float(foreground.mean()) if foreground.size else 0.0, _border_ratio(foreground))


def compare(composite: Pixels, result: Pixels, foreground: Foreground, *, colours: bool = True) -> Appearance:
    """Compare a result with its composite.

    Args:
        composite: (H,W,3) uint8 or uint16 sRGB.
        result: The same shape and type.
        foreground: (H,W) bool.
        colours: Measure `delta_e` and the gaps, which take nearly all of the time: of `SAMPLE` pixels and more, in
            every n-th row.

    Raises:
        ShapeError: Their sizes differ.
    """
    if composite.shape != result.shape or composite.shape != (*foreground.shape, 3):
        shapes = [composite.shape, result.shape, foreground.shape]
        raise errors.ShapeError(f"composite, result and mask must have one size, not {shapes}: resize them first")
    clipping, sums = _Clipping(), _Colours()
    for strip in _strips(foreground):
        clipping.add(composite[strip], result[strip], foreground[strip])
    if colours:
        rows = _sampled_rows(foreground)
        composite, result, sampled = composite[rows], result[rows], foreground[rows]
        for strip in _strips(sampled):
            sums.add(composite[strip], result[strip], sampled[strip])
    return sums.complete(clipping.complete(coverage(foreground)))


class _Clipping:
    """Counts of clipped values over all strips."""

    def __init__(self) -> None:
        self.inside = self.clipped = self.newly_clipped = 0

    def add(self, composite: Pixels, result: Pixels, inside: Foreground) -> None:
        """Add a strip: (R,W,3), (R,W,3) and (R,W)."""
        columns = _span(np.flatnonzero(inside.any(axis=0)))
        among = inside[:, columns].reshape(-1)
        was, now = (_at_ends(_planes(image[:, columns])) & among for image in (composite, result))
        self.inside += int(np.count_nonzero(among))
        self.clipped += int(np.count_nonzero(now))
        self.newly_clipped += int(np.count_nonzero(now.any(axis=0) & ~was.any(axis=0)))

    def complete(self, known: Appearance) -> Appearance:
        """Add the shares to what is known of the foreground."""
        if not self.inside:
            return known
        clipped, newly = self.clipped / (3 * self.inside), self.newly_clipped / self.inside
        return dataclasses.replace(known, clipped_ratio=clipped, newly_clipped_ratio=newly)


class _Colours:
    """The sums of colours over all strips.

    Attributes:
        moments: (2,2,6) by image (composite, result), region (foreground, background) and term (values, squares).
        inside, outside: The pixels of foreground and background that are in them.
    """

    def __init__(self) -> None:
        self.moments: Numbers = np.zeros((2, 2, 6))
        self.delta_e = 0.0
        self.inside = self.outside = 0

    def add(self, composite: Pixels, result: Pixels, inside: Foreground) -> None:
        """Add a strip: (R,W,3), (R,W,3) and (R,W)."""
        columns, within = _busy_columns(composite, result, inside), int(np.count_nonzero(inside))
        self.inside += within
        self.outside += inside.size - within
        before = lab.from_rgb(_planes(composite)).reshape(3, *inside.shape)
        beside = np.concatenate([before[:, :, : columns.start], before[:, :, columns.stop :]], axis=2).reshape(3, -1)
        self.moments[:, 1] += _moments(beside, np.ones(beside.shape[1], np.bool_))
        cropped = before[:, :, columns].reshape(3, -1)
        self._add_change(cropped, lab.from_rgb(_planes(result[:, columns])), inside[:, columns].reshape(-1))

    def _add_change(self, before: lab.Floats, after: lab.Floats, inside: Foreground) -> None:  # (3,N), (3,N), (N,)
        if inside.size:
            self.moments += [[_moments(values, region) for region in (inside, ~inside)] for values in (before, after)]
            self.delta_e += float(ciede2000.difference(before, after).sum(where=inside, dtype=np.float64))

    def gap(self, image: int) -> float | None:
        """Return the distance of the two regions' statistics in one image, None if there is no background."""
        if not self.outside:
            return None
        mean, square = np.split(self.moments[image] / [[self.inside], [self.outside]], 2, axis=1)
        deviation = np.sqrt(np.maximum(0, square - mean**2))
        fore, back = np.concatenate([mean, deviation], axis=1)
        return float(np.linalg.norm(fore - back))

    def complete(self, known: Appearance) -> Appearance:
        """Add the colours to what is known of the foreground."""
        if not self.inside:
            return known
        delta_e = self.delta_e / self.inside
        return dataclasses.replace(known, delta_e=delta_e, gap_before=self.gap(0), gap_after=self.gap(1))


def _strips(foreground: Foreground) -> Iterator[slice]:
    height, width = foreground.shape
    rows = max(1, STRIP // max(1, width))
    return (slice(top, top + rows) for top in range(0, height, rows))


def _sampled_rows(foreground: Foreground) -> slice:
    """Return every n-th row from one with foreground on; all rows if a region would be missed.

    They have about `SAMPLE` pixels or more. n is no more than would leave `FEWEST_ROWS` of each region's rows, were
    they next to each other.
    """
    held = np.stack([foreground.any(axis=1), ~foreground.all(axis=1)])
    regions = held[held.any(axis=1)]
    step = max(1, min([foreground.size // SAMPLE, *(regions.sum(axis=1) // FEWEST_ROWS)]))
    sampled = slice(int(held[0].argmax()) % step, None, step)
    return sampled if regions[:, sampled].any(axis=1).all() else slice(None)


def _border_ratio(foreground: Foreground) -> float:
    border = [foreground[0], foreground[-1], foreground[1:-1, 0], foreground[1:-1, -1]]
    return float(np.concatenate(border).mean())


def _busy_columns(composite: Pixels, result: Pixels, inside: Foreground) -> slice:
    """Return the columns of a strip from the first to the last that have foreground or a changed pixel."""
    changed = np.flatnonzero((composite != result).reshape(len(inside), -1).any(axis=0)) // 3
    return _span(np.concatenate([changed, np.flatnonzero(inside.any(axis=0))]))


def _span(columns: npt.NDArray[np.intp]) -> slice:
    return slice(columns.min(), columns.max() + 1) if columns.size else slice(0, 0)


def _planes(pixels: Pixels) -> Pixels:  # (R,W,3) -> (3,R*W)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(3, -1)


def _moments(values: lab.Floats, region: Foreground) -> Numbers:  # (3,N), (N,) -> (6,)
    """Sum values and their squares over a region.

    In float32 they are sums of differences from about the region's mean: those of large numbers would make noise of the
    variance of a flat region.
    """
    chosen, count = region.astype(np.float32), int(np.count_nonzero(region))
    centre = values @ chosen / max(count, 1)
    moved = values - centre[:, None]
    first = moved @ chosen
    np.square(moved, out=moved)
    sums: Numbers = np.concatenate([first, moved @ chosen], dtype=np.float64)
    shift = centre.astype(np.float64)
    sums[3:] += 2 * shift * sums[:3] + count * shift**2
    sums[:3] += count * shift
    return sums


def _at_ends(pixels: Pixels) -> npt.NDArray[np.bool_]:
    ends: npt.NDArray[np.bool_] = (pixels == 0) | (pixels == np.iinfo(pixels.dtype).max)
    return ends
