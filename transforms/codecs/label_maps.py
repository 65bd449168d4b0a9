"""Label maps, which hold classes where a mask holds coverage: areas of values that are neither black nor white."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hdnet.transforms.pixels.image import Plane

FEW = 32
"""A label map holds most of its pixels between black and white in this many values; a soft edge spreads them."""

_TILE = 8  # pixels; as JPEG's own
_FLAT = 2  # of 255: what compression may change within a flat tile
_BLACK = 4  # of 255: values below are what compression leaves of black
_CHUNK = 1 << 20  # pixels that are looked at together, because it takes 8 bytes for each


def histogram(values: Plane) -> npt.NDArray[np.intp]:
    """Return how many pixels have each value of the dtype.

    Black and white, most or all of a mask, are counted by themselves: counting one value again and again in a table
    waits for memory.
    """
    top = np.iinfo(values.dtype).max
    total = np.zeros(top + 1, np.intp)
    for rows in _chunks(values):
        between = (rows != 0) & (rows != top)
        if between.any():
            total += np.bincount(rows[between], minlength=total.size)
        total[top] += np.count_nonzero(rows == top)
    total[0] = values.size - total.sum()
    return total


def classes(values: Plane, counts: npt.NDArray[np.intp], noise: int) -> list[int]:
    """Return the values of a lossless label map that are neither black nor white; none for a mask.

    Args:
        values: (H,W) values.
        counts: Their `histogram`.
        noise: Values nearer than this to the largest are white.

    Returns:
        The values, the most frequent first, but for one that is the background.
    """
    held = np.flatnonzero(counts)
    between = held[(held > 0) & (held < counts.size - noise)]
    if held[-1:].sum() <= 1 or not between.size:
        return []
    common = between[np.argsort(-counts[between], kind="stable")]
    pixels = counts[between].sum()
    few = counts[common[:FEW]].sum() >= 0.75 * pixels
    if _in_areas(values, counts.size - noise) <= 0.5 * pixels or not (few or _has_borders(values)):
        return []
    is_background = common.size > 1 and counts[common[0]] == counts.max()
    return [int(value) for value in np.roll(common, -int(is_background))]


def lossy_class(values: Plane, noise: int) -> int | None:
    """Return about which value an area of a label map has that was compressed with loss; None for a mask.

    Args:
        values: (H,W) values.
        noise: Values nearer than this to 0 or the largest are black or white, but for areas of such a value.
    """
    step = int(np.iinfo(values.dtype).max) // 255
    levels = _flat_tiles(values, step)
    between = np.count_nonzero((values >= noise) & (values <= 255 * step - noise))
    grey = levels[(levels >= noise // step) & (levels <= 255 - noise // step)]
    if grey.size * _TILE**2 > 0.5 * between and (found := _shared(grey, 0.25)) is not None:
        return found * step
    # A value near to black is a scanner's black where there is no real one, and a fading edge where there are others.
    near = levels[(levels >= _BLACK) & (levels < noise // step)]
    black = int(np.count_nonzero(levels < _BLACK))
    if 100 * min(near.size, black) * _TILE**2 > values.size and (found := _shared(near, 0.75)) is not None:
        fading = np.count_nonzero((levels > 0) & (levels < found - 1))
        return found * step if near.size > 4 * fading else None
    return None


def _flat_tiles(values: Plane, step: int) -> npt.NDArray[np.intp]:
    """Return the level, 0 to 255, of each tile that has one value but for what compression changes."""
    height, width = (side // _TILE * _TILE for side in values.shape)
    tiles = values[:height, :width].reshape(height // _TILE, _TILE, width // _TILE, _TILE)
    low: npt.NDArray[np.intp] = tiles.min(axis=(1, 3)).astype(np.intp)
    high: npt.NDArray[np.intp] = tiles.max(axis=(1, 3)).astype(np.intp)
    return (low + high)[high - low <= _FLAT * step] // 2 // step


def _shared(levels: npt.NDArray[np.intp], share: float) -> int | None:
    """Return the most frequent level if it and its neighbours hold a share of all."""
    counts = np.bincount(levels, minlength=256)
    best = int(counts.argmax())
    together = int(counts[max(0, best - 1) : best + 2].sum())
    return best if levels.size and together >= share * levels.size else None


def _in_areas(values: Plane, white: int) -> int:
    """Count the pixels from 1 to below `white` that equal their neighbours to the right, below and diagonally."""
    count = 0
    for rows in _chunks(values, shared=1):
        corner = rows[:-1, :-1]
        same = (corner > 0) & (corner < white)
        if same.any():
            for neighbour in (rows[:-1, 1:], rows[1:, :-1], rows[1:, 1:]):
                same &= corner == neighbour
            count += int(np.count_nonzero(same))
    return count


def _has_borders(values: Plane) -> bool:
    """Say whether values often jump where they change, as between two objects, and do not all pass on smoothly."""
    changes = jumps = 0
    for rows in _chunks(values):
        for axis in (0, 1):
            steps = np.abs(np.diff(rows.astype(np.int32), axis=axis))
            changes += int(np.count_nonzero(steps))
            jumps += int(np.count_nonzero(steps > np.iinfo(values.dtype).max // 64))
    return jumps > 0.25 * changes


def _chunks(values: Plane, shared: int = 0) -> Iterator[Plane]:
    """Yield some rows at a time, the last `shared` of them once more with the next."""
    rows = max(1, _CHUNK // max(1, values.shape[1]))
    return (values[start : start + rows + shared] for start in range(0, len(values), rows))
