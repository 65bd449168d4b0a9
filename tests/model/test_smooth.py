"""One smooth colour map for an object."""

import dataclasses

import numpy as np
import pytest

from hdnet.model import architectures, smooth
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.weights import weights_file
from tests.training.test_augment import photo, square


def mapped(pixels):
    return 0.8 * pixels + 0.0005 * pixels**2 + [3.0, -4.0, 5.0]


@pytest.mark.parametrize("scale", [1, 257])
def test_a_smooth_change_stays_and_noise_goes(scale):
    composite = photo() * np.uint16(scale) if scale > 1 else photo()
    wanted = mapped(composite / scale) * scale
    noise = np.random.default_rng(0).normal(0, 5 * scale, wanted.shape)
    result = np.where(square()[..., None], wanted + noise, composite).astype(np.float32)
    smooth.smooth_change(result, composite, square(), 1.0)
    assert np.abs(result - wanted)[square()].mean() < 0.8 * scale
    np.testing.assert_array_equal(result[~square()], composite[~square()])


def test_a_share_goes_part_of_the_way(monkeypatch):
    monkeypatch.setattr(smooth, "BLOCK", 100)  # several blocks
    rough = (photo() + np.random.default_rng(0).normal(0, 9, photo().shape)).astype(np.float32)
    whole, half, none = rough.copy(), rough.copy(), rough.copy()
    for result, share in ((whole, 1.0), (half, 0.5), (none, 0.0)):
        smooth.smooth_change(result, photo(), square(), share)
    np.testing.assert_allclose(half, (whole + rough) / 2, atol=1e-3)
    np.testing.assert_array_equal(none, rough)


def test_too_few_pixels_and_flat_colours_are_left_or_met():
    tiny = np.zeros((64, 64), np.bool_)
    tiny[:5, :5] = True
    result = np.zeros((64, 64, 3), np.float32)
    smooth.smooth_change(result, photo(), tiny, 1.0)
    assert not result.any()
    flat = np.full((64, 64, 3), 90, np.uint8)
    result[:] = 120
    smooth.smooth_change(result, flat, square(), 1.0)
    np.testing.assert_allclose(result, 120, atol=0.1)


def test_the_weights_card_says_how_far(tmp_path):
    network = architectures.build("hdnet-lite", {"width": 1})
    weights_file.save(network, tmp_path / "plain.safetensors", {})
    weights_file.save(network, tmp_path / "smooth.safetensors", {"smoothing": 1.0})
    plain, smoothing = (Harmonizer.load(tmp_path / f"{name}.safetensors") for name in ("plain", "smooth"))
    assert plain.smoothing == 0.0 and smoothing.smoothing == 1.0
    first, second = plain(photo(), square()), smoothing(photo(), square())
    assert (first != second).any()
    np.testing.assert_array_equal(dataclasses.replace(smoothing, smoothing=0.0)(photo(), square()), first)
