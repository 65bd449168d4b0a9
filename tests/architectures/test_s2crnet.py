"""The network against the equations, its parameters, and its configurations."""

import dataclasses
from typing import get_args

import pytest
import torch

from hdnet.model import architectures
from hdnet.model.architectures.s2crnet import network as s2crnet
from hdnet.model.architectures.s2crnet.config import Backbone, S2CRNetConfig
from hdnet.model.architectures.s2crnet.network import S2CRNet
from hdnet.model.weights import weights_file
from tests import s2crnet_oracle

PARTS = ("running_mean", "running_var", "weight", "bias")
"""Of a batch normalisation."""


def seen(batch=2, side=64):
    """Random thumbnails, in the order of `forward`; a smaller side than the real one, for speed."""
    return [torch.rand(batch, channels, side, side, dtype=torch.float64) for channels in (3, 1, 3, 1)]


def lively(**fields):
    """A network whose biases are not 0, so that none can go unused unseen."""
    network = S2CRNet(S2CRNetConfig(**fields)).double()
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("backbone", ["squeezenet", "vgg16"])
@pytest.mark.parametrize("stages, semantic", [(1, True), (2, False), (4, True)])
def test_it_computes_the_papers_equations(backbone, stages, semantic):
    network = lively(backbone=backbone, stages=stages, semantic=semantic)
    inputs, labels = seen(side=32 if backbone == "vgg16" else 64), torch.tensor([3, 0])
    with torch.no_grad():
        result = network.parameterise(*inputs, labels)
    assert result.shape == (2, stages, 3, 64)
    for i in range(2):
        expected = s2crnet_oracle.parameters(network.state_dict(), [part[i] for part in inputs], labels[i])
        assert torch.allclose(result[i], expected, atol=1e-5)  # the embeddings are float32


@pytest.mark.parametrize(
    "fields, count",
    [
        ({"semantic": True}, 948_480),
        ({"semantic": True, "backbone": "vgg16"}, 15_137_856),
        ({}, 919_296),
        ({"backbone": "vgg16"}, 15_108_672),
        ({"semantic": True, "stages": 3}, 1_160_064),
        ({"backbone": "efficientnet-lite0"}, 1_294_240),
        ({"backbone": "efficientnet-lite0", "normalise": True, "joint": 256}, 1_742_624),
    ],
)
def test_parameter_counts_are_the_papers_or_as_documented(fields, count):
    assert sum(p.numel() for p in S2CRNet(S2CRNetConfig(**fields)).parameters()) == count


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"semantic": True, "stages": 3},
        {"backbone": "vgg16"},
        {"normalise": True},
        {"backbone": "efficientnet-lite0", "normalise": True, "joint": 64},
    ],
)
def test_every_parameter_learns(fields):
    network = lively(**fields)
    network.parameterise(*seen(5, side=32), torch.arange(5)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("backbone", ["squeezenet", "vgg16"])
def test_what_is_normalised_is_the_papers_network_with_other_weights(backbone):
    network = lively(backbone=backbone, normalise=True)
    inputs = seen(6)
    network.parameterise(*inputs)  # statistics other than 0 and 1
    network.eval()
    plain = S2CRNet(dataclasses.replace(network.config, normalise=False)).double()
    plain.load_state_dict(folded(network))
    with torch.no_grad():
        assert torch.allclose(network.parameterise(*inputs), plain.parameterise(*inputs), atol=1e-4)


def folded(network):
    """Multiply normalisations into the layers before or behind them."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for name in [name.removesuffix(".running_var") for name in state if name.endswith(".running_var")]:
        mean, variance, weight, bias = (state.pop(f"{name}.{part}") for part in PARTS)
        del state[f"{name}.num_batches_tracked"]
        scale = weight / (variance + 1e-5).sqrt()
        if name.endswith(".norm"):
            layer = name.removesuffix("norm")
            state[f"{layer}weight"] *= scale[:, None, None, None]
            state[f"{layer}bias"] = (state[f"{layer}bias"] - mean) * scale + bias
        else:
            region = ("foreground", "background")[int(name[-1])]
            for layer in [name.removesuffix("weight") for name in state if name.endswith(f"{region}.weight")]:
                state[f"{layer}bias"] += state[f"{layer}weight"] @ (bias - mean * scale)
                state[f"{layer}weight"] *= scale
    return {name: value for name, value in state.items() if "norm" not in name}


def test_foreground_and_background_are_seen_apart():
    network = lively()
    composite, mask, crop, crop_mask = seen(1)
    mask, crop_mask = mask.round(), crop_mask.round()
    before = network.parameterise(composite, mask, crop, crop_mask)
    hidden = composite + mask * torch.rand_like(composite), crop + (1 - crop_mask) * torch.rand_like(crop)
    assert torch.equal(network.parameterise(hidden[0], mask, hidden[1], crop_mask), before)
    assert not torch.equal(network.parameterise(composite + 0.1, mask, crop, crop_mask), before)
    assert not torch.equal(network.parameterise(composite, mask, crop + 0.1, crop_mask), before)


def test_what_sees_both_regions_is_told_their_means_and_deviations():
    composite, mask, _, _ = seen(2, side=32)
    mask = mask.round()
    found = s2crnet._statistics(composite, mask)
    for one, colours, inside in zip(found, composite, mask.bool(), strict=True):
        region = colours[:, inside[0]]
        expected = torch.cat([region.mean(1) - 0.5, region.std(1, correction=0)]) * 4
        assert torch.allclose(one, expected, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_region_may_be_empty(share):
    network = lively(joint=8)
    composite, mask, crop, _ = seen(2, side=32)
    mask[:] = share
    assert network.parameterise(composite, mask, crop, mask).isfinite().all()


def test_foreground_and_background_are_seen_together():
    """Without the joint layer, what a new background adds is the same for every foreground."""

    def added(network):
        composite, mask, crop, crop_mask = seen(1, side=32)
        first, second = (
            network.parameterise(composite * dimmed, mask, crop, crop_mask)
            - network.parameterise(composite * dimmed, mask, crop / 2, crop_mask)
            for dimmed in (1, 0.2)
        )
        return (first - second).abs().max()

    joint = lively(joint=64)
    torch.nn.init.normal_(joint.joint.weight)  # large, so that some units are on for one pair of regions alone
    assert added(lively()) < 1e-5 < 0.01 < added(joint)


def test_labels_matter_to_semantic_networks_alone():
    person, other = torch.tensor([0]), torch.tensor([4])
    inputs = seen(1)
    semantic, plain = lively(semantic=True), lively()
    assert not torch.equal(semantic.parameterise(*inputs, person), semantic.parameterise(*inputs, other))
    assert torch.equal(plain.parameterise(*inputs, person), plain.parameterise(*inputs))
    with pytest.raises(ValueError, match="label"):
        semantic.parameterise(*inputs)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"backbone": "alexnet"}, "alexnet"),
        ({"stages": 0}, "1 to 4: 0"),
        ({"stages": 5}, "5"),
        ({"stages": 2.0}, "2.0"),
        ({"semantic": 1}, "semantic"),
        ({"thumbnail": 31}, "31"),
        ({"normalise": "yes"}, "normalise"),
        ({"joint": -1}, "joint.*-1"),
        ({"joint": True}, "joint.*True"),
        ({"backbone": "efficientnet-lite0", "thumbnail": 40}, "multiple of 16 for efficientnet-lite0: 40"),
    ],
)
def test_impossible_configurations_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        S2CRNetConfig(**fields)


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_a_weights_file_brings_a_network_back(backbone, tmp_path):
    network = architectures.build("s2crnet", {"backbone": backbone, "thumbnail": 48, "joint": 8})
    weights_file.save(network, tmp_path / "weights", {})
    loaded = weights_file.load_network(tmp_path / "weights")
    assert loaded.config == network.config
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())
    size = (tmp_path / "weights").stat().st_size
    assert network.architecture.peak_bytes(network.config, 1, 1, "float32") > 260_000_000 + size


def test_configurations_survive_json():
    config = S2CRNetConfig(backbone="vgg16", stages=3, semantic=True)
    assert S2CRNetConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="depth"):
        S2CRNetConfig.from_json({"depth": 3})
