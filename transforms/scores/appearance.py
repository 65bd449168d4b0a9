"""Compare a result with its composite, and its foreground with its background, without a reference.

One pass goes over both images in strips: the Lab values of a strip stay in the processor's cache, and those of the
result are computed only where it differs from the composite.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from hdnet.transforms import errors
from hdnet.transforms.pixels import lab
from hdnet.transforms.pixels.image import Foreground, Pixels
from hdnet.transforms.scores import ciede2000

STRIP = 1 << 15
"""The number of pixels in a strip."""

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
        colours: Measure `delta_e` and the gaps, which take nearly all of the time.

    Raises:
        ShapeError: Their sizes differ.
    """
    if composite.shape != result.shape or composite.shape != (*foreground.shape, 3):
        shapes = [composite.shape, result.shape, foreground.shape]
        raise errors.ShapeError(f"composite, result and mask must have one size, not {shapes}: resize them first")
    sums = _Sums()
    for start in range(0, foreground.size, STRIP):
        strip = slice(start, start + STRIP)
        first, second = (np.ascontiguousarray(image.reshape(-1, 3)[strip].T) for image in (composite, result))
        inside = foreground.reshape(-1)[strip]
        sums.add_clipping(first, second, inside)
        if colours:
            sums.add_colours(first, second, inside)
    return sums.appearance(coverage(foreground))


class _Sums:
    """The sums over all strips; `moments` by image (composite, result), region and term (values, squares)."""

    def __init__(self) -> None:
        self.counts: Numbers = np.zeros(2)
        self.moments: Numbers = np.zeros((2, 2, 6))
        self.delta_e = 0.0
        self.inside = self.clipped = self.newly_clipped = 0

    def add_colours(self, composite: Pixels, result: Pixels, inside: Foreground) -> None:  # (3,N), (3,N), (N,)
        regions = np.stack([inside, ~inside]).astype(np.float64)
        self.counts += regions.sum(axis=1)
        before = lab.from_rgb(composite)
        self.moments += _moments(before, regions)
        changed = np.flatnonzero((composite != result).any(axis=0))
        if changed.size:
            was, now = before.take(changed, axis=1), lab.from_rgb(result.take(changed, axis=1))
            where = regions.take(changed, axis=1)
            self.moments[1] += _moments(now, where) - _moments(was, where)
            among = inside[changed]
            self.delta_e += float(ciede2000.difference(was, now)[among].sum(dtype=np.float64))

    def add_clipping(self, composite: Pixels, result: Pixels, inside: Foreground) -> None:  # (3,N), (3,N), (N,)
        self.inside += int(np.count_nonzero(inside))
        was, now = (_at_ends(pixels) & inside for pixels in (composite, result))
        self.clipped += int(np.count_nonzero(now))
        self.newly_clipped += int(np.count_nonzero(now.any(axis=0) & ~was.any(axis=0)))

    def gap(self, image: int) -> float | None:
        """Return the distance of the two regions' statistics in one image, None if a region is empty."""
        if not self.counts.all():
            return None
        mean, square = np.split(self.moments[image] / self.counts[:, None], 2, axis=1)
        deviation = np.sqrt(np.maximum(0, square - mean**2))
        fore, back = np.concatenate([mean, deviation], axis=1)
        return float(np.linalg.norm(fore - back))

    def appearance(self, covered: Appearance) -> Appearance:
        """Divide the sums, and add them to what is known of the foreground."""
        if not self.inside:
            return covered
        return dataclasses.replace(
            covered,
            delta_e=self.delta_e / self.inside if self.counts.any() else None,
            gap_before=self.gap(0),
            gap_after=self.gap(1),
            clipped_ratio=self.clipped / (3 * self.inside),
            newly_clipped_ratio=self.newly_clipped / self.inside,
        )


def _border_ratio(foreground: Foreground) -> float:
    border = [foreground[0], foreground[-1], foreground[1:-1, 0], foreground[1:-1, -1]]
    return float(np.concatenate(border).mean())


def _moments(values: lab.Floats, regions: Numbers) -> Numbers:  # (3,N), (2,N) -> (2,6)
    # In float32 the variance of a flat region, a difference of large numbers, would be noise.
    terms = np.concatenate([values, values], dtype=np.float64)
    terms[3:] *= terms[:3]
    sums: Numbers = regions @ terms.T
    return sums


def _at_ends(pixels: Pixels) -> npt.NDArray[np.bool_]:
    ends: npt.NDArray[np.bool_] = (pixels == 0) | (pixels == np.iinfo(pixels.dtype).max)
    return ends
