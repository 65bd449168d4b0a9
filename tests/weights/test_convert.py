"""hdnet-convert: every shape of checkpoint it takes, and every one that it refuses."""

import argparse
import hashlib
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import click.testing
import fsspec
import numpy as np
import pytest
import torch
from torch import Tensor

from hdnet.model.architectures.hdnet import converter
from hdnet.model.weights import convert, released_file, weights_file, weights_header
from tests import released_oracle

GOLDEN = Path(__file__).parents[1] / "data" / "released_ngf2.npz"
STEM, BIAS = "model_layer0.weight", "model_out.1.bias"


@pytest.fixture
def released() -> dict[str, Tensor]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return {name[8:]: torch.tensor(file[name]) for name in file.files if name.startswith("weights/")}


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(convert.main, [str(argument) for argument in arguments])


def write(content: object, folder: Path) -> Path:
    torch.save(content, folder / "released.pth")
    return folder / "released.pth"


def refused(source: object, folder: Path, message: str) -> None:
    result = run(source, folder / "out.safetensors")
    assert result.exit_code == 1 and result.exception.__class__ is SystemExit, result.output
    assert message in result.output
    assert not (folder / "out.safetensors").exists()


def same_as_golden(out: Path) -> bool:
    golden = out.with_name("golden.safetensors")
    convert.convert(str(GOLDEN), golden)
    return bool(weights_file.read_header(out)["sha256"] == weights_file.read_header(golden)["sha256"])


def width_of(path: Path) -> int:
    return len(weights_file.load_network(path).state_dict()["stem.weight"])


def savez(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def test_npz(released: dict[str, Tensor], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    result = run(GOLDEN, out, "--arch", "hdnet")
    assert result.exit_code == 0, result.output
    loaded = weights_file.load_network(out).state_dict()
    assert len(loaded) == len(released) - 6
    for name, value in loaded.items():
        assert torch.equal(value, released[converter.released_name(name)].view_as(value)), name


def test_the_header_tells_where_the_weights_come_from(tmp_path: Path) -> None:
    run(GOLDEN, tmp_path / "out", "--arch", "hdnet-lite")
    header = weights_file.read_header(tmp_path / "out")
    assert header["architecture"] == "hdnet-lite"
    assert header["config"]["width"] == 2 and header["config"]["local_dynamics"] == "released"
    assert header["converted_from"] == "released_ngf2.npz"
    assert header["converted_from_sha256"] == hashlib.sha256(GOLDEN.read_bytes()).hexdigest()


def test_output_tells_what_was_dropped_and_the_width(tmp_path: Path) -> None:
    output = run(GOLDEN, tmp_path / "out").output
    assert all(f"model_layer{i}att.conv_guide.weight" in output for i in (11, 12, 13))
    assert "width 2, where hdnet has 32" in output and "59 tensors" in output


def test_npz_without_prefix(released: dict[str, Tensor], tmp_path: Path) -> None:
    source = savez(tmp_path / "bare.npz", {name: value.double().numpy() for name, value in released.items()})
    assert run(source, tmp_path / "out").exit_code == 0
    assert same_as_golden(tmp_path / "out")


@pytest.mark.parametrize("keys", [[], ["state_dict"], ["model"], ["netG"], ["net"], ["a", "b", "c"]], ids=str)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "netG.", "model.net._orig_mod."])
def test_pth(keys: list[str], prefix: str, released: dict[str, Tensor], tmp_path: Path) -> None:
    content: dict[str, Any] = {prefix + name: value for name, value in released.items()}
    for key in keys:
        content = {"epoch": 3, key: content, "optimizer": {"state": {0: torch.zeros(1)}}}
    result = run(write(content, tmp_path), tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert same_as_golden(tmp_path / "out")


def test_pth_of_before_torch_1_6(released: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(released, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert run(tmp_path / "old.pth", tmp_path / "out").exit_code == 0
    assert same_as_golden(tmp_path / "out")


def test_without_the_learned_mask_branch(released: dict[str, Tensor], tmp_path: Path) -> None:
    source = write({name: value for name, value in released.items() if "guide" not in name}, tmp_path)
    result = run(source, tmp_path / "out")
    assert result.exit_code == 0 and "dropped" not in result.output
    assert same_as_golden(tmp_path / "out")


@pytest.mark.parametrize("width", [1, 3, 8])
def test_any_width(width: int, tmp_path: Path) -> None:
    source = write(released_oracle.random_weights(width, seed=0), tmp_path)
    result = run(source, tmp_path / "out", "--arch", "hdnet-lite")
    assert f"hdnet-lite of width {width}" in result.output
    assert ("where hdnet-lite has 8" in result.output) == (width != 8)
    assert width_of(tmp_path / "out") == width


def test_half_precision_checkpoints(released: dict[str, Tensor], tmp_path: Path) -> None:
    source = write({name: value.bfloat16() for name, value in released.items()}, tmp_path)
    assert run(source, tmp_path / "out").exit_code == 0
    loaded = weights_file.load_network(tmp_path / "out").state_dict()
    assert torch.equal(loaded["out.bias"], released[BIAS].bfloat16().float())


def test_a_uri(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/released.npz", GOLDEN.read_bytes())
    assert run("memory://released.npz", tmp_path / "out").exit_code == 0
    assert weights_file.read_header(tmp_path / "out")["converted_from"] == "released.npz"


def test_out_is_not_overwritten_unasked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("precious")
    result = run(GOLDEN, out)
    assert result.exit_code == 1 and "add --overwrite" in result.output and out.read_text() == "precious"
    assert run(GOLDEN, out, "--overwrite").exit_code == 0
    assert width_of(out) == 2


def test_out_in_a_missing_folder(tmp_path: Path) -> None:
    assert run(GOLDEN, tmp_path / "new" / "out").exit_code == 0
    assert width_of(tmp_path / "new" / "out") == 2


def test_unknown_architecture(tmp_path: Path) -> None:
    result = run(GOLDEN, tmp_path / "out", "--arch", "rainnet")
    assert result.exit_code == 1 and "known: hdnet, hdnet-lite" in result.output


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_does_not_run(
    zipped: bool, released: dict[str, Tensor], tmp_path: Path
) -> None:
    payload = Payload(tmp_path / "ran")
    torch.save({**released, "x": payload}, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "evil.pth", tmp_path, "holds more than tensors (it names posix.mkdir)")
    assert not payload.path.exists()
    pickle.loads(pickle.dumps(payload))
    assert payload.path.exists()  # it would have run


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_is_refused_and_does_not_run(protocol: int, tmp_path: Path) -> None:
    source = tmp_path / "evil.pkl"
    source.write_bytes(pickle.dumps({"x": Payload(tmp_path / "ran")}, protocol))
    refused(source, tmp_path, str(source))
    assert not (tmp_path / "ran").exists()


def test_objects_in_npz_are_refused_and_do_not_run(tmp_path: Path) -> None:
    source = savez(tmp_path / "evil.npz", {STEM: np.array([Payload(tmp_path / "ran")], dtype=object)})
    refused(source, tmp_path, "holds more than tensors")
    assert not (tmp_path / "ran").exists()


def test_options_beside_the_tensors_are_refused(released: dict[str, Tensor], tmp_path: Path) -> None:
    source = write({"netG": released, "opt": argparse.Namespace(lr=1)}, tmp_path)
    refused(source, tmp_path, "holds more than tensors (it names argparse.Namespace)")


@pytest.mark.parametrize("suffix", ["npz", "pth"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated(share: float, suffix: str, released: dict[str, Tensor], tmp_path: Path) -> None:
    data = (GOLDEN if suffix == "npz" else write(released, tmp_path)).read_bytes()
    source = tmp_path / f"short.{suffix}"
    source.write_bytes(data[: int(share * len(data))])
    refused(source, tmp_path, f"{source}: " if share else f"{source} is empty: ")


def test_a_flipped_byte_in_an_npz(tmp_path: Path) -> None:
    data = bytearray(GOLDEN.read_bytes())
    at = data.index(b"weights/model_layer71.1.weight.npy") + 2000
    data[at] ^= 255
    (tmp_path / "flipped.npz").write_bytes(data)
    refused(tmp_path / "flipped.npz", tmp_path, "not a whole checkpoint")


def test_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello world\n")
    refused(tmp_path / "text", tmp_path, "not a whole checkpoint")
    refused(tmp_path, tmp_path, "a folder")
    refused(tmp_path / "absent", tmp_path, "no such file")
    refused(write([1, 2], tmp_path), tmp_path, "it holds list")
    refused(write({"epoch": 1, "other.weight": torch.zeros(1)}, tmp_path), tmp_path, "it holds 'epoch', 'other.weight'")


def test_our_own_weights_are_refused(tmp_path: Path) -> None:
    convert.convert(str(GOLDEN), tmp_path / "ours")
    refused(tmp_path / "ours", tmp_path, str(tmp_path / "ours"))


def test_a_mapping_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 1}
    content["self"] = content
    refused(write(content, tmp_path), tmp_path, "nothing in it has")


def test_the_network_is_found_beside_others_of_a_lightning_module(released: dict[str, Tensor], tmp_path: Path) -> None:
    state = {f"net.{name}": value for name, value in released.items()} | {"loss.vgg.weight": torch.zeros(2)}
    assert run(write({"state_dict": state}, tmp_path), tmp_path / "out").exit_code == 0
    assert same_as_golden(tmp_path / "out")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value: float, released: dict[str, Tensor], tmp_path: Path) -> None:
    released[BIAS] = torch.full_like(released[BIAS], value)
    refused(write(released, tmp_path), tmp_path, f"{BIAS} holds NaN or infinite values")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>Virus scan warning</html>", "is a web page"),
    ],
)
def test_what_was_downloaded_in_place_of_the_file_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    refused(tmp_path / "net.pth", tmp_path, message)


def test_two_networks_are_ambiguous(released: dict[str, Tensor], tmp_path: Path) -> None:
    refused(write({"netG": released, "average": dict(released)}, tmp_path), tmp_path, "2 mappings have")
    twice = released | {f"module.{name}": value for name, value in released.items()}
    refused(write(twice, tmp_path), tmp_path, "tensors twice")


def test_faulty_tensors_are_named(released: dict[str, Tensor], tmp_path: Path) -> None:
    released["model_layer99.weight"] = torch.zeros(1)
    released["model_layer3.1.weight"] = torch.zeros(16, 8, 3, 3)
    del released["LD.linear.bias"]
    source = write(released, tmp_path)
    refused(source, tmp_path, "missing: LD.linear.bias (1); unknown: model_layer99.weight (1); ")
    refused(source, tmp_path, "wrong shape: model_layer3.1.weight (16, 8, 3, 3), not (16, 8, 4, 4) (1)")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (STEM, torch.zeros(2, 4, 3, 3), "takes 4 channels, image and mask; this option is not supported"),
        (STEM, torch.zeros(3), "has the shape (3,)"),
        (STEM, torch.zeros(0, 3, 3, 3), "has the shape (0, 3, 3, 3)"),
        (STEM, torch.zeros(5, 3, 3, 3), "not (40, 40, 3, 3)"),
        (STEM, torch.zeros(1).expand(10**9, 3, 3, 3), "not stored whole"),
        (STEM, torch.zeros(2, 3, 3, 3, device="meta"), "not stored as plain numbers"),
        (BIAS, torch.zeros(3).to_sparse(), "not stored as plain numbers"),
        (BIAS, torch.zeros(3, dtype=torch.int32), "wrong type: model_out.1.bias torch.int32"),
        (BIAS, [0.0, 0.0, 0.0], "is no tensor but list"),
        ("LD.linear.weight", torch.zeros(16, 32), "wrong shape: LD.linear.weight"),
        ("model_layer11att.squeeze.weight", torch.zeros(1), "unknown: model_layer11att.squeeze.weight"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_tensor(name: str, value: object, message: str, released: dict[str, Any], tmp_path: Path) -> None:
    released[name] = value
    refused(write(released, tmp_path), tmp_path, message)


def test_a_checkpoint_without_stem(released: dict[str, Tensor], tmp_path: Path) -> None:
    del released[STEM]
    refused(write(released, tmp_path), tmp_path, f"missing: {STEM}")


def test_integers_in_npz(tmp_path: Path) -> None:
    source = savez(tmp_path / "a.npz", {STEM: np.zeros((2, 3, 3, 3), np.int64)})
    refused(source, tmp_path, f"not floating point: {STEM} int64")


def test_a_broken_array_in_npz(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr(f"{STEM}.npy", b"\x93NUMPY\x01\x00\x04\x00{}\n ")
    refused(tmp_path / "a.npz", tmp_path, "not a whole checkpoint that can be read (ValueError)")


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(released_file, "LARGEST_CONTENT", 1000)
    refused(GOLDEN, tmp_path, "would unpack to")


def test_help_has_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0 and "hdnet-convert latest_net_G.pth hdnet.safetensors --arch hdnet" in result.output


def test_our_own_weights_need_no_conversion(tmp_path):
    refused(weights_header.SHIPPED / "hdnet-lite.safetensors", tmp_path, "is a weights file of this program already")
