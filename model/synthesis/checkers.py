"""Colour checkers: readings of their 24 patches, and the two colour maps that are fitted to them.

A map takes a photo's colours to what they are under the standard illumination, or back. Both are polynomials of 11
terms in 8-bit sRGB values as they are stored, fitted by least squares, as ccHarmony's are (Niu et al., 2022).
"""

import csv
import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hdnet.model.training.composites.illumination import IlluminationMaps
from hdnet.transforms.errors import DatasetError
from hdnet.transforms.pixels import polynomial

Values = npt.NDArray[np.float64]

PATCHES = 24
CHART: Values = np.array(
    [
        [(245, 245, 243), (200, 202, 202), (161, 163, 163), (121, 121, 122), (82, 84, 86), (49, 49, 51)],
        [(35, 63, 147), (67, 149, 74), (180, 49, 57), (238, 198, 20), (193, 84, 151), (0, 136, 170)],
        [(224, 124, 47), (68, 91, 170), (198, 82, 97), (94, 58, 106), (159, 189, 63), (230, 162, 39)],
        [(116, 81, 67), (199, 147, 129), (91, 122, 156), (90, 108, 64), (130, 128, 176), (92, 190, 172)],
    ],
    np.float64,
).reshape(PATCHES, 3)
"""The patches under the standard illumination (ColorChecker 2005), sRGB 0..255: bottom row first, white to black."""

LARGEST_RESIDUAL = 30.0
"""Root mean square of what a fit leaves, in levels: ccHarmony's photos have 5, at most 24; patches in another order
have 38 or more."""


def parse(text: str, name: str) -> Values:  # (24,3)
    """Read the mean colours of a photo's patches from CSV.

    Args:
        text: A line a patch of R, G and B, 0..255, in the order of `CHART`; the first line may be a header.
        name: The file's, for messages.

    Raises:
        DatasetError: There are not 24 lines of three such numbers, or the colours are not those of a checker.
    """
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    try:
        values = np.array(rows[-PATCHES:], np.float64)
    except ValueError as error:
        raise _unusable(name, f"a line is not R, G, B: {error}") from error
    if values.shape != (PATCHES, 3) or len(rows) > PATCHES + 1:
        raise _unusable(name, f"it has {len(rows)} lines of {len(rows[-1]) if rows else 0} values")
    if not ((values >= 0) & (values <= 255)).all():
        raise _unusable(name, f"a value is outside 0..255: {values.min():g} to {values.max():g}")
    residual = float(np.sqrt(np.mean((_fit(values, CHART) @ polynomial.terms(values.T) - CHART.T) ** 2)))
    if residual > LARGEST_RESIDUAL:
        raise _unusable(name, f"its colours miss a checker's by {residual:.0f} levels; are the patches in this order?")
    return values


def maps(readings: Mapping[str, Values]) -> IlluminationMaps:
    """Fit the maps of photos from readings of the colour checkers in them, (24,3) each.

    Raises:
        DatasetError: There are fewer than two readings.
    """
    if len(readings) < 2:
        raise DatasetError(f"a change of illumination needs the checkers of two photos, and there is {len(readings)}")
    forward, reverse = zip(*map(fit, readings.values()), strict=True)
    return IlluminationMaps(
        names=tuple(readings),
        to_standard=np.stack(forward),
        from_standard=np.stack(reverse),
        sources=np.arange(len(readings)),
    )


def fit(readings: Values) -> tuple[Values, Values]:
    """Fit the map from a photo's colours to the standard illumination's, and the map back, (3,11) each.

    They are two fits, not inverses of each other.

    Args:
        readings: (24,3), as `parse` gives them.
    """
    return _fit(readings, CHART), _fit(CHART, readings)


def _fit(before: Values, after: Values) -> Values:  # (24,3), (24,3) -> (3,11)
    return np.linalg.lstsq(polynomial.terms(before.T).T, after, rcond=None)[0].T.astype(np.float64, copy=False)


def _unusable(name: str, why: str) -> DatasetError:
    return DatasetError(
        f"{name}: {why}; a reading has {PATCHES} lines of R, G, B in 0..255, from the chart's bottom row (white to"
        " black, left to right) to its top row"
    )
