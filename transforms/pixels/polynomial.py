"""Polynomial colour maps: the 11 terms of a colour that each of its new channels is a sum of."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Values = TypeVar("Values", npt.NDArray[np.float32], npt.NDArray[np.float64])

COUNT = 11


def terms(rgb: Values) -> Values:  # (3,N) -> (11,N)
    """Return R, G, B, RG, RB, GB, R^2, G^2, B^2, RGB and 1, which a map (3,11) multiplies, in the dtype of `rgb`."""
    result = np.empty((COUNT, rgb.shape[1]), rgb.dtype)
    result[:3] = rgb
    np.multiply(rgb[0], rgb[1:], out=result[3:5])
    np.multiply(rgb[1], rgb[2], out=result[5])
    np.multiply(rgb, rgb, out=result[6:9])
    np.multiply(result[3], rgb[2], out=result[9])
    result[10] = 1
    return result
