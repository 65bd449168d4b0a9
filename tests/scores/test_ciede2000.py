"""CIEDE2000 in float32 against scikit-image's in float64."""

import numpy as np
from skimage import color

from hdnet.transforms.scores import ciede2000


def test_it_equals_scikit_image():
    random = np.random.default_rng(0)
    first = random.uniform([[0], [-90], [-90]], [[100], [90], [90]], (3, 20_000)).astype(np.float32)
    second = (first + random.normal(0, 8, first.shape)).astype(np.float32)
    first[1:, :100] = second[1:, 50:150] = 0  # greys, on one side and on both
    found = ciede2000.difference(first, second)
    wanted = color.deltaE_ciede2000(first.astype(np.float64), second.astype(np.float64), channel_axis=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert not ciede2000.difference(first, first).any()
