"""Colour changes: known values, round trips and the statistics they promise."""

import numpy as np
import pytest

from hdnet.model.training.composites import colours
from hdnet.transforms.pixels import lab


def test_a_map_equals_its_formula_term_by_term() -> None:
    m = np.random.default_rng(0).normal(size=11)
    r, g, b = 200.0, 90.0, 31.0
    quadratic = m[3] * r * g + m[4] * r * b + m[5] * g * b + m[6] * r * r + m[7] * g * g + m[8] * b * b
    expected = m[0] * r + m[1] * g + m[2] * b + quadratic + m[9] * r * g * b + m[10]
    result = m.astype(np.float32) @ colours.polynomial_terms(np.array([[r], [g], [b]], np.float32))
    assert float(result[0]) == pytest.approx(expected, rel=1e-5)


def test_lab_transfer_takes_the_donors_statistics() -> None:
    pixels, donor = (np.random.default_rng(seed).integers(90, 150, (3, 500), np.uint8) for seed in (0, 1))
    donor[0] += 30
    result = lab.from_rgb(np.rint(colours.transfer_lab(pixels, donor)).astype(np.uint8))
    target = lab.from_rgb(donor)
    np.testing.assert_allclose(result.mean(axis=1), target.mean(axis=1), atol=0.3)
    np.testing.assert_allclose(result.std(axis=1), target.std(axis=1), atol=0.3)


def test_histogram_matching_takes_the_donors_quantiles() -> None:
    pixels, donor = (np.random.default_rng(seed).integers(40, 140, (3, 3000), np.uint8) for seed in (0, 1))
    donor += 60
    result = colours.match_histogram(pixels, donor)
    assert result is not None
    np.testing.assert_allclose(
        np.quantile(result, (0.1, 0.5, 0.9), axis=1), np.quantile(donor, (0.1, 0.5, 0.9), axis=1), atol=3
    )


def test_histogram_matching_refuses_to_blow_up_a_flat_area() -> None:
    donor = np.random.default_rng(0).integers(0, 256, (3, 500), np.uint8)
    assert colours.match_histogram(np.full((3, 500), 90, np.uint8), donor) is None
