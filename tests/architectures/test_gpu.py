"""What is computed in another way on a GPU than on a CPU, tried without one."""

import contextlib
from functools import partial
from typing import Any

import pytest
import torch

from hdnet.model import architectures
from hdnet.model.architectures.hdnet import local_dynamics
from hdnet.model.architectures.hdnet.config import HDNetConfig
from hdnet.model.architectures.hdnet.regions import Regions
from hdnet.model.architectures.s2crnet import network as s2crnet
from tests.architectures.test_hdnet import example, lively

HDNETS: list[dict[str, Any]] = [{}, {"k": 7}, {"k": 100}, {"local_dynamics": "released"}, {"region_map": "learned"}]
SIDE = 24
"""Of thumbnails."""


@pytest.mark.parametrize("fields", HDNETS[:-1], ids=str)
def test_without_lists_values_and_gradients_are_the_same(monkeypatch, fields):
    composite, mask = example(batch=5)
    mask[1], mask[2], mask[3] = mask[1].roll(9, 1), 0, 1
    mask[4, :, :24] = 1  # leaves six background positions to local dynamics
    network = lively(HDNetConfig(width=2, **fields))
    expected = network(composite, mask)
    gradients = torch.autograd.grad(expected.square().sum(), list(network.parameters()))
    monkeypatch.setattr(Regions, "of", partial(Regions.of, listing=False))
    result = network(composite, mask)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(torch.autograd.grad(result.square().sum(), list(network.parameters())), gradients)


def test_large_maps_are_searched_in_parts(monkeypatch):
    rows, inside = torch.randn(2, 30, 4), torch.rand(2, 30) < 0.3
    whole = local_dynamics._nearest_outside(rows, inside, -9, 2)
    monkeypatch.setattr(local_dynamics, "PRODUCTS", 7 * 60)
    assert torch.equal(local_dynamics._nearest_outside(rows, inside, -9, 2), whole)


@pytest.mark.parametrize("box", [(slice(3, 29), slice(9, 10)), (slice(0, 40), slice(5, 56)), (slice(8, 32),) * 2])
def test_boxes_of_a_batch_are_resized_as_each_alone(box):
    images = torch.rand(2, 4, 40, 56) + 0.01
    images[0, 3] = 0  # an empty mask: all of the image
    images[1, 3, : box[0].start] = images[1, 3, box[0].stop :] = 0
    images[1, 3, :, : box[1].start] = images[1, 3, :, box[1].stop :] = 0
    expected = torch.cat([s2crnet._resize(part[None], SIDE) for part in (images[0], images[1][:, *box])])
    torch.testing.assert_close(s2crnet._resize_boxes(images, SIDE), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fields", HDNETS, ids=str)
def test_a_step_of_hdnet_never_waits_for_data(monkeypatch, fields):
    check_no_data_are_read(monkeypatch, architectures.build("hdnet-lite", {"width": 2, **fields}))


@pytest.mark.parametrize("arch", ["s2crnet", "giftnet-lite"])
def test_a_step_of_the_others_never_waits_for_data(monkeypatch, arch):
    check_no_data_are_read(monkeypatch, architectures.build(arch))


def check_no_data_are_read(monkeypatch, network):
    """Run a network on the device `meta`, where there are no data: whoever reads a value fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it does not know the device
    composite, mask = torch.empty(4, 3, 64, 64, device="meta"), torch.empty(4, 1, 64, 64, device="meta")
    network.to("meta")(composite, mask).square().sum().backward()
    assert any(parameter.grad is not None for parameter in network.parameters())
