"""Colour changes of a set of pixels: Lab statistics, histograms, camera adjustments, polynomial terms.

Pixels are columns, (3,N): each channel then lies in one piece of memory, and every step is a few passes over it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""(3,N), sRGB."""
Floats = npt.NDArray[np.float32]

MAX_CONTRAST = 2.0
"""Largest factor by which a donor may raise a channel's deviation."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


_LEVELS = np.arange(256) / 255
SRGB_DECODE = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""(256,) linear light 0..1 of each 8-bit level."""
# Fine enough for 0.2 levels where the curve is steepest; a power per value would cost ten times as much.
_LIGHT = np.linspace(0, 1, 16385)
SRGB_ENCODE = (255 * np.where(_LIGHT <= 0.0031308, _LIGHT * 12.92, 1.055 * _LIGHT ** (1 / 2.4) - 0.055)).astype(
    np.float32
)
"""(16385,) 8-bit scale 0..255 of linear light 0..1."""
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
XYZ_FROM_RGB = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)  # divided by the white point
RGB_FROM_XYZ = np.linalg.inv(XYZ_FROM_RGB).astype(np.float32)


def polynomial_terms(rgb: Floats) -> Floats:  # (3,N) -> (11,N)
    """Return R, G, B, RG, RB, GB, R^2, G^2, B^2, RGB, 1: what an illumination map multiplies."""
    terms = np.empty((11, rgb.shape[1]), np.float32)
    terms[:3] = rgb
    np.multiply(rgb[0], rgb[1:], out=terms[3:5])
    np.multiply(rgb[1], rgb[2], out=terms[5])
    np.multiply(rgb, rgb, out=terms[6:9])
    np.multiply(terms[3], rgb[2], out=terms[9])
    terms[10] = 1
    return terms


def _encode(light: Floats) -> Floats:
    index = (np.clip(light, 0, 1) * 16384 + 0.5).astype(np.int32)
    encoded: Floats = SRGB_ENCODE[index]
    return encoded


def lab_from_rgb(pixels: Pixels) -> Floats:  # (3,N) -> (3,N)
    """Convert 8-bit sRGB to CIE Lab (D65): L 0..100, a and b about -110..110."""
    xyz = XYZ_FROM_RGB @ SRGB_DECODE[pixels]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + np.float32(16 / 116))
    return np.stack((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])))


def rgb_from_lab(lab: Floats) -> Floats:  # (3,N) -> (3,N)
    """Convert CIE Lab to sRGB as float32 in 0..255, clipped to the gamut, not rounded."""
    y = (lab[0] + 16) / 116
    f = np.stack((y + lab[1] / 500, y, y - lab[2] / 200))
    xyz = np.where(f > 6 / 29, f * f * f, (f - np.float32(16 / 116)) / 7.787)
    return _encode(RGB_FROM_XYZ @ xyz)


def transfer_lab(pixels: Pixels, donor: Pixels) -> Floats:  # (3,N), (3,M) -> (3,N)
    """Give the pixels the donor's mean and deviation in each Lab channel; 0..255."""
    lab, target = lab_from_rgb(pixels), lab_from_rgb(donor)
    mean = lab.mean(axis=1, keepdims=True)
    # Bounded: a flat foreground would have its noise blown up, a flat donor would erase all texture.
    ratio = np.clip(target.std(axis=1) / (lab.std(axis=1) + np.float32(1e-3)), 1 / MAX_CONTRAST, MAX_CONTRAST)
    return rgb_from_lab((lab - mean) * ratio[:, None] + target.mean(axis=1, keepdims=True))


def match_histogram(pixels: Pixels, donor: Pixels) -> Floats | None:  # (3,N), (3,M) -> (3,N)
    """Give each colour channel the donor's histogram, 0..255; None if that would only blow up a flat area's noise."""
    if np.any(donor.std(axis=1) > MAX_CONTRAST * pixels.std(axis=1)):
        return None
    return np.stack([_matching_curve(x, y)[x] for x, y in zip(pixels, donor, strict=True)])


def _matching_curve(x: Pixels, y: Pixels) -> Floats:  # (N,), (M,) -> (256,)
    ranks, target = (np.cumsum(np.bincount(channel, minlength=256)) / channel.size for channel in (x, y))
    # Strictly rising, as interp requires: empty levels would otherwise repeat the same rank.
    return np.interp(ranks, target + 1e-9 * np.arange(256), np.arange(256)).astype(np.float32)


def adjust(pixels: Pixels, rng: np.random.Generator) -> Floats:  # (3,N) -> (3,N)
    """Change exposure, white balance, gamma, contrast and saturation, each by a random amount; about 0..255."""
    gain = (2 ** (rng.uniform(-1.3, 1.0) + rng.uniform(-0.45, 0.45, (3, 1)))).astype(np.float32)
    curve = (_encode(gain * SRGB_DECODE) / 255) ** np.float32(2 ** rng.uniform(-0.4, 0.4))
    curve = 127.5 + np.float32(rng.uniform(0.65, 1.2)) * (255 * curve - 127.5)
    values = np.stack([channel[x] for channel, x in zip(curve, pixels, strict=True)])
    grey = LUMA @ values
    adjusted: Floats = grey + np.float32(rng.uniform(0.6, 1.4)) * (values - grey)
    return adjusted


def luma_test(before: Floats) -> Callable[[Floats], bool]:
    """Return the test whether clipped values' luma correlates with that of `before` by more than 0.95."""
    x = LUMA @ before
    x -= x.mean()
    norm = float(x @ x)

    def keeps_luma(after: Floats) -> bool:
        y = LUMA @ np.clip(after, 0, 255)
        y -= y.mean()
        product = float(x @ y)
        return product > 0 and product * product > 0.95**2 * norm * float(y @ y)

    return keeps_luma
