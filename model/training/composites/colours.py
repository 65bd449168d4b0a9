"""Colour changes of a set of pixels: Lab statistics, histograms, camera adjustments.

Pixels are columns, (3,N): each channel then lies in one piece of memory, and every step is a few passes over it.
"""

import dataclasses
from collections.abc import Callable
from typing import Self

import numpy as np
import numpy.typing as npt

from hdnet.transforms.pixels import lab
from hdnet.transforms.pixels.image import LUMA

Pixels = npt.NDArray[np.uint8]
"""(3,N), sRGB."""

MAX_CONTRAST = 2.0
"""Largest factor by which a donor may raise a channel's deviation."""


def transfer_lab(pixels: Pixels, donor: Pixels) -> lab.Floats:  # (3,N), (3,M) -> (3,N)
    """Give the pixels the donor's mean and deviation in each Lab channel; 0..255."""
    own, target = lab.from_rgb(pixels), lab.from_rgb(donor)
    mean = own.mean(axis=1, keepdims=True)
    # Bounded: a flat foreground would have its noise blown up, a flat donor would erase all texture.
    ratio = np.clip(target.std(axis=1) / (own.std(axis=1) + np.float32(1e-3)), 1 / MAX_CONTRAST, MAX_CONTRAST)
    return lab.to_rgb((own - mean) * ratio[:, None] + target.mean(axis=1, keepdims=True))


def match_histogram(pixels: Pixels, donor: Pixels) -> lab.Floats | None:  # (3,N), (3,M) -> (3,N)
    """Give each colour channel the donor's histogram, 0..255; None if that would only blow up a flat area's noise."""
    if np.any(donor.std(axis=1) > MAX_CONTRAST * pixels.std(axis=1)):
        return None
    return np.stack([_matching_curve(x, y)[x] for x, y in zip(pixels, donor, strict=True)])


def _matching_curve(x: Pixels, y: Pixels) -> lab.Floats:  # (N,), (M,) -> (256,)
    ranks, target = (np.cumsum(np.bincount(channel, minlength=256)) / channel.size for channel in (x, y))
    # Strictly rising, as interp requires: empty levels would otherwise repeat the same rank.
    return np.interp(ranks, target + 1e-9 * np.arange(256), np.arange(256)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Camera:
    """What a camera is set to, beside how a photo was taken.

    Attributes:
        stops: Exposure of red, green and blue.
        gamma: Exponent of the tone curve.
        contrast: Factor, about middle grey.
        saturation: Factor, about each colour's own grey.
    """

    stops: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Draw each setting at random."""
        red, green, blue = (rng.uniform(-1.3, 1.0) + rng.uniform(-0.45, 0.45, 3)).tolist()
        return cls((red, green, blue), 2 ** rng.uniform(-0.4, 0.4), rng.uniform(0.65, 1.2), rng.uniform(0.6, 1.4))


def adjust(pixels: Pixels, camera: Camera) -> lab.Floats:  # (3,N) -> (3,N)
    """Show pixels as a camera with other settings would have taken them; about 0..255."""
    gain = (2 ** np.array(camera.stops)[:, None]).astype(np.float32)
    curve = (lab.encode(gain * lab.LIGHT[pixels.dtype]) / 255) ** np.float32(camera.gamma)
    curve = 127.5 + np.float32(camera.contrast) * (255 * curve - 127.5)
    values = np.stack([channel[x] for channel, x in zip(curve, pixels, strict=True)])
    grey = LUMA @ values
    adjusted: lab.Floats = grey + np.float32(camera.saturation) * (values - grey)
    return adjusted


def luma_test(before: lab.Floats) -> Callable[[lab.Floats], bool]:
    """Return the test whether clipped values' luma correlates with that of `before` by more than 0.95."""
    x = LUMA @ before
    x -= x.mean()
    norm = float(x @ x)

    def keeps_luma(after: lab.Floats) -> bool:
        y = LUMA @ np.clip(after, 0, 255)
        y -= y.mean()
        product = float(x @ y)
        return product > 0 and product * product > 0.95**2 * norm * float(y @ y)

    return keeps_luma
