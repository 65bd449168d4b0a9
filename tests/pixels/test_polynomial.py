"""The terms of polynomial colour maps."""

import numpy as np
import pytest

from hdnet.transforms.pixels import polynomial


@pytest.mark.parametrize("dtype, error", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_a_map_equals_its_formula_term_by_term(dtype, error):
    m = np.random.default_rng(0).normal(size=11)
    r, g, b = 200.0, 90.0, 31.0
    quadratic = m[3] * r * g + m[4] * r * b + m[5] * g * b + m[6] * r * r + m[7] * g * g + m[8] * b * b
    expected = m[0] * r + m[1] * g + m[2] * b + quadratic + m[9] * r * g * b + m[10]
    terms = polynomial.terms(np.array([[r], [g], [b]], dtype))
    assert terms.dtype == dtype and float((m.astype(dtype) @ terms)[0]) == pytest.approx(expected, rel=error)
