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
    """What can be measured without a reference. All but the first two are None if there is no foreground.

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
    delta_e: float | None
    gap_before: float | None
    gap_after: float | None
    clipped_ratio: float | None
    newly_clipped_ratio: float | None


def compare(composite: Pixels, result: Pixels, foreground: Foreground) -> Appearance:
    """Compare a result with its composite.

    Args:
        composite: (H,W,3) uint8 or uint16 sRGB.
        result: The same shape and type.
        foreground: (H,W) bool.

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
        sums.add(first, second, foreground.reshape(-1)[strip])
    return sums.appearance(_border_ratio(foreground))


class _Sums:
    """The sums over all strips; `moments` by image (composite, result), region and term (values, squares)."""

    def __init__(self) -> None:
        self.counts: Numbers = np.zeros(2)
        self.moments: Numbers = np.zeros((2, 2, 6))
        self.delta_e = 0.0
        self.clipped = self.newly_clipped = 0

    def add(self, composite: Pixels, result: Pixels, inside: Foreground) -> None:  # (3,N), (3,N), (N,)
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
        ended, ends = (_at_ends(pixels) & inside for pixels in (composite, result))
        self.clipped += int(np.count_nonzero(ends))
        self.newly_clipped += int(np.count_nonzero(ends.any(axis=0) & ~ended.any(axis=0)))

    def gap(self, image: int) -> float | None:
        """Return the distance of the two regions' statistics in one image, None if a region is empty."""
        if not self.counts.all():
            return None
        mean, square = np.split(self.moments[image] / self.counts[:, None], 2, axis=1)
        deviation = np.sqrt(np.maximum(0, square - mean**2))
        fore, back = np.concatenate([mean, deviation], axis=1)
        return float(np.linalg.norm(fore - back))

    def appearance(self, border_ratio: float) -> Appearance:
        """Divide the sums."""
        count, others = (int(number) for number in self.counts)

        def divided(total: float, by: int) -> float | None:
            return total / by if by else None

        return Appearance(
            foreground_ratio=count / max(1, count + others),
            border_ratio=border_ratio,
            delta_e=divided(self.delta_e, count),
            gap_before=self.gap(0),
            gap_after=self.gap(1),
            clipped_ratio=divided(self.clipped, 3 * count),
            newly_clipped_ratio=divided(self.newly_clipped, count),
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
