"""Colour changes: known values, round trips and the statistics they promise."""

import numpy as np

from hdnet.model.training.composites import colours
from hdnet.transforms.pixels import lab


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


def test_a_change_that_reorders_lightness_is_told_from_one_that_does_not() -> None:
    sample = np.tile(np.linspace(20, 120, 100, dtype=np.float32), (3, 1))
    keeps_luma, shuffled = colours.luma_test(sample), sample + 60
    assert keeps_luma(shuffled)
    shuffled[:, :40] = shuffled[:, 39::-1]
    assert not keeps_luma(shuffled) and not keeps_luma(255 - sample)
