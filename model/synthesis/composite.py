"""One synthetic composite: a real photo whose foreground is recoloured, so that the photo is what it should look like.

The background stays bit-identical and the edge is as hard as the mask, as in ccHarmony.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from hdnet.model.training.composites import augment
from hdnet.model.training.composites.illumination import Change
from hdnet.transforms.errors import DatasetError

Method = Callable[[npt.NDArray[np.uint8], np.random.Generator], Change]
"""Recolours a foreground's pixels, (3,N) uint8; all randomness comes from the generator."""

TRIES = 3
"""How often a method is tried before the next one takes its place."""


@dataclasses.dataclass(frozen=True)
class Composite:
    """A photo with a recoloured foreground, and how it was made.

    Attributes:
        pixels: (H,W,3) uint8.
        method: Name of the method.
        drawn: As in `Change`.
        rejected: Draws that were rejected, those of other methods included.
        change: Root mean square of the change in the foreground, in levels.
    """

    pixels: augment.RGB
    method: str
    drawn: Mapping[str, str | float]
    rejected: int
    change: float


def compose(
    photo: augment.RGB,
    inside: augment.Mask,
    methods: Mapping[str, tuple[Method, float]],
    rng: np.random.Generator,
) -> Composite:
    """Recolour a photo's foreground by a method that is drawn, or where that finds nothing suitable by the others.

    Args:
        photo: (H,W,3) uint8, never written to.
        inside: (H,W) bool, the foreground.
        methods: Each with its weight, by name; the others follow in this order.
        rng: The only source of randomness.

    Raises:
        DatasetError: The foreground is smaller than `augment.MIN_PIXELS` or the whole photo, or no method suits it.
    """
    index = np.flatnonzero(inside)
    if not augment.MIN_PIXELS <= index.size < inside.size:
        raise DatasetError(f"the foreground has {index.size} of {inside.size} pixels: a composite needs both")
    pixels = np.ascontiguousarray(photo.reshape(-1, 3)[index].T)
    rejected = 0
    for name in _order(methods, rng):
        for _ in range(TRIES):
            found = methods[name][0](pixels, rng)
            rejected += found.rejected
            if found.colours is not None:
                rounded = np.rint(found.colours)
                composite = photo.copy()
                composite.reshape(-1, 3)[index] = rounded.T.astype(np.uint8)
                change = float(np.sqrt(np.mean((rounded - pixels) ** 2)))
                return Composite(composite, name, found.drawn, rejected, change)
    raise DatasetError(f"no recolouring suits the foreground: {rejected} were rejected ({', '.join(methods)})")


def _order(methods: Mapping[str, tuple[Method, float]], rng: np.random.Generator) -> list[str]:
    weights = np.array([weight for _, weight in methods.values()])
    first = list(methods)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return [first, *(name for name in methods if name != first)]
