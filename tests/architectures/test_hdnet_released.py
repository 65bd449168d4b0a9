"""Converted weights of the authors' released code: every stage, loss and gradient as that code has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdnet.model.architectures.hdnet import converter
from hdnet.model.training import loss
from hdnet.model.weights import convert, weights_file
from tests import released_oracle as oracle

GOLDEN = Path(__file__).parents[1] / "data" / "released_ngf2.npz"
STAGES = {
    "stem": "model_layer0",
    "neck": "model_layer71",
    "local": "LD",
    "widen.conv": "model_layer72",
    "widen.norm": "model_layer72norm",
    **{f"encoder.{i}.conv": f"model_layer{i + 1}" for i in range(6)},
    **{f"encoder.{i}.norm": f"model_layer{i + 1}norm" for i in range(6)},
    **{f"decoder.{i}.conv": f"model_layer{i + 8}" for i in range(6)},
    **{f"decoder.{i}.norm": f"model_layer{i + 8}norm" for i in range(6)},
    "decoder.4.dynamics": "model_layer11att",
    "decoder.5.dynamics": "model_layer12att",
    "last": "model_layer13att",
    "out": "model_out",
}


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return {name: torch.tensor(file[name]) for name in file.files}


@pytest.fixture
def network(tmp_path: Path) -> nn.Module:
    convert.convert(str(GOLDEN), tmp_path / "golden.safetensors")
    return weights_file.load_network(tmp_path / "golden.safetensors")


def under(golden: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}


def record(network: nn.Module, composite: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Run once; return each module's output by its released name, copied before anything works in place on it."""
    found: dict[str, Tensor] = {}

    def hook(released: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, inputs, output: found.update({released: output.clone()})

    handles = [network.get_submodule(ours).register_forward_hook(hook(name)) for ours, name in STAGES.items()]
    with torch.no_grad():
        network(composite, mask)
    for handle in handles:
        handle.remove()
    found["model_out"] = found["model_out"].tanh()
    return found


def close(found: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, msg=lambda text: f"{name}: {text}")


def converted(tensors: dict[str, Tensor], folder: Path) -> nn.Module:
    torch.save(tensors, folder / "released.pth")
    convert.convert(str(folder / "released.pth"), folder / "ours.safetensors")
    return weights_file.load_network(folder / "ours.safetensors").double()


def images(shape: tuple[int, int, int], seed: int) -> Tensor:
    batch, height, width = shape
    return torch.rand((batch, 3, height, width), generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


def mask_of(kind: str, shape: tuple[int, int, int]) -> Tensor:
    batch, height, width = shape
    mask = torch.zeros((batch, 1, height, width)).double()
    if kind == "full":
        mask += 1
    elif kind == "one pixel":
        mask[:, :, 5, 3] = 1  # seen at full size only
    elif kind == "one pixel at every scale":
        mask[:, :, -8, 0] = 1
    elif kind == "blobs":
        coarse = torch.rand((batch, 1, height // 4, width // 4), generator=torch.Generator().manual_seed(height))
        mask = (torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic") > 0.5).double()
    return mask


def test_output(golden: dict[str, Tensor], network: nn.Module) -> None:
    with torch.no_grad():
        torch.testing.assert_close(network(golden["composite"], golden["mask"]), golden["output"], rtol=0, atol=1e-4)


def test_every_stage(golden: dict[str, Tensor], network: nn.Module) -> None:
    stages, expected = record(network, golden["composite"], golden["mask"]), under(golden, "stage/")
    assert set(stages) == set(expected)
    for name, value in expected.items():
        close(stages[name], value, 1e-4, name)


def test_loss_and_gradients(golden: dict[str, Tensor], network: nn.Module) -> None:
    network.train()
    result = network(golden["composite"], golden["mask"])
    total = loss.foreground_mse(result, golden["real"], golden["mask"]).mean()
    total.backward()
    assert total.item() == pytest.approx(golden["loss"].item(), rel=1e-5)
    norms = {name: value.grad.norm().item() for name, value in network.named_parameters() if value.grad is not None}
    expected = under(golden, "grad_l2/")
    assert {converter.released_name(name) for name in norms} == set(expected)
    for name, norm in norms.items():
        assert norm == pytest.approx(expected[converter.released_name(name)].item(), rel=1e-3), name


def test_the_oracle_is_the_released_network(golden: dict[str, Tensor]) -> None:
    tensors = {name: value.double() for name, value in under(golden, "weights/").items()}
    output, stages = oracle.run(tensors, golden["composite"].double(), golden["mask"].double())
    torch.testing.assert_close(output, golden["output"].double(), rtol=0, atol=1e-6)
    assert set(stages) == set(under(golden, "stage/"))
    for name, value in under(golden, "stage/").items():
        close(stages[name], value.double(), 1e-6, name)


@pytest.mark.parametrize("kind", ["blobs", "empty", "full", "one pixel", "one pixel at every scale"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 40), (1, 64, 64)], ids=str)
@pytest.mark.parametrize("width", [2, 3, 5])
def test_unseen_cases(width: int, shape: tuple[int, int, int], kind: str, tmp_path: Path) -> None:
    tensors = oracle.random_weights(width, seed=width)
    composite, mask = images(shape, seed=shape[1]), mask_of(kind, shape)
    network = converted(tensors, tmp_path)
    expected, stages = oracle.run({name: value.double() for name, value in tensors.items()}, composite, mask)
    found = record(network, composite, mask)
    for name, value in stages.items():
        close(found[name], value, 1e-7, name)
    with torch.no_grad():
        torch.testing.assert_close(network(composite, mask), expected, rtol=0, atol=1e-8)


def test_unseen_gradients(tmp_path: Path) -> None:
    tensors, shape = oracle.random_weights(3, seed=7), (3, 16, 40)
    composite, mask, real = images(shape, seed=1), mask_of("blobs", shape), images(shape, seed=2)
    network = converted(tensors, tmp_path)
    leaves = {name: value.double().requires_grad_() for name, value in tensors.items() if "guide" not in name}
    (oracle.run(leaves, composite, mask)[0] - real).square().mean().backward()
    (network(composite, mask) - real).square().mean().backward()
    for name, value in network.named_parameters():
        expected, found = leaves[converter.released_name(name)].grad, value.grad
        assert expected is not None and found is not None, name
        # RegionNorm's backward takes sum(x - mean) of a region for 0; eps makes it 1e-5 of the mean.
        assert (found - expected.view_as(found)).norm() <= 1e-5 * expected.norm(), name
