"""Scores without a reference, compared with plain formulas over the whole image."""

import dataclasses
import math

import numpy as np
import pytest
from skimage import color

from hdnet.transforms import errors
from hdnet.transforms.scores import appearance


def square(size=16):
    foreground = np.zeros((size, size), np.bool_)
    foreground[4:8, 4:12] = True  # 32 of 256 pixels
    return foreground


def flat(*colour, size=16):
    return np.full((size, size, 3), colour, np.uint8)


def plain_gap(pixels, foreground):
    values = color.rgb2lab(pixels / np.iinfo(pixels.dtype).max)
    fore, back = (np.r_[part.mean(axis=0), part.std(axis=0)] for part in (values[foreground], values[~foreground]))
    return np.linalg.norm(fore - back)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strips_add_up_to_the_plain_formulas(dtype, monkeypatch):
    monkeypatch.setattr(appearance, "STRIP", 100)
    random, most = np.random.default_rng(0), np.iinfo(dtype).max
    foreground = random.random((30, 41)) < 0.3
    foreground[:5] = False  # strips with nothing to do
    composite = random.integers(0, most, (30, 41, 3), dtype, endpoint=True)
    edge = foreground | (random.random((30, 41)) < 0.05) & (np.arange(30) > 5)[:, None]
    result = np.where(edge[..., None], random.integers(0, most, composite.shape, dtype, endpoint=True), composite)
    found = appearance.compare(composite, result, foreground)
    first, second = (color.rgb2lab(image[foreground] / most) for image in (composite, result))
    ends = [((image[foreground] == 0) | (image[foreground] == most)) for image in (composite, result)]
    assert found.foreground_ratio == foreground.mean()
    assert found.delta_e == pytest.approx(color.deltaE_ciede2000(first, second).mean(), abs=1e-3)
    assert found.gap_before == pytest.approx(plain_gap(composite, foreground), abs=1e-3)
    assert found.gap_after == pytest.approx(plain_gap(result, foreground), abs=1e-3)
    assert found.clipped_ratio == pytest.approx(ends[1].mean())
    assert found.newly_clipped_ratio == pytest.approx((ends[1].any(axis=1) & ~ends[0].any(axis=1)).mean())


def test_delta_e_of_black_and_white_is_100_inside_only():
    result = flat(0, 0, 0)
    result[square()] = 255
    assert appearance.compare(flat(0, 0, 0), result, square()).delta_e == pytest.approx(100, abs=0.01)
    assert appearance.compare(flat(0, 0, 0), result, ~square()).delta_e == 0


def test_gap_is_the_distance_of_means_and_spreads():
    # White half, black half (L 100 and 0: mean 50, spread 50) on black (0, 0): sqrt(50^2 + 50^2).
    result = flat(0, 0, 0)
    result[4:6, 4:12] = 255
    found = appearance.compare(flat(9, 90, 200), result, square())
    assert found.gap_before == pytest.approx(0, abs=1e-3)
    assert found.gap_after == pytest.approx(math.hypot(50, 50), abs=0.01)


def test_clipping_counts_values_and_new_clipping_counts_pixels():
    composite, result = flat(100, 100, 100), flat(100, 100, 100)
    result[0] = 0  # outside the mask: not counted
    composite[4, 4] = result[4, 4] = 255
    result[5, 4:8, 1:] = 0
    found = appearance.compare(composite, result, square())
    assert found.clipped_ratio == pytest.approx((3 + 8) / 96)
    assert found.newly_clipped_ratio == pytest.approx(4 / 32)


def test_what_is_not_wanted_is_left_out_and_the_rest_stays():
    composite, result = flat(100, 100, 100), flat(100, 100, 100)
    result[5, 4:8, 1:] = 0
    whole, cheap = (appearance.compare(composite, result, square(), colours=colours) for colours in (True, False))
    assert dataclasses.replace(whole, delta_e=None, gap_before=None, gap_after=None) == cheap
    assert appearance.coverage(square()) == dataclasses.replace(cheap, clipped_ratio=None, newly_clipped_ratio=None)


@pytest.mark.parametrize("share", [0, 1])
def test_an_empty_region_has_no_gap(share):
    found = appearance.compare(flat(0, 0, 0), flat(0, 0, 0), np.full((16, 16), bool(share)))
    assert found.gap_before is found.gap_after is None
    assert found.foreground_ratio == share
    assert (found.delta_e is None) is (found.clipped_ratio is None) is (share == 0)


def test_what_does_not_fit_is_an_error():
    with pytest.raises(errors.ShapeError, match="one size"):
        appearance.compare(flat(0, 0, 0), flat(0, 0, 0), square(24))


def test_large_images_are_measured_in_rows_and_small_regions_in_all_of_theirs(monkeypatch):
    monkeypatch.setattr(appearance, "SAMPLE", 1000)
    random = np.random.default_rng(0)
    composite = random.integers(0, 255, (300, 100, 3), np.uint8, endpoint=True)
    result, masks = composite // 2, np.zeros((3, 300, 100), np.bool_)
    masks[0, 11:277, :90] = masks[1, 31:40] = masks[2, :-1] = True
    for foreground, rows in zip(masks, (slice(11 % 4, None, 4), slice(None), slice(None)), strict=True):
        found = appearance.compare(composite, result, foreground)
        inside = foreground[rows]
        first, second = (color.rgb2lab(image[rows][inside] / 255) for image in (composite, result))
        assert found.delta_e == pytest.approx(color.deltaE_ciede2000(first, second).mean(), abs=1e-3)
        assert found.gap_before == pytest.approx(plain_gap(composite[rows], inside), abs=1e-3)
        assert found.clipped_ratio == pytest.approx(((result == 0) | (result == 255))[foreground].mean())


@pytest.mark.parametrize("rows", [slice(1, None, 2), slice(-1, None), slice(5, 15)])
def test_no_region_is_missed(monkeypatch, rows):
    monkeypatch.setattr(appearance, "SAMPLE", 1000)
    foreground = np.ones((1300, 100), np.bool_)
    foreground[rows, : 100 if rows.step else 10] = False
    for mask in (foreground, ~foreground):
        sampled = mask[appearance._sampled_rows(mask)]
        assert sampled.any() and not sampled.all()


def test_a_tiny_background_is_measured_as_exactly():
    random, foreground = np.random.default_rng(0), np.ones((700, 700), np.bool_)
    foreground[350, 350] = False
    pixels = random.integers(0, 255, (700, 700, 3), np.uint8, endpoint=True)
    found = appearance.compare(pixels, pixels // 2, foreground)
    assert found.gap_before == pytest.approx(plain_gap(pixels, foreground), abs=1e-3)
    assert found.gap_after == pytest.approx(plain_gap(pixels // 2, foreground), abs=1e-3)
