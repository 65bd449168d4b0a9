"""The ways in which `hdnet-synthesize` recolours a foreground, each until the change is of a useful size."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from hdnet.model.synthesis.composite import Method
from hdnet.model.training.composites import augment, colours, illumination, looks
from hdnet.model.training.composites.illumination import Change, IlluminationMaps

DRAWS = 20
DARKER = 0.5
"""Share of the darkening changes of illumination that is accepted: without it the median change is -20 levels."""

Draw = Callable[[], tuple[npt.NDArray[np.float32 | np.uint8] | None, Mapping[str, str | float]]]
"""Returns colours (3,N), about 0..255 or None, and what was drawn."""


@dataclasses.dataclass(frozen=True)
class Donor:
    """Another photo's foreground, for its colour statistics.

    Attributes:
        photo: Name of the photo.
        sha256: The photo's.
        values: A sample of the foreground's pixels: three rows of uint8, red, green and blue.
    """

    photo: str
    sha256: str
    values: bytes

    @classmethod
    def of(cls, photo: str, sha256: str, image: augment.RGB, inside: augment.Mask) -> "Donor":
        """Take evenly spaced pixels of a photo's foreground."""
        index = np.flatnonzero(inside)
        thin = index[:: -(-len(index) // illumination.SAMPLE) or 1]
        return cls(photo, sha256, image.reshape(-1, 3)[thin].T.tobytes())

    @property
    def pixels(self) -> colours.Pixels:
        """The sample, (3,M) uint8."""
        return np.frombuffer(self.values, np.uint8).reshape(3, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Palette:
    """What foregrounds are recoloured with.

    Attributes:
        maps: Illumination maps.
        tables: Colour looks, by name.
        donors: Other photos' foregrounds.
    """

    maps: IlluminationMaps
    tables: Mapping[str, looks.Table] = dataclasses.field(default_factory=dict)
    donors: Sequence[Donor] = ()

    def methods(self, shares: Mapping[str, float], sha256: str) -> dict[str, tuple[Method, float]]:
        """Return the methods for a photo, which is no donor to itself, each with its share.

        Args:
            shares: Share by name.
            sha256: The photo's.
        """
        others = [donor for donor in self.donors if donor.sha256 != sha256]
        ways: dict[str, Method] = {
            "illumination": partial(illumination.transfer, maps=self.maps, darker=DARKER),
            "camera": camera,
            "lab": partial(from_donor, donors=others, transfer=colours.transfer_lab),
            "histogram": partial(from_donor, donors=others, transfer=colours.match_histogram),
            "looks": partial(look, tables=self.tables),
        }
        return {name: (ways[name], share) for name, share in shares.items()}


def camera(pixels: colours.Pixels, rng: np.random.Generator) -> Change:  # (3,N)
    """Change exposure, white balance, gamma, contrast and saturation, as training does."""

    def draw() -> tuple[npt.NDArray[np.float32], Mapping[str, str | float]]:
        settings = colours.Camera.draw(rng)
        red, green, blue = settings.stops
        drawn = {"red": red, "green": green, "blue": blue, "gamma": settings.gamma, "contrast": settings.contrast}
        return colours.adjust(pixels, settings), {**drawn, "saturation": settings.saturation}

    return _useful(pixels, draw)


def from_donor(
    pixels: colours.Pixels,
    rng: np.random.Generator,
    donors: Sequence[Donor],
    transfer: Callable[[colours.Pixels, colours.Pixels], npt.NDArray[np.float32] | None],
) -> Change:  # (3,N)
    """Give the pixels the colour statistics of another photo's foreground, or go part of the way if that is far."""
    if not donors:
        return Change(None, 0)

    def draw() -> tuple[npt.NDArray[np.float32] | None, Mapping[str, str | float]]:
        donor = donors[int(rng.integers(len(donors)))]
        found = transfer(pixels, donor.pixels)
        if found is None:
            return None, {}
        softened, share = augment.soften(found, pixels.astype(np.float32), rng)
        return softened, {"donor": donor.photo, "strength": share}

    return _useful(pixels, draw)


def look(pixels: colours.Pixels, rng: np.random.Generator, tables: Mapping[str, looks.Table]) -> Change:  # (3,N)
    """Apply a colour look, or the mean of two, at part of its strength."""
    names = list(tables)

    def draw() -> tuple[npt.NDArray[np.uint8], Mapping[str, str | float]]:
        blend = looks.Blend.draw(len(names), rng)
        picture = np.ascontiguousarray(pixels.T)[None]
        changed = looks.apply(picture, blend.of([*tables.values()]))[0].T
        drawn: dict[str, str | float] = {"look": names[blend.first], "strength": blend.strength}
        return changed, drawn | ({"second": names[blend.second], "share": blend.share} if blend.share != 1 else {})

    return _useful(pixels, draw)


def _useful(pixels: colours.Pixels, draw: Draw) -> Change:
    """Draw until the root mean square of the change is within bounds."""
    for rejected in range(DRAWS):
        found, drawn = draw()
        if found is not None:
            result = np.clip(found, 0, 255).astype(np.float64)
            size = np.sqrt(np.mean((result - pixels) ** 2))
            if illumination.SMALLEST_CHANGE <= size <= illumination.LARGEST_CHANGE:
                return Change(result, rejected, drawn)
    return Change(None, DRAWS)
