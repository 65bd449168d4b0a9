"""Checkpoints of the authors' released code, made here in their layout."""

from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from hdnet.model import architectures
from hdnet.model.architectures.s2crnet import converter
from hdnet.model.weights import convert, weights_file

SIZES = {"fc_f_1.fc1": (512, 192), "fc_label_1": (5, 32), "fc_label_2": (32, 64), "fc_f_label": (576, 192)}


def released(arch="s2crnet", **fields):
    """A network, and the checkpoint that the authors' code would leave of it: also with the layers it did not use."""
    torch.manual_seed(0)
    network: Any = architectures.build(arch, fields).eval()
    for name, value in network.state_dict().items():
        if name.startswith("stages"):
            value *= 1.5  # as if trained
    tensors = network.architecture.converter.released(network.state_dict())
    for stage in range(1, network.config.stages + 1):
        for layer, size in SIZES.items():
            for kind, start in nn.Linear(*size).state_dict().items():
                tensors.setdefault(f"fusion.cr{stage}.{layer}.{kind}", start)
    return network, tensors


def run(content, folder, *options):
    torch.save(content, folder / "released.pth")
    return CliRunner().invoke(convert.main, [str(folder / "released.pth"), str(folder / "out"), *options])


@pytest.mark.parametrize(
    "arch, fields",
    [
        ("s2crnet", {"semantic": True}),
        ("s2crnet", {"stages": 1}),
        ("s2crnet", {"semantic": True, "stages": 4}),
        ("s2crnet-vgg", {"semantic": True}),
    ],
)
def test_a_checkpoint_is_converted_with_the_path_it_was_trained_with(arch, fields, tmp_path):
    network, tensors = released(arch, **fields)
    result = run({"epoch": 3, "best_acc": np.float64(37.2), "state_dict": tensors}, tmp_path)
    assert result.exit_code == 0, result.output
    loaded = weights_file.load_network(tmp_path / "out")
    assert loaded.config == network.config
    own = network.state_dict()
    assert own.keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, own[name]) for name, value in loaded.state_dict().items())
    assert ("fc_f_1.fc1" if network.config.semantic else "fc_label_1") in result.output  # dropped


def test_the_released_layout_is_that_of_section_8():
    _, tensors = released(semantic=True)
    assert len(tensors) == 64 and sum(value.numel() for value in tensors.values()) == 1_145_472
    assert {"squeezenet1_1.0.bias", "squeezenet1_1.11.expand3x3.weight", "fusion.cr2.fc_f_label.bias"} <= tensors.keys()
    _, tensors = released("s2crnet-vgg", semantic=True)
    assert sum(value.numel() for value in tensors.values()) == 15_334_848
    assert {"model.28.weight", "fusion.cr1.fc_b_1.fc1.weight"} <= tensors.keys()


def test_names_may_begin_with_module(tmp_path):
    _, tensors = released(semantic=True)
    assert run({f"module.{name}": value for name, value in tensors.items()}, tmp_path).exit_code == 0


def test_another_backbone_is_refused(tmp_path):
    result = run(released()[1], tmp_path, "--arch", "s2crnet-vgg")
    assert result.exit_code == 1 and "model.0.weight" in result.output


@pytest.mark.parametrize("factor, said", [(3.0, "both were trained"), (0.1, "neither was trained")])
def test_a_checkpoint_whose_training_cannot_be_told_is_refused(factor, said, tmp_path):
    _, tensors = released()
    for name, value in tensors.items():
        if any(f".{layer}." in name for layer in (*converter.LABEL.values(), *converter.PLAIN.values())):
            value *= factor
    result = run(tensors, tmp_path)
    assert result.exit_code == 1 and said in result.output


def test_missing_stages_are_named(tmp_path):
    _, tensors = released()
    result = run({name.replace("cr2", "cr3"): value for name, value in tensors.items()}, tmp_path)
    assert result.exit_code == 1 and "[1, 3]" in result.output
