"""Reinhard's colour transfer."""

import numpy as np
import numpy.typing as npt
import pytest
from skimage import color

from hdnet.model.evaluation import baseline
from hdnet.transforms import errors


def scene(dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    values = rng.normal(120, 12, (24, 32, 3)) + [20, 0, -10]
    mask = np.zeros((24, 32), np.uint8)
    mask[6:18, 8:24] = 255
    values[mask > 0] = values[mask > 0] * 0.6 + [0, 10, 30]
    return (np.clip(values, 0, 255) * (np.iinfo(dtype).max // 255)).astype(dtype), mask


@pytest.mark.parametrize("dtype, tolerance", [(np.uint8, 0.3), (np.uint16, 0.01)])
def test_the_foreground_takes_the_backgrounds_statistics(dtype: type[np.uint8], tolerance: float) -> None:
    composite, mask = scene(dtype)
    result = baseline.reinhard(composite, mask)
    lab, inside = color.rgb2lab(result / np.iinfo(dtype).max), mask > 0
    assert result.dtype == dtype and np.array_equal(result[~inside], composite[~inside])
    np.testing.assert_allclose(lab[inside].mean(0), lab[~inside].mean(0), atol=tolerance)
    np.testing.assert_allclose(lab[inside].std(0), lab[~inside].std(0), atol=tolerance)


def test_a_soft_edge_is_moved_and_blended() -> None:
    composite, mask = scene()
    mask[6] = mask[6] // 255 * 100  # below the threshold: no part of the statistics
    hard = np.where(mask >= 128, mask, 0).astype(np.uint8)
    soft_result, hard_result = baseline.reinhard(composite, mask), baseline.reinhard(composite, hard)
    assert not np.array_equal(soft_result[6, 8:24], composite[6, 8:24])
    assert np.array_equal(hard_result[6], composite[6])


@pytest.mark.parametrize("value", [0, 255])
def test_without_foreground_or_background_nothing_changes(value: int) -> None:
    composite, mask = scene()
    assert np.array_equal(baseline.reinhard(composite, np.full_like(mask, value)), composite)


def test_a_flat_foreground_stays_flat() -> None:
    composite, mask = scene()
    composite[mask > 0] = (10, 200, 30)
    assert np.ptp(baseline.reinhard(composite, mask)[mask > 0], axis=0).max() == 0


def test_colours_outside_the_gamut_are_clipped_without_a_warning() -> None:
    composite, mask = scene()
    composite[mask == 0] = np.random.default_rng(1).choice([0, 255], (int((mask == 0).sum()), 3))
    assert np.ptp(baseline.reinhard(composite, mask)[mask > 0]) == 255


def test_sizes_must_agree() -> None:
    with pytest.raises(errors.ShapeError, match=r"\(5, 5\)"):
        baseline.reinhard(scene()[0], np.full((5, 5), 200, np.uint8))
