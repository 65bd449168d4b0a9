"""sRGB to CIELAB and back: known colours, another implementation, the round trip."""

import numpy as np
import pytest
from skimage import color

from hdnet.transforms.pixels import lab

GRID = np.mgrid[0:256:15, 0:256:15, 0:256:15].reshape(3, -1)


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 257)])
def test_every_colour_is_scikit_images(dtype, scale):
    expected = color.rgb2lab(GRID / 255, channel_axis=0)
    np.testing.assert_allclose(lab.from_rgb((GRID * scale).astype(dtype)), expected, atol=0.01)


def test_known_colours():
    values = lab.from_rgb(np.array([[255, 255, 0], [255, 0, 0], [255, 0, 0]], np.uint8))
    np.testing.assert_allclose(values.T, np.array([[100, 0, 0], [53.24, 80.09, 67.20], [0, 0, 0]]), atol=0.05)


def test_the_way_back_stays_within_one_level():
    back = np.rint(lab.to_rgb(lab.from_rgb(GRID.astype(np.uint8))))
    assert np.abs(back - GRID).max() <= 1
