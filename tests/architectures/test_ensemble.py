"""The ensemble of HDNet and S2CRNet: the mean of what both say, everywhere the house asks a network."""

from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hdnet.model import architectures
from hdnet.model.architectures.s2crnet.network import CurveRenderingModule
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.run import train
from hdnet.model.weights import join, weights_file
from hdnet.transforms.errors import WeightsError
from tests.samples import write_iharmony4

SMALL: dict[str, dict[str, Any]] = {
    "hdnet": {"width": 4},
    "s2crnet": {"backbone": "squeezenet", "thumbnail": 32, "joint": 0, "normalise": False},
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Weights of the two networks, neither of which leaves the composite as it is."""
    folder = tmp_path_factory.mktemp("parts")
    for name, fields in SMALL.items():
        torch.manual_seed(1)
        network = architectures.build(name, fields)
        for part in network.modules():
            if isinstance(part, CurveRenderingModule):
                torch.nn.init.normal_(part.foreground.bias, std=0.3)
        weights_file.save(network, folder / f"{name}.safetensors", {"smoothing": 0.5})
    return folder


def joined(parts, share, doubt=0.0):
    out = parts / f"{share}-{doubt}.safetensors"
    join.join(str(parts / "hdnet.safetensors"), str(parts / "s2crnet.safetensors"), out, share, doubt)
    return out


def image_and_mask(dtype):
    rng = np.random.default_rng(0)
    image = rng.integers(0, np.iinfo(dtype).max, (70, 90, 3), dtype=dtype, endpoint=True)
    mask = np.zeros((70, 90), np.uint8)
    mask[20:50, 30:60] = 255
    mask[50:53, 30:60] = [[200], [120], [40]]
    return image, mask


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_are_the_mean_of_both_networks(parts, dtype):
    image, mask = image_and_mask(dtype)
    names = [parts / "hdnet.safetensors", parts / "s2crnet.safetensors", joined(parts, 0.3)]
    first, second, mean = (Harmonizer.load(name).colours(image, mask) for name in names)
    inside = mask > 127
    assert np.abs(first - second)[inside].mean() > 1
    np.testing.assert_allclose(mean[inside], (0.7 * first + 0.3 * second)[inside], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(mean[~inside], image[~inside], atol=1e-2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("doubt", [1.0, 40.0, 250.0])
def test_a_small_change_is_hardly_made(parts, dtype, doubt):
    image, mask = image_and_mask(dtype)
    plain, doubtful = (Harmonizer.load(joined(parts, 0.3, each)) for each in (0.0, doubt))
    change, other = (one.colours(image, mask)[mask > 127] - image[mask > 127] for one in (plain, doubtful))
    size = np.sqrt(np.mean(change**2)) * 255 / np.iinfo(dtype).max
    np.testing.assert_allclose(other, size**8 / (size**8 + doubt**8) * change, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("doubt", [0.0, 20.0])
def test_forward_is_what_the_renderer_shows(parts, doubt):
    image, mask = image_and_mask(np.uint8)
    image, mask = image[:64, :88], (mask[:64, :88] > 127) * np.uint8(255)
    harmonizer = Harmonizer.load(joined(parts, 0.3, doubt))
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        result = harmonizer.network(pixels, torch.from_numpy(mask > 0)[None, None].float())
    shown = harmonizer.colours(image, mask) / 127.5 - 1
    assert np.abs(result[0].permute(1, 2, 0).numpy() - shown)[mask > 0].mean() < 0.01


@pytest.mark.parametrize("share, alone", [(0.0, "hdnet"), (1.0, "s2crnet")])
def test_a_share_of_all_or_nothing_is_one_network(parts, share, alone):
    image, mask = image_and_mask(np.uint8)
    one, other = (Harmonizer.load(name) for name in (joined(parts, share), parts / f"{alone}.safetensors"))
    assert np.abs(one.colours(image, mask) - other.colours(image, mask))[mask > 127].max() < 1e-3


def test_training_trains_both_and_resumes(parts, tmp_path):
    write_iharmony4(tmp_path / "data", photos=4)
    config = TrainConfig(
        data=str(tmp_path / "data"), arch="ensemble", network=SMALL, size=64, batch=2, epochs=2, workers=0,
        init=str(joined(parts, 0.3)),
    )  # fmt: skip
    best = train(config, tmp_path / "run", device=torch.device("cpu"))
    before, after = weights_file.load_network(joined(parts, 0.3)), weights_file.load_network(best)
    for name in SMALL:
        pairs = zip(before.get_submodule(name).parameters(), after.get_submodule(name).parameters(), strict=True)
        assert any(not torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"share": 1.5}, "share must be a number from 0 to 1: 1.5"),
        ({"doubt": "8"}, "doubt must be a number from 0 to 255: '8'"),
        ({"hdnet": 16}, "hdnet must be an object such as"),
        ({"hdnet": {"width": 0}}, "hdnet: width must be a whole number"),
        ({"s2crnet": {"semantic": True}}, "s2crnet must be one without labels"),
        ({"depth": 3}, "unknown EnsembleConfig fields: depth"),
    ],
)
def test_a_wrong_configuration_is_named(fields, said):
    with pytest.raises(ValueError, match=said):
        architectures.build("ensemble", fields)


def test_join_refuses_another_network_and_keeps_the_smoothing(parts):
    first, second, out = str(parts / "s2crnet.safetensors"), str(parts / "hdnet.safetensors"), parts / "no.safetensors"
    with pytest.raises(WeightsError, match="holds no HDNet, but s2crnet"):
        join.join(first, second, out, 0.3)
    result = CliRunner().invoke(join.main, [first, second, str(out), "--share", "0.3"])
    assert weights_file.read_header(joined(parts, 0.3))["smoothing"] == 0.5
    assert result.exit_code == 1 and "holds no HDNet" in result.output and "Traceback" not in result.output
