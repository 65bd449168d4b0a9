"""The rules for values: rounding, depth, brightness, thresholds."""

import numpy as np
import pytest

from hdnet.transforms.pixels import image


def test_rounding_clamps_and_takes_halves_to_even():
    values = np.array([-3.0, 0.5, 1.5, 2.5, 254.4, 254.5, 400.0])
    assert image.quantise(values, np.uint8).tolist() == [0, 0, 2, 2, 254, 254, 255]


def test_sixteen_bits_are_rounded_to_the_nearest_of_eight():
    values = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(image.to_8_bit(values), np.rint(values / 257).astype(np.uint8))
    assert np.array_equal(image.to_8_bit(np.arange(256, dtype=np.uint8)), np.arange(256))


def test_the_brightness_of_equal_channels_is_their_value():
    values = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(image.luma(np.stack([values] * 3, axis=1)[None])[0], values)
    assert image.luma(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)).tolist() == [[76, 150, 29]]


def test_a_soft_mask_is_made_from_any_scale():
    assert image.soft_mask(np.array([[True, False]])).tolist() == [[255, 0]]
    assert image.soft_mask(np.array([[0, 1]], np.uint16)).tolist() == [[0, 255]]
    assert image.soft_mask(np.array([[0, 32896, 65535]], np.uint16)).tolist() == [[0, 128, 255]]


def test_foreground_starts_at_128():
    assert image.threshold(np.array([[0, 127, 128, 255]], np.uint8)).tolist() == [[False, False, True, True]]
    assert image.threshold(np.array([[True, False]])).tolist() == [[True, False]]


@pytest.mark.parametrize("width", [60, 64, 1000])
def test_a_sample_sees_every_column(width):
    inside = np.zeros((500, width), np.bool_)
    inside[:, width // 2] = True
    every = image.sample(inside, 500 // 64)
    assert np.count_nonzero(inside.reshape(-1)[every]) >= 4


def test_blocks_leave_out_what_has_no_foreground():
    inside = np.zeros(100, np.bool_)
    inside[35] = True
    assert list(image.blocks(inside, 10)) == [slice(30, 40)] and not list(image.blocks(inside[:30], 10))
