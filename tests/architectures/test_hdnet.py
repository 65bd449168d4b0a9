"""The network against the equations, and its edge cases."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from hdnet.model import architectures
from hdnet.model.architectures.hdnet.config import HDNetConfig
from hdnet.model.architectures.hdnet.global_dynamics import LearnedMap
from hdnet.model.architectures.hdnet.network import HDNet
from hdnet.model.architectures.hdnet.regions import Regions, join, multiply, normalise, positions
from tests import paper_oracle


def example(batch=1, size=(32, 48), dtype=torch.float64):
    height, width = size
    composite = torch.rand(batch, 3, height, width, dtype=dtype) * 2 - 1
    mask = torch.zeros(batch, 1, height, width, dtype=dtype)
    mask[:, :, height // 4 : height * 3 // 4, width // 3 : width - 8] = 1
    mask[0, :, 0, :5] = 1
    return composite, mask


def lively(config, dtype=torch.float64):
    """A network whose parameters are all far from their start, so that none can go unused unseen."""
    network = HDNet(config).to(dtype)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("k", [1, 3, 5, 7, 9])
def test_it_computes_the_papers_equations(k):
    composite, mask = example(batch=2)
    mask[1] = mask[1].roll(9, 1)
    network = lively(HDNetConfig(width=2, k=k))
    with torch.no_grad():
        result = network(composite, mask)
        for i in range(2):
            expected = paper_oracle.hdnet(network.state_dict(), composite[i], mask[i, 0], k)
            assert torch.allclose(result[i], expected, atol=1e-9)
    assert not torch.allclose(result, composite, atol=0.1)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("local", ["paper", "released"])
def test_empty_and_full_masks_are_finite(value, local):
    composite, mask = example(dtype=torch.float32)
    network = lively(HDNetConfig(width=2, local_dynamics=local), torch.float32)
    result = network(composite, torch.full_like(mask, value))
    result.sum().backward()
    assert torch.isfinite(result).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert value or torch.equal(result, composite)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_follow_the_equations(value):
    composite, mask = example()
    network = lively(HDNetConfig(width=2))
    mask = torch.full_like(mask, value)
    expected = paper_oracle.hdnet(network.state_dict(), composite[0], mask[0, 0], 1)
    assert torch.allclose(network(composite, mask)[0], expected, atol=1e-9)


def test_a_mask_that_vanishes_at_one_eighth_follows_the_equations():
    composite, mask = example()
    mask.zero_()
    mask[..., 17, 17] = 1
    network = lively(HDNetConfig(width=2))
    expected = paper_oracle.hdnet(network.state_dict(), composite[0], mask[0, 0], 1)
    assert torch.allclose(network(composite, mask)[0], expected, atol=1e-9)


@pytest.mark.parametrize("size", [(8, 8), (8, 64), (64, 24)])
def test_any_multiple_of_8_works_and_images_do_not_mix(size):
    composite, mask = example(3, size)
    network = lively(HDNetConfig(width=2)).eval()
    together = network(composite, mask)
    alone = torch.cat([network(c[None], m[None]) for c, m in zip(composite, mask, strict=True)])
    assert together.shape == composite.shape
    assert torch.allclose(together, alone, atol=1e-9)


def test_training_and_evaluation_are_one_path():
    composite, mask = example()
    network = lively(HDNetConfig(width=2))
    assert torch.equal(network.train()(composite, mask), network.eval()(composite, mask))


@pytest.mark.parametrize(
    "arch, fields, count",
    [
        ("hdnet", {}, 10_413_487),
        ("hdnet", {"region_map": "learned"}, 10_414_389),
        ("hdnet-lite", {}, 652_663),
        ("hdnet-lite", {"region_map": "learned"}, 652_893),
    ],
)
def test_parameter_counts_are_the_papers(arch, fields, count):
    assert sum(p.numel() for p in architectures.build(arch, fields).parameters()) == count


@pytest.mark.parametrize(
    "fields",
    [
        {"local_dynamics": "none"},
        {"global_dynamics": "none"},
        {"global_dynamics": "spatial-attention"},
        {"region_map": "learned"},
        {"local_dynamics": "none", "global_dynamics": "none"},
    ],
)
def test_every_parameter_of_every_variant_learns(fields):
    composite, mask = example(dtype=torch.float32)
    network = lively(HDNetConfig(width=2, **fields), torch.float32)
    network(composite, mask).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_learned_map_is_hard_forward_and_soft_backward():
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    learned: Any = LearnedMap(4).double()
    torch.nn.init.normal_(learned.guide.weight)
    fore, back = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    soft = learned.guide(x).softmax(1)
    inside = soft[:, :1] > soft[:, 1:]
    mixed = functional.conv2d(x, fore[0, :, :, None, None]), functional.conv2d(x, back[0, :, :, None, None])
    result = learned(x, None, fore, back)
    assert torch.allclose(result, torch.where(inside, *mixed))
    by_share = torch.autograd.grad((mixed[0] * soft[:, :1] + mixed[1] * soft[:, 1:]).sum(), learned.guide.weight)
    assert torch.allclose(torch.autograd.grad(result.sum(), learned.guide.weight)[0], by_share[0])


def test_the_start_is_the_papers():
    network = HDNet(HDNetConfig(width=16))
    start = dict(network.named_parameters())
    for name in ("neck.weight", "local.linear.weight"):
        assert start[name].std().item() == pytest.approx(0.02, rel=0.05)
    assert not any(p.abs().sum() for p in start.values() if p.ndim == 1)


def regions_and_map():
    mask = (torch.arange(40).view(2, 1, 4, 5) % 3 == 0).double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    return Regions.of(mask), x.requires_grad_()


def test_written_out_gradients_are_right():
    regions, x = regions_and_map()
    gamma = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    matrices = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    scaled = lambda mean, var, gamma: ((var + 1).sqrt() * gamma, mean * var)  # noqa: E731
    assert torch.autograd.gradcheck(lambda x, g: normalise(x, regions.columns, regions.sizes, scaled, g), (x, gamma))
    assert torch.autograd.gradcheck(lambda x, m: multiply(x, regions, m[0], m[1]), (x, matrices))
    assert torch.autograd.gradcheck(lambda a, b: join(a, b).square(), (x, x.detach().clone().requires_grad_()))


def test_bfloat16_activations_keep_float32_statistics():
    regions, x = regions_and_map()
    half = x.detach().bfloat16() + 100
    unit = lambda mean, var: ((var + 1e-5).rsqrt(), -mean * (var + 1e-5).rsqrt())  # noqa: E731
    expected = normalise(half.double(), regions.columns, regions.sizes, unit)
    assert torch.allclose(normalise(half, regions.columns, regions.sizes, unit).double(), expected, atol=0.02)


def test_positions_of_a_channels_last_map_are_a_view():
    _, x = regions_and_map()
    assert positions(x).data_ptr() == x.data_ptr() and positions(x).shape == (2, 20, 3)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"width": 0}, "width"),
        ({"k": 0}, "k must"),
        ({"width": 2.0}, "2.0"),
        ({"local_dynamics": "papers"}, "papers"),
        ({"local_dynamics": "released", "k": 3}, "k=3"),
        ({"region_map": "learned", "global_dynamics": "none"}, "learned"),
    ],
)
def test_impossible_configurations_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        HDNetConfig(**fields)


def test_configurations_survive_json():
    config = HDNetConfig(width=4, k=3, region_map="learned")
    assert HDNetConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="depth"):
        HDNetConfig.from_json({"depth": 3})
    with pytest.raises(ValueError, match="unet"):
        architectures.build("unet")
