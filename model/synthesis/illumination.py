"""Changes of illumination between photos, measured with colour checkers: ccHarmony's maps or your own.

A foreground is brought from its own photo's illumination to the standard one, and from there to another photo's: the
transitive transfer that ccHarmony is made by (Niu et al., 2022). There each photo has a map of its own. Any other
photo borrows one, which then has to answer for colours it was not fitted to: hence the tests in `transfer`, which are
ours.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hdnet.model.synthesis import checkers
from hdnet.model.synthesis.checkers import Values
from hdnet.model.training.composites import augment, colours
from hdnet.transforms.errors import DatasetError
from hdnet.transforms.pixels.image import LUMA

SHIPPED = Path(__file__).with_name("ccharmony_maps.npz")
"""The maps of ccHarmony's 350 photos; docs/ccharmony.md tells where they are from."""

MOST_OUTSIDE = 0.1
"""Share of the pixels that a map may take out of 0..255."""
SMALLEST_CHANGE, LARGEST_CHANGE = 5.0, 90.0
"""Accepted root mean square of a change, in levels."""
DARKER = 0.5
"""Share of the darkening changes that are accepted: most maps darken, and without it the median is -20 levels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IlluminationMaps:
    """Colour maps of photos, photo to standard illumination and back.

    Attributes:
        names: The K photos.
        to_standard: (K,3,11), photo colours to the colours under the standard illumination; see `checkers.terms`.
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
        source: Name of the photo whose illumination was taken away; "" without one.
        target: Name of the photo whose illumination was put on, or of another thing that was applied; "" without one.
    """

    colours: Values | None
    rejected: int
    source: str = ""
    target: str = ""


def load(path: str | Path = SHIPPED, split: Literal["train", "test"] = "train") -> IlluminationMaps:
    """Read maps from an npz file with `name`, `split`, `to_standard` and `from_standard`.

    Args:
        path: The shipped ones, unless another is given.
        split: ccHarmony's; training data is made with the training photos' maps only.

    Raises:
        DatasetError: As for `augment.read_maps`.
    """
    names, forward, reverse, sources = augment.read_maps(path, split)
    return IlluminationMaps(
        names=tuple(names.tolist()),
        to_standard=forward.astype(np.float64),
        from_standard=reverse.astype(np.float64),
        sources=sources,
    )


def fitted(readings: Mapping[str, Values]) -> IlluminationMaps:
    """Fit the maps of photos from readings of the colour checkers in them, (24,3) each.

    Raises:
        DatasetError: There are fewer than two readings.
    """
    if len(readings) < 2:
        raise DatasetError(f"a change of illumination needs the checkers of two photos, and there is {len(readings)}")
    forward, reverse = zip(*map(checkers.fit, readings.values()), strict=True)
    return IlluminationMaps(
        names=tuple(readings),
        to_standard=np.stack(forward),
        from_standard=np.stack(reverse),
        sources=np.arange(len(readings)),
    )


def transfer(
    values: npt.NDArray[np.uint8], rng: np.random.Generator, maps: IlluminationMaps
) -> Change:  # (3,N) -> (3,N)
    """Show a foreground's colours under another photo's illumination.

    Two photos are drawn: one whose map takes the colours to the standard illumination, then another whose map takes
    them on from there. Draws are judged by a sample of the pixels. One is rejected if its map takes too many of them
    out of range or reorders their lightness, the second also if the change is too small or too large, and half of the
    times that it darkens. Colours are clipped under the standard illumination and at the end.

    Args:
        values: (3,N) uint8, the foreground's pixels.
        rng: The only source of randomness.
        maps: At least two photos'.
    """
    pixels = values.astype(np.float64)
    count = pixels.shape[1]
    sample = pixels[:, rng.integers(0, count, augment.SAMPLE)] if count > augment.SAMPLE else pixels
    keeps_luma = colours.luma_test(sample.astype(np.float32))

    def plausible(result: Values) -> bool:
        outside = np.mean(((result < 0) | (result > 255)).any(axis=0))
        return bool(outside < MOST_OUTSIDE) and keeps_luma(result.astype(np.float32))

    def useful(result: Values) -> bool:
        change = np.clip(result, 0, 255) - sample
        small_or_large = not SMALLEST_CHANGE <= np.sqrt(np.mean(change * change)) <= LARGEST_CHANGE
        return not small_or_large and (LUMA @ change.mean(axis=1) >= 0 or rng.random() < DARKER)

    source, rejected = _draw(
        augment.MAX_A_DRAWS,
        lambda: int(rng.choice(maps.sources)),
        lambda row: plausible(_apply(maps.to_standard[row], sample)),
    )
    if source is None:
        return Change(None, rejected)
    standard = _standard(maps, source, sample)
    others = len(maps.names)
    target, more = _draw(
        augment.MAX_B_DRAWS,
        lambda: (source + int(rng.integers(1, others))) % others,
        lambda row: plausible(result := _apply(maps.from_standard[row], standard)) and useful(result),
    )
    if target is None:
        return Change(None, rejected + more)
    result = np.clip(_apply(maps.from_standard[target], _standard(maps, source, pixels)), 0, 255)
    return Change(result, rejected + more, maps.names[source], maps.names[target])


def _draw(tries: int, propose: Callable[[], int], accept: Callable[[int], bool]) -> tuple[int | None, int]:
    """Propose rows until one is accepted; return it, or None after too many, and how many were rejected."""
    for rejected in range(tries):
        row = propose()
        if accept(row):
            return row, rejected
    return None, tries


def _standard(maps: IlluminationMaps, row: int, rgb: Values) -> Values:  # (3,N) -> (3,N)
    return np.clip(_apply(maps.to_standard[row], rgb), 0, 255)


def _apply(matrix: Values, rgb: Values) -> Values:  # (3,11), (3,N) -> (3,N)
    result: Values = matrix @ checkers.terms(rgb)
    return result
