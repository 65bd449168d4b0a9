"""The mean of two weights files."""

import pytest
import torch
from click.testing import CliRunner

from hdnet.model import architectures
from hdnet.model.weights import mean, weights_file


def write(path, width=1, **card):
    network = architectures.build("hdnet-lite", {"width": width})
    weights_file.save(network, path, card)
    return network.state_dict()


def run(tmp_path, *arguments):
    names = [str(tmp_path / name) for name in ("a.safetensors", "b.safetensors", "out.safetensors")]
    return CliRunner().invoke(mean.main, [*names, *arguments])


def test_the_mean_lies_at_the_share_and_keeps_the_recipe(tmp_path):
    first, second = write(tmp_path / "a.safetensors", recipe={"lr": 0.1}), write(tmp_path / "b.safetensors")
    assert run(tmp_path, "--share", "0.25").exit_code == 0
    found = weights_file.load_network(tmp_path / "out.safetensors").state_dict()
    assert all(torch.allclose(found[name], 0.75 * first[name] + 0.25 * second[name]) for name in first)
    assert weights_file.read_header(tmp_path / "out.safetensors")["recipe"] == {"lr": 0.1}


@pytest.mark.parametrize("share", ["-0.1", "1.5"])
def test_a_share_is_between_0_and_1(tmp_path, share):
    assert run(tmp_path, "--share", share).exit_code == 2


def test_networks_of_two_sizes_have_no_mean(tmp_path):
    write(tmp_path / "a.safetensors")
    write(tmp_path / "b.safetensors", width=2)
    result = run(tmp_path, "--share", "0.5")
    assert result.exit_code == 1 and "b.safetensors" in result.output
