"""Scale, padding and blending."""

import numpy as np
import pytest
import torch

from hdnet.transforms import errors
from hdnet.transforms.pixels import image, tensor


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_survives_the_way_there_and_back(dtype):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    pixels = np.stack([values, values[::-1], values], axis=-1).reshape(16, -1, 3)
    back = image.quantise(tensor.unscale(tensor.to_tensor(pixels), dtype), dtype)
    assert np.array_equal(back, pixels)


def test_to_tensor_puts_the_ends_at_minus_one_and_one():
    pixels = np.array([[[0, 51, 255], [255, 0, 204]]], np.uint8)
    result = tensor.to_tensor(pixels)
    assert result.shape == (1, 3, 1, 2) and result.dtype == torch.float32
    assert torch.allclose(result[0, :, 0], torch.tensor([[-1.0, 1.0], [-0.6, -1.0], [1.0, 0.6]]), atol=1e-6)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_to_tensor_refuses_other_arrays(pixels):
    with pytest.raises(errors.ShapeError, match="uint8 or uint16, not"):
        tensor.to_tensor(pixels)


def test_unscaled_results_round_at_both_depths():
    network = torch.tensor([-7.0, 0.0, 7.0]).reshape(1, 3, 1, 1)
    found = {dtype: image.quantise(tensor.unscale(network, dtype), dtype).tolist() for dtype in (np.uint8, np.uint16)}
    assert found == {np.uint8: [[[0, 128, 255]]], np.uint16: [[[0, 32768, 65535]]]}  # 127.5 goes to the even 128
    assert tensor.unscale(network.bfloat16(), np.uint8).dtype == np.float32


def test_unscale_clamps_and_does_not_round():
    assert tensor.unscale(torch.tensor([-7.0, 0.0, 7.0]).reshape(1, 3, 1, 1), np.uint8).tolist() == [[[0, 127.5, 255]]]
    assert tensor.unscale(torch.full((1, 3, 1, 1), -0.99), np.uint8) == pytest.approx(1.275, abs=1e-5)
    with pytest.raises(errors.ShapeError, match=r"\(2, 3, 4, 4\)"):
        tensor.unscale(torch.zeros(2, 3, 4, 4), np.uint8)


def test_mask_to_tensor_is_zero_or_one():
    soft = tensor.mask_to_tensor(np.array([[0, 127], [128, 255]], np.uint8))
    assert soft.dtype == torch.float32 and soft.tolist() == [[[[0.0, 0.0], [1.0, 1.0]]]]
    assert tensor.mask_to_tensor(np.array([[True, False]])).tolist() == [[[[1.0, 0.0]]]]
    with pytest.raises(errors.ShapeError, match=r"\(2, 2, 1\)"):
        tensor.mask_to_tensor(np.zeros((2, 2, 1), np.uint8))


@pytest.mark.parametrize("height, width", [(1, 1), (3, 17), (8, 16), (9, 15)])
def test_pad_repeats_the_edge_and_crop_undoes_it(height, width):
    original = torch.rand(2, 3, height, width)
    padded = tensor.pad(original, height + -height % 8, width + -width % 8)
    expected = np.pad(original.numpy(), [(0, 0), (0, 0), (0, -height % 8), (0, -width % 8)], mode="edge")
    assert np.array_equal(padded.numpy(), expected)
    assert torch.equal(tensor.crop(padded, height, width), original)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blend_keeps_the_background_and_takes_the_result(dtype):
    random = np.random.default_rng(0)
    full = np.iinfo(dtype).max
    composite = random.integers(0, full, (16, 16, 3), dtype=dtype, endpoint=True)
    result = (random.random((16, 16, 3)) * full).astype(np.float32)
    mask = random.integers(0, 256, (16, 16), dtype=np.uint8)
    mask[:4], mask[4:8] = 0, 255
    result[:4] = np.nan  # what the network says where the mask is 0 must not matter
    blended = tensor.blend(composite, result, mask)
    assert blended.dtype == dtype and np.array_equal(blended[:4], composite[:4])
    assert np.array_equal(blended[4:8], np.rint(result[4:8]).astype(dtype))
    coverage = mask[8:, :, None] / 255
    exact = composite[8:] + coverage * (result[8:].astype(np.float64) - composite[8:])
    assert np.abs(blended[8:] - exact).max() < 0.51


def test_blend_rounds_once_at_the_end():
    composite = np.zeros((1, 1, 3), np.uint8)
    result = np.full((1, 1, 3), 0.7, np.float32)  # 0.7 * 0.6 rounds to 0; rounded to 1 before, 1 * 0.6 would give 1
    assert tensor.blend(composite, result, np.full((1, 1), 153, np.uint8)).max() == 0


@pytest.mark.parametrize("mask", [np.zeros((4, 5), np.uint8), np.zeros((4, 4), np.bool_)])
def test_blend_refuses_what_does_not_fit(mask):
    with pytest.raises(errors.ShapeError, match="do not fit"):
        tensor.blend(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32), mask)
