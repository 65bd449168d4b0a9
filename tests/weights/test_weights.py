"""Weights files: round trips, and every way in which a file can be broken, foreign or hostile."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import safetensors.torch
import torch

from hdnet.model import architectures
from hdnet.model.architectures.base import Network
from hdnet.model.weights import weights_file, weights_header
from hdnet.transforms.errors import StorageError, WeightsError

FIELDS = {"width": 2}


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return architectures.build("hdnet-lite", FIELDS)


@pytest.fixture
def saved(network: Network, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    weights_file.save(network, path, {"limits": "none known"})
    return path


def rewrite(path: Path, *, tensors: dict[str, torch.Tensor] | None = None, **changes: Any) -> Path:
    """Write a file again, with a header that is right but for the changes."""
    tensors = safetensors.torch.load_file(path) if tensors is None else tensors
    header = {**weights_file.read_header(path), "sha256": weights_file.digest(tensors), **changes}
    return raw(path, json.dumps(header), tensors)


def raw(path: Path, header: str, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    """Write a file whose header entry is any text."""
    tensors = safetensors.torch.load_file(path) if tensors is None else tensors
    path.write_bytes(safetensors.torch.save(tensors, {"hdnet": header}))
    return path


def width_of(source: str) -> int:
    return len(weights_file.load_network(source).state_dict()["stem.weight"])


def refused(path: Path | str, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        weights_file.load_network(path)
    assert Path(path).name in str(caught.value)


def test_round_trip(network: Network, saved: Path) -> None:
    loaded = weights_file.load_network(saved)
    assert not loaded.training and loaded.config == network.config
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_header_tells_what_the_weights_are(saved: Path) -> None:
    header = weights_file.read_header(saved)
    assert header["architecture"] == "hdnet-lite" and header["config"]["width"] == 2
    assert header["version"] == 1 and header["limits"] == "none known"
    assert header["sha256"] == weights_file.digest(safetensors.torch.load_file(saved))


def test_a_card_cannot_replace_the_header(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot set config, sha256"):
        weights_file.save(network, tmp_path / "x", {"sha256": "0", "config": {}})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_any_floating_type_loads_as_float32(dtype: torch.dtype, network: Network, tmp_path: Path) -> None:
    weights_file.save(network.to(dtype), tmp_path / "small", {})
    loaded = weights_file.load_network(tmp_path / "small")
    for name, value in network.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], value.float()), name


def test_integers_are_refused(saved: Path) -> None:
    tensors = safetensors.torch.load_file(saved)
    tensors["out.bias"] = torch.zeros(3, dtype=torch.int64)
    refused(rewrite(saved, tensors=tensors), r"wrong type: out.bias torch.int64")


def test_missing_unknown_and_misshapen_tensors_are_named(saved: Path) -> None:
    tensors = safetensors.torch.load_file(saved)
    tensors["strange"] = torch.tensor(1.0)
    tensors["out.bias"] = torch.zeros(4)
    del tensors["neck.weight"]
    path = rewrite(saved, tensors=tensors)
    refused(path, r"missing: neck.weight \(1\); unknown: strange \(1\); wrong shape: out.bias \(4,\), not \(3,\)")


def test_digest_knows_names_types_shapes_and_values() -> None:
    one = torch.zeros(2, 2)
    others = [{"b": one}, {"a": one.double()}, {"a": one.view(4)}, {"a": one + 1}, {"a": torch.tensor(0.0)}]
    assert len({weights_file.digest(tensors) for tensors in [{"a": one}, *others]}) == 6


def test_digest_does_not_depend_on_the_memory_layout() -> None:
    value = torch.rand(2, 3, 4, 5)
    assert weights_file.digest({"a": value}) == weights_file.digest({"a": value.to(memory_format=torch.channels_last)})


def test_altered_tensors_are_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    refused(saved, "do not match the header's sha256")


@pytest.mark.parametrize(
    "content, words",
    [(b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the file itself: run git lfs pull"),
     (b"<!DOCTYPE html>", "is a web page"), (b"", r"tiny\.safetensors is empty: copy it again")],
)  # fmt: skip
def test_what_lies_in_the_place_of_weights_is_named(content: bytes, words: str, saved: Path) -> None:
    saved.write_bytes(content)
    refused(saved, words)


@pytest.mark.parametrize("size", [3, 8, 100, -1])
def test_truncated_files_are_refused(size: int, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    refused(saved, "not a whole safetensors file")


def test_a_large_header_is_not_even_parsed(saved: Path) -> None:
    refused(raw(saved, "[" + "[]," * (weights_header.LARGEST_HEADER // 3) + "[]]"), "its header would have 419")


def test_other_formats_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickle.pth")
    refused(tmp_path / "pickle.pth", "not a safetensors file of ours")


@pytest.mark.parametrize("header", ["", "{", "[]", "3", "null", '"text"', "{}", "[" * 100_000, "9" * 5000])
def test_a_foreign_header_is_refused(header: str, saved: Path) -> None:
    refused(raw(saved, header), "without our header")


def test_a_file_without_header_is_refused(saved: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(1)}, saved)
    refused(saved, "without our header; make one with hdnet-convert")


@pytest.mark.parametrize("version", [2, "1", None, [1]])
def test_another_version_is_refused(version: object, saved: Path) -> None:
    refused(rewrite(saved, version=version), "written as version")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "hdnet-xl"}, "unknown architecture 'hdnet-xl'; known: hdnet, hdnet-lite"),
        ({"architecture": ["hdnet"]}, "cannot build"),
        ({"config": None}, "config None"),
        ({"config": []}, r"config \[\]"),
        ({"config": "width"}, "config 'width'"),
        ({"config": {"width": "2"}}, "width must be"),
        ({"config": {"width": True}}, "width must be"),
        ({"config": {"width": 2, "k": 1e9}}, "k must be"),
        ({"config": {"width": 2, "local_dynamics": {}}}, "local_dynamics must be"),
        ({"config": {"width": 2, "depth": 3}}, "unknown HDNetConfig fields: depth"),
        ({"config": {"width": 3}}, "wrong shape: stem.weight"),
        ({"config": {}}, r"wrong shape: stem.weight \(2, 3, 3, 3\), not \(8, 3, 3, 3\)"),
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_is_refused(changes: dict[str, Any], message: str, saved: Path) -> None:
    refused(rewrite(saved, **changes), message)


@pytest.mark.parametrize("power", [4, 6, 9, 30])
def test_a_claimed_width_costs_no_memory(power: int, saved: Path) -> None:
    refused(rewrite(saved, config={"width": 10**power}), "wrong shape|cannot build")


@pytest.mark.parametrize("field", ["architecture", "config", "sha256"])
def test_a_header_without_a_field_is_refused(field: str, saved: Path) -> None:
    header = weights_file.read_header(saved)
    del header[field]
    refused(raw(saved, json.dumps(header)), "cannot build|do not match")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "no such file, and no shipped weights; shipped: ")
    refused(tmp_path / ("long" * 200), "no such file")


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    refused(tmp_path, "a folder")
    refused(f"file://{tmp_path}", "a folder, not a file|cannot be fetched")


def test_uris(saved: Path) -> None:
    fsspec.filesystem("memory").pipe("/weights/tiny", saved.read_bytes())
    for source in ("memory://weights/tiny", f"file://{saved}"):
        assert width_of(source) == 2
        assert weights_file.read_header(source)["architecture"] == "hdnet-lite"


@pytest.mark.parametrize("source", ["memory://weights/absent", "file:///no/such/file", "martian://host/file"])
def test_a_uri_that_cannot_be_fetched(source: str) -> None:
    refused(source, f"{source}: cannot be fetched: ")


@pytest.fixture
def server(saved: Path) -> Iterator[str]:
    def handler(*arguments: Any) -> http.server.SimpleHTTPRequestHandler:
        return Quiet(*arguments, directory=str(saved.parent))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_http(server: str) -> None:
    pytest.importorskip("aiohttp")
    assert width_of(f"{server}/tiny.safetensors") == 2
    refused(f"{server}/absent", "cannot be fetched: .*there is no such file")


def test_shipped_weights_load_by_name(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setattr(weights_header, "SHIPPED", saved.parent)
    assert weights_file.shipped() == ["tiny"]
    assert width_of("tiny") == 2
    refused("tini", "no such file, and no shipped weights; shipped: tiny")


def test_every_shipped_file_loads() -> None:
    assert "hdnet-lite" in weights_file.shipped()
    for name in weights_file.shipped():
        assert weights_file.read_header(name)["architecture"] in architectures.ARCHITECTURES
        weights_file.load_network(name)


def test_a_file_that_cannot_be_written_leaves_nothing(network: Network, saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        weights_file.save(network, target, {})
    with pytest.raises(StorageError, match="cannot be written"):
        weights_file.save(network, saved / "under" / "a file", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", saved.name]


def test_load_tensors_is_strict(network: Network, saved: Path) -> None:
    with pytest.raises(WeightsError, match=r"here: .*missing: .* \(59\)"):
        weights_file.load_tensors(network, {}, "here")
    weights_file.load_tensors(network, safetensors.torch.load_file(saved), "here")
