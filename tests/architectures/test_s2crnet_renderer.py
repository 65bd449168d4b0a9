"""Rendering at any size and depth against the equations and against the one blend."""

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from hdnet.model.architectures.s2crnet import renderer, thumbnails
from hdnet.model.architectures.s2crnet.config import S2CRNetConfig
from hdnet.model.architectures.s2crnet.network import CurveRenderingModule, S2CRNet
from hdnet.model.architectures.s2crnet.renderer import CurveRenderer
from hdnet.transforms import errors
from hdnet.transforms.pixels import image, tensor
from tests import s2crnet_oracle

SIDE = 256
"""Of the paper's thumbnails."""


def network(**fields):
    """A network with curves worth rendering: not far from the identity, and not it."""
    torch.manual_seed(0)
    built = S2CRNet(S2CRNetConfig(**fields)).eval()
    for stage in built.stages:
        assert isinstance(stage, CurveRenderingModule)
        torch.nn.init.normal_(stage.background.bias, 1, 0.4)
    return built


def example(size, dtype=np.uint8, soft=True):
    """A smooth picture with noise, and a disc as its mask."""
    height, width = size
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    picture = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) * (np.iinfo(dtype).max / 255)
    noisy = image.quantise(picture + rng.standard_normal(picture.shape) * np.iinfo(dtype).max / 64, dtype)
    y, x = np.mgrid[:height, :width]
    inside = 0.3 - np.hypot(y / height - 0.5, x / width - 0.6)
    return noisy, image.quantise(255 * np.clip(inside * 20 if soft else np.sign(inside), 0, 1), np.uint8)


def on_cpu(built=None):
    return CurveRenderer(built or network(), torch.device("cpu"), "float32")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("fields, label", [({}, None), ({"semantic": True, "stages": 3}, 2), ({"thumbnail": 96}, None)])
def test_images_come_out_as_the_equations_say(dtype, fields, label):
    composite, mask = example((300, 410), dtype)
    built = network(**fields)
    result = on_cpu(built)(composite, mask, label)
    highest = np.iinfo(dtype).max
    side = built.config.thumbnail
    expected = s2crnet_oracle.harmonize(built.state_dict(), composite, mask, side, label) * highest
    assert result.dtype == dtype
    # Thumbnails differ from Pillow's by a level here and there, and so does the result.
    assert np.abs(result - expected).max() < 0.51 + highest / 1000
    assert np.abs(result.astype(float) - composite).max() > highest / 50


@pytest.mark.parametrize("size", [(300, 410), (1030, 520), (40, 30), (3, 900)])
def test_thumbnails_are_pillows(size):
    composite, mask = example(size)
    box = thumbnails.find_box(mask)
    assert box is not None
    found = thumbnails.look(composite, mask, box, SIDE, torch.device("cpu"))
    for one, expected in zip(found, s2crnet_oracle.thumbnails(composite, mask, SIDE), strict=True):
        assert (one[0] - expected).abs().max() * 255 < 1.01


def test_strips_give_the_thumbnail_of_the_whole(monkeypatch):
    composite, mask = example((300, 410))
    whole = thumbnails.shrink(composite, mask, SIDE)
    monkeypatch.setattr(thumbnails, "STRIP", 5000)
    assert torch.equal(thumbnails.shrink(composite, mask, SIDE), whole)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("size", [(700, 800), (50, 60)])
def test_the_blend_is_the_one_blend(dtype, soft, size, monkeypatch):
    monkeypatch.setattr(renderer, "STRIP", 7000)
    composite, mask = example(size, dtype, soft)
    render = on_cpu()
    colours = render.colours(composite, mask)
    assert colours.dtype == np.float32
    assert np.array_equal(render(composite, mask), tensor.blend(composite, colours, mask))


def test_many_threads_give_the_same(monkeypatch):
    composite, mask = example((700, 800))
    expected = on_cpu()(composite, mask)
    monkeypatch.setattr(renderer, "LARGE", 1)
    torch.set_num_threads(3)
    assert np.array_equal(on_cpu()(composite, mask), expected)


def test_every_share_of_every_level_is_blended_as_a_pixel_is():
    table = np.random.default_rng(0).uniform(-40, 300, (3, 256)).astype(np.float32)
    composite = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
    mask = np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 256))
    expected = tensor.blend(composite, renderer._look_up(table, composite), mask)
    assert np.array_equal(renderer._blend_by_table(table)(composite, mask), expected)


def test_an_empty_mask_changes_nothing():
    composite, mask = example((40, 50))
    mask[:] = 0
    result = on_cpu()(composite, mask)
    assert np.array_equal(result, composite) and not np.shares_memory(result, composite)
    assert np.array_equal(on_cpu().colours(composite, mask), composite)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (90, 1)])
def test_thin_images_work(size):
    composite = np.full((*size, 3), 100, np.uint8)
    assert on_cpu()(composite, np.full(size, 255, np.uint8)).shape == composite.shape


def test_views_work_and_are_left_alone():
    composite, mask = example((60, 80))
    turned, turned_mask = composite[::-1, ::-1], mask[::-1, ::-1]
    turned.flags.writeable = turned_mask.flags.writeable = False
    straight = on_cpu()(np.ascontiguousarray(turned), np.ascontiguousarray(turned_mask))
    assert np.array_equal(on_cpu()(turned, turned_mask), straight)


def test_it_takes_half_an_image_of_memory_beside_the_result():
    composite, mask = example((1500, 2000))
    mask[:] = 255
    render = on_cpu()
    tracemalloc.start()
    try:
        render(composite, mask)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * composite.nbytes
    finally:
        tracemalloc.stop()


def test_a_result_that_is_not_finite_is_an_error():
    built = network()
    torch.nn.init.constant_(next(built.parameters()), torch.nan)
    with pytest.raises(errors.HarmonizeError, match="60 x 50 image is not finite"):
        on_cpu(built)(*example((50, 60)))


def test_half_precision_is_close():
    composite, mask = example((300, 300))
    built = network()
    half = CurveRenderer(built, torch.device("cpu"), "bfloat16")
    assert np.abs(half.colours(composite, mask) - on_cpu(built).colours(composite, mask)).max() < 3
