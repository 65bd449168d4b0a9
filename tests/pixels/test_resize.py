"""Images and masks at another size."""

import numpy as np
import pytest

from hdnet.transforms import errors
from hdnet.transforms.pixels import resize


def test_resize_image_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    small = resize.resize_image(stripes, 8, 16)
    assert small.shape == (8, 16, 3) and np.abs(small[:, 4:-4].astype(int) - 100).max() <= 8


def test_resize_image_is_bicubic():
    # Doubling samples a step at -0.25 and 0.25 of a pixel: the cubic kernel (a = -0.5) overshoots to either side.
    def cubic(x: float) -> float:
        return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2

    step = np.full((1, 8, 3), 50, np.uint8)
    step[:, 4:] = 150
    row = resize.resize_image(step, 1, 16)[0, 4:12, 0]
    before = [50 + 100 * cubic(1.75), 50 + 100 * cubic(1.25), 50 + 100 * (cubic(0.75) + cubic(1.75))]
    assert row[[1, 2, 3]].tolist() == pytest.approx(before, abs=0.51)


def test_resize_refuses_other_arrays():
    with pytest.raises(errors.ShapeError, match="uint16"):
        resize.resize_image(np.zeros((4, 4, 3), np.uint16), 2, 2)
    with pytest.raises(errors.ShapeError, match="bool"):
        resize.resize_hard_mask(np.zeros((4, 4), np.bool_), 2, 2)


def test_a_hard_mask_gets_no_value():
    mask = np.array([[0, 255], [7, 0]], np.uint8)
    assert resize.resize_hard_mask(mask, 4, 4).tolist() == [[0, 0, 255, 255]] * 2 + [[7, 7, 0, 0]] * 2
    stripes = np.tile(np.array([0, 255], np.uint8), (9, 9))
    assert set(resize.resize_hard_mask(stripes, 4, 7).flat) == {0, 255}


def test_a_soft_mask_stays_soft_and_keeps_its_ends():
    edge = np.repeat(np.array([[0, 0, 255, 255]], np.uint8), 4, axis=0)
    wide = resize.resize_soft_mask(edge, 4, 16)
    assert (wide[:, 0] == 0).all() and (wide[:, -1] == 255).all() and len(set(wide[0])) > 2
    assert resize.resize_soft_mask(edge, 2, 2).tolist() == [[36, 219]] * 2  # a triangle of twice the width: 1/7 beyond
