"""GiftNet: its size, its start, and what its transformation may and may not change."""

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional

from hdnet.model.architectures.giftnet.attention import ChannelGate
from hdnet.model.architectures.giftnet.config import GiftNetConfig
from hdnet.model.architectures.giftnet.network import GiftNet
from hdnet.model.architectures.giftnet.transformation import ModulatedConvolution


def network(**fields):
    return GiftNet(GiftNetConfig(**{"width": 4} | fields)).eval()


def example(batch=2, size=(32, 48)):
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(batch, 1, *size)
    mask[:, :, 8:20, 4:20] = 1
    return torch.rand(batch, 3, *size, generator=generator) * 2 - 1, mask


@pytest.mark.parametrize(
    "fields, count",
    [
        ({"transformed": "none"}, 2_185_340),
        ({}, 4_131_332),
        ({"transformed": "skips"}, 2_185_340 + 131_584 + 502_662),
        ({"layers": 1}, 2_185_340 + 131_584 + 907_204),
    ],
)
def test_parameter_counts_are_the_specified_ones(fields, count):
    assert sum(p.numel() for p in GiftNet(GiftNetConfig(**fields)).parameters()) == count


def test_the_encoders_maps_have_issams_shapes():
    full: Any = GiftNet(GiftNetConfig()).eval()
    with torch.no_grad():
        maps = full.encode(*example(1, (256, 256)))
    assert [tuple(x.shape[1:]) for x in maps] == [(32, 256, 256), (64, 128, 128), (128, 64, 64), (256, 32, 32)]
    parts = full.encoder, full.decoder.blocks[2].attention
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [1_174_080, 41_880]


@pytest.mark.parametrize("transformed", ["all", "skips"])
def test_an_empty_mask_leaves_issam(transformed):
    whole, plain = network(transformed=transformed), network(transformed="none")
    plain.load_state_dict({name: whole.state_dict()[name] for name in plain.state_dict()})
    composite, mask = example()
    with torch.no_grad():
        maps = whole.encode(composite, mask * 0)
        assert all(torch.equal(a, b) for a, b in zip(whole.transform(maps, mask * 0), maps, strict=True))
        assert torch.equal(whole.with_features(composite, mask * 0)[0], plain.with_features(composite, mask * 0)[0])
        assert not torch.equal(whole(composite, mask), plain(composite, mask))


def modulated():
    torch.manual_seed(0)
    layer = ModulatedConvolution(6, 5)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer, torch.randn(3, 6, 7, 8), torch.randn(3, 5)


def test_scaling_the_map_equals_a_kernel_for_each_image():
    layer, x, code = modulated()
    weight = layer.weight / (6 * 9) ** 0.5 * layer.scales(code)[:, None, :, None, None]
    weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    grouped = functional.conv2d(x.reshape(1, 18, 7, 8), weight.reshape(18, 6, 3, 3), padding=1, groups=3)
    expected = layer.gain * grouped.reshape(3, 6, 7, 8) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, code), expected, atol=1e-5, rtol=1e-5)


def test_a_constant_factor_of_the_scales_changes_nothing():
    layer, x, code = modulated()
    scales = layer.scales(code)
    torch.testing.assert_close(layer.convolve(x, 7 * scales), layer.convolve(x, scales), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("code", ["everywhere", "background", "regions", "average-max"])
def test_the_far_background_reaches_the_foreground_through_the_code_alone(code):
    gift = network(code=code)
    mask = torch.zeros(1, 1, 8, 512)
    mask[..., :16] = 1
    near = torch.rand(1, 3, 8, 512, generator=torch.Generator().manual_seed(1)) * 2 - 1
    far = near.clone()
    far[..., 256:] = 1  # beyond the receptive field of encoder and transformation
    with torch.no_grad():
        before, after = gift.encode(near, mask), gift.encode(far, mask)
        held = gift.code(before[-1], mask)
        for level in range(4):
            inside = slice(0, 16 >> level)
            kept, moved = gift.transform(before, mask, held)[level], gift.transform(after, mask, held)[level]
            assert torch.equal(kept[..., inside], moved[..., inside])
            guided = gift.transform(after, mask)[level]
            assert not torch.equal(kept[..., inside], guided[..., inside])


def test_the_start_is_neutral_and_the_backbones_own():
    torch.manual_seed(0)
    gift: Any = GiftNet(GiftNetConfig(width=16))
    layer = gift.transformations[3].layers[0]
    assert torch.equal(layer.style_bias, torch.ones(128)) and layer.gain.item() == 1
    assert layer.weight.std().item() == pytest.approx(1, rel=0.05)
    deep = gift.encoder.blocks[3][0]
    assert deep.weight.std().item() == pytest.approx((2 / (9 * (64 + 128))) ** 0.5, rel=0.05)
    assert not deep.bias.any()


@pytest.mark.parametrize("fields", [{}, {"transformed": "skips", "layers": 1}, {"transformed": "none"}])
@pytest.mark.parametrize("code", ["everywhere", "background", "regions", "average-max"])
def test_every_parameter_of_every_variant_learns(code, fields):
    gift = network(code=code, **fields).train()
    gift.with_features(*example())[0].square().sum().backward()
    dead = [name for name, p in gift.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not dead


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_are_finite(value):
    composite, mask = example()
    for code in ("background", "regions"):
        result = network(code=code)(composite, torch.full_like(mask, value))
        assert torch.isfinite(result).all()


@pytest.mark.parametrize("size", [(8, 8), (8, 64), (64, 24)])
def test_any_multiple_of_8_works_and_images_do_not_mix(size):
    composite, mask = torch.rand(3, 3, *size) * 2 - 1, (torch.rand(3, 1, *size) > 0.5).float()
    gift = network()
    with torch.no_grad():
        together = gift(composite, mask)
        alone = torch.cat([gift(c[None], m[None]) for c, m in zip(composite, mask, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="multiples of 8"):
        gift(composite[..., 1:], mask[..., 1:])


def test_a_gate_looks_at_the_whole_map():
    gate, x = ChannelGate(4), torch.rand(1, 4, 8, 8)
    ratio = gate(x) / x
    assert torch.allclose(ratio, ratio[..., :1, :1].expand_as(ratio)) and 0 < ratio.min() < ratio.max() < 1


@pytest.mark.parametrize(
    "fields, said",
    [({"width": 0}, "width"), ({"layers": 3}, "layers.*3"), ({"code": "fg"}, "fg"), ({"transformed": "F1"}, "F1")],
)
def test_impossible_configurations_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        GiftNetConfig(**fields)


def test_configurations_survive_json():
    config = GiftNetConfig(width=8, code="regions", layers=1)
    assert GiftNetConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="depth"):
        GiftNetConfig.from_json({"depth": 3})


def test_a_copy_computes_the_same():
    gift, inputs = network(), example()
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(gift)(*inputs), gift(*inputs))
