"""Changes of illumination between photos, measured with colour checkers: ccHarmony's maps or your own.

A foreground is brought from its own photo's illumination to the standard one, and from there to another photo's: the
transitive transfer that ccHarmony is made by (Niu et al., 2022). There each photo has a map of its own. Any other
photo borrows one, which then has to answer for colours it was not fitted to: hence the tests in `transfer`, which are
ours.
"""

import dataclasses
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hdnet.model.training.composites import colours
from hdnet.transforms.errors import DatasetError
from hdnet.transforms.pixels import polynomial
from hdnet.transforms.pixels.image import LUMA

Values = npt.NDArray[Any]
"""float32 or float64, as a whole: the trainer takes the first, for its speed."""

SHIPPED = Path(__file__).with_name("ccharmony_maps.npz")
"""The maps of ccHarmony's 350 photos; docs/ccharmony.md says where they are from."""
STALE = ("8D5U5599", "IMG_0290")
"""ccHarmony's two photos whose forward maps are older than their patch colours: not usable as a source."""

SAMPLE = 1500
"""Pixels by which maps are accepted or rejected."""
SOURCE_DRAWS, TARGET_DRAWS = 20, 10
MOST_OUTSIDE = 0.1
"""Share of the pixels that a map may take out of 0..255."""
SMALLEST_CHANGE, LARGEST_CHANGE = 5.0, 90.0
"""Accepted root mean square of a change, in levels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IlluminationMaps:
    """Colour maps of photos, photo to standard illumination and back.

    Attributes:
        names: The K photos.
        to_standard: (K,3,11), photo colours to the colours under the standard illumination; see `polynomial.terms`.
        from_standard: (K,3,11), the other way.
        sources: Rows whose `to_standard` may be used.
    """

    names: tuple[str, ...]
    to_standard: Values
    from_standard: Values
    sources: npt.NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class Change:
    """The result of an attempt to change a foreground's colours.

    Attributes:
        colours: (3,N) in 0..255, not rounded; None if every draw was rejected.
        rejected: The number of draws that were rejected.
        drawn: What was drawn, by name.
    """

    colours: Values | None
    rejected: int
    drawn: Mapping[str, str | float] = dataclasses.field(default_factory=dict)


def load(
    path: str | Path = SHIPPED,
    split: Literal["train", "test"] = "train",
    dtype: type[np.float32] | type[np.float64] = np.float64,
) -> IlluminationMaps:
    """Read maps from an npz file with `name`, `split`, `to_standard` and `from_standard`.

    Args:
        path: The shipped ones, unless another is given.
        split: ccHarmony's; training data is made with the training photos' maps only.
        dtype: The maps', and that of all computing with them.

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
    if splits.shape != (rows,) or not forward.shape == reverse.shape == (rows, 3, polynomial.COUNT):
        raise _unusable(path, f"needs {rows} splits and maps of shape ({rows},3,{polynomial.COUNT})")
    chosen = splits == split
    sources = np.flatnonzero(~np.isin(name[chosen], STALE))
    if len(sources) < 2:
        raise _unusable(path, f"has fewer than two {split} photos")
    return IlluminationMaps(
        names=tuple(name[chosen].tolist()),
        to_standard=forward[chosen].astype(dtype),
        from_standard=reverse[chosen].astype(dtype),
        sources=sources,
    )


def _unusable(path: str | Path, why: str) -> DatasetError:
    return DatasetError(
        f"illumination maps {str(path)!r}: {why}; the file is an npz of name, split, to_standard and from_standard,"
        " such as ccharmony_maps.npz, which ships (docs/ccharmony.md)"
    )


def transfer(
    values: npt.NDArray[np.uint8 | np.float32], rng: np.random.Generator, maps: IlluminationMaps, darker: float = 1.0
) -> Change:  # (3,N) -> (3,N)
    """Show a foreground's colours under another photo's illumination.

    Two photos are drawn: one whose map takes the colours to the standard illumination, then another whose map takes
    them on from there. Draws are judged by a sample of the pixels. One is rejected if its map takes too many of them
    out of range or reorders their lightness, the second also if the change is too small or too large. Colours are
    clipped under the standard illumination and at the end.

    Args:
        values: (3,N), the foreground's pixels in 0..255.
        rng: The only source of randomness.
        maps: At least two photos'.
        darker: Share of the darkening changes that is accepted: most maps darken.
    """
    pixels = values.astype(maps.to_standard.dtype, copy=False)
    sample = pixels[:, subsample(pixels.shape[1], rng)]
    keeps_luma = colours.luma_test(sample.astype(np.float32))

    def plausible(result: Values) -> bool:
        outside = np.mean(((result < 0) | (result > 255)).any(axis=0))
        return bool(outside < MOST_OUTSIDE) and keeps_luma(result.astype(np.float32))

    def useful(result: Values) -> bool:
        change = np.clip(result, 0, 255) - sample
        if not SMALLEST_CHANGE <= np.sqrt(np.mean(change * change)) <= LARGEST_CHANGE:
            return False
        return bool(darker >= 1 or LUMA @ change.mean(axis=1) >= 0 or rng.random() < darker)

    terms = polynomial.terms(sample)
    source, rejected = _draw(
        SOURCE_DRAWS,
        lambda: int(maps.sources[rng.integers(len(maps.sources))]),
        lambda row: plausible(maps.to_standard[row] @ terms),
    )
    if source is None:
        return Change(None, rejected)
    terms = polynomial.terms(np.clip(maps.to_standard[source] @ terms, 0, 255))
    target, more = _draw(
        TARGET_DRAWS,
        lambda: (source + int(rng.integers(1, len(maps.names)))) % len(maps.names),
        lambda row: plausible(result := maps.from_standard[row] @ terms) and useful(result),
    )
    if target is None:
        return Change(None, rejected + more)
    standard = np.clip(maps.to_standard[source] @ polynomial.terms(pixels), 0, 255)
    result = np.clip(maps.from_standard[target] @ polynomial.terms(standard), 0, 255)
    drawn = {"illumination_from": maps.names[source], "illumination_to": maps.names[target]}
    return Change(result, rejected + more, drawn)


def subsample(count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draw which of so many pixels stand for all."""
    # With replacement: ten times faster than without, and as good for shares and correlations.
    return rng.integers(0, count, SAMPLE) if count > SAMPLE else np.arange(count)


def _draw(tries: int, propose: Callable[[], int], accept: Callable[[int], bool]) -> tuple[int | None, int]:
    """Propose rows until one is accepted; return it, or None after too many, and how many were rejected."""
    for rejected in range(tries):
        row = propose()
        if accept(row):
            return row, rejected
    return None, tries
