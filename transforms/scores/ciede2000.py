"""CIEDE2000, the difference of two colours as people see it: Sharma, Wu and Dalal (2005), in float32.

scikit-image computes the same in float64 and takes eight times as long; tests compare the two.
"""

import math

import numpy as np

from hdnet.transforms.pixels.lab import Floats

_TURN = 2 * math.pi  # a Python number, beside which float32 stays float32
_HALF = np.float32(0.5)
_FAR = np.float32(60)  # a squared distance whose exponential is nothing, and not yet so little that computing is slow


def difference(first: Floats, second: Floats) -> Floats:  # (3,N) twice -> (N,)
    """Return the difference of each pair of CIELAB colours; about 1 is just visible."""
    greyness = 1.5 - 0.5 * _saturation(_HALF * (_length(*first[1:]) + _length(*second[1:])))
    (chroma1, hue1), (chroma2, hue2) = (_polar(a * greyness, b) for _, a, b in (first, second))
    turned = hue2 - hue1
    turned -= _TURN * np.rint(turned * (1 / _TURN))
    turned *= _HALF
    hue, both = hue1 + turned, chroma1 * chroma2
    if (grey := both == 0).any():  # a grey has no hue, and the other colour's counts
        hue[grey] = (hue1 + hue2)[grey]
    hue -= _TURN * np.floor(hue * (1 / _TURN))
    chroma, light = _HALF * (chroma1 + chroma2), (_HALF * (first[0] + second[0]) - 50) ** 2
    of_light = (second[0] - first[0]) / (1 + 0.015 * light / np.sqrt(20 + light))
    of_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    of_hue = 2 * np.sqrt(both) * np.sin(turned) / (1 + 0.015 * chroma * _weight(hue))
    from_blue = ((hue - math.radians(275)) * (1 / math.radians(25))) ** 2
    angle = math.radians(60) * np.exp(-np.minimum(from_blue, _FAR))
    rotation = -2 * np.sin(angle) * _saturation(chroma)
    squared = of_light**2 + of_chroma**2 + of_hue**2 + rotation * of_chroma * of_hue
    found: Floats = np.sqrt(np.maximum(squared, 0))
    return found


def _length(a: Floats, b: Floats) -> Floats:
    found: Floats = a * a
    found += b * b
    return np.sqrt(found, out=found)


def _polar(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    return _length(a, b), np.arctan2(b, a)


def _saturation(chroma: Floats) -> Floats:
    """Return the root of c^7 / (c^7 + 25^7)."""
    square = chroma * chroma
    power = square * square
    power *= square
    power *= chroma
    power /= power + 25.0**7
    return np.sqrt(power, out=power)


def _weight(hue: Floats) -> Floats:
    """Return T, by which differences of hue count more in some hues than in others."""
    found: Floats = (
        1
        - 0.17 * np.cos(hue - math.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + math.radians(6))
        - 0.20 * np.cos(4 * hue - math.radians(63))
    )
    return found
