"""EfficientNet-Lite0's checkpoint as the start of a training, and the backbone against its equations."""

import torch
from click.testing import CliRunner

from hdnet.model.architectures.s2crnet import imagenet
from hdnet.model.architectures.s2crnet.network import S2CRNet
from hdnet.model.weights import weights_file
from tests import s2crnet_oracle

BLOCKS = (
    (16, 3),
    (24, 3),
    (24, 3),
    (40, 5),
    (40, 5),
    (80, 3),
    (80, 3),
    (80, 3),
    (112, 5),
    (112, 5),
    (112, 5),
    (192, 5),
)
"""Channels and kernels of the first twelve blocks."""


def checkpoint():
    """Random tensors with the names and shapes of those in efficientnet-lite0-57934424.pth, and one of its head."""
    generator = torch.Generator().manual_seed(0)
    tensors = {"_fc.bias": torch.zeros(1000)}

    def add(conv, norm, outputs, inputs, size):
        noise = torch.randn(outputs, inputs, size, size, generator=generator)
        tensors[f"{conv}.weight"] = noise * (2 / noise[0].numel()) ** 0.5
        tensors[f"{norm}.num_batches_tracked"] = torch.tensor(7)
        for part, low in (("weight", 0.5), ("running_var", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
            tensors[f"{norm}.{part}"] = low + torch.rand(outputs, generator=generator)

    add("_conv_stem", "_bn0", 32, 3, 3)
    inputs = 32
    for i, (outputs, size) in enumerate(BLOCKS):
        block, wide = f"_blocks.{i}.", 6 * inputs if i else inputs
        if i:
            add(f"{block}_expand_conv", f"{block}_bn0", wide, inputs, 1)
        add(f"{block}_depthwise_conv", f"{block}_bn1", wide, 1, size)
        add(f"{block}_project_conv", f"{block}_bn2", outputs, wide, 1)
        inputs = outputs
    return tensors


def run(content, folder, *options):
    torch.save(content, folder / "lite0.pth")
    return CliRunner().invoke(imagenet.main, [str(folder / "lite0.pth"), str(folder / "out"), *options])


def test_the_backbone_computes_what_the_checkpoints_network_does(tmp_path):
    tensors = checkpoint()
    result = run({"state_dict": tensors}, tmp_path, "--network", "joint=8", "--network", "thumbnail=96")
    assert result.exit_code == 0, result.output
    network = weights_file.load_network(tmp_path / "out")
    assert isinstance(network, S2CRNet)
    assert (network.config.joint, network.config.thumbnail, network.config.start) == (8, 96, "identity")
    backbone = network.embedding.backbone.double()
    assert sum(p.numel() for p in backbone.parameters()) == 777_376
    seen = torch.rand(2, 3, 96, 96, dtype=torch.float64)
    with torch.no_grad():
        expected = s2crnet_oracle.efficientnet_lite0({name: value.double() for name, value in tensors.items()}, seen)
        assert torch.allclose(backbone(seen), expected)
    assert expected.shape == (2, 672, 6, 6) and expected.std() > 0.5


def test_the_start_changes_nothing_and_is_always_the_same(tmp_path):
    fields = ["--network", "joint=8", "--network", "thumbnail=32"]
    starts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert run(checkpoint(), tmp_path / name, *fields).exit_code == 0
        starts.append(weights_file.read_header(tmp_path / name / "out"))
    assert starts[0] == starts[1] and starts[0]["converted_from"] == "lite0.pth"
    composite, mask = torch.rand(1, 3, 40, 50) * 2 - 1, torch.ones(1, 1, 40, 50)
    network = weights_file.load_network(tmp_path / "one" / "out")
    with torch.no_grad():
        assert torch.allclose(network(composite, mask), composite, atol=1e-5)


def test_what_does_not_fit_is_named(tmp_path):
    tensors = checkpoint()
    for said, changed, options in (
        ("not of vgg16", {}, ["--network", "backbone=vgg16"]),
        ("multiple of 16", {}, ["--network", "thumbnail=100"]),
        ("lite0.pth: _bn0.bias holds NaN", {"_bn0.bias": torch.full((32,), torch.nan)}, []),
        ("lite0.pth: the tensors do not fit", {"_blocks.11._bn0.bias": torch.zeros(600)}, []),
    ):
        result = run({**tensors, **changed}, tmp_path, *options)
        assert result.exit_code == 1 and said in result.output, result.output
    result = run({"other": torch.zeros(1)}, tmp_path)
    assert result.exit_code == 1 and "missing: _blocks.0._bn1.bias" in result.output
    assert not (tmp_path / "out").exists()
