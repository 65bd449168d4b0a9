"""Weights files: safetensors whose header says what the weights are and proves that they are whole.

The header's one entry, "hdnet", is JSON: architecture, config, version, sha256 of the tensors, and the
model card (training data, recipe, metrics, limits). Nothing is ever unpickled.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from hdnet.model.architectures.base import Network
from hdnet.model.weights.weights_header import VERSION, architecture_of, explained, header_of
from hdnet.model.weights.weights_header import local_copy as local_copy
from hdnet.model.weights.weights_header import read_header as read_header
from hdnet.model.weights.weights_header import shipped as shipped
from hdnet.transforms import storage
from hdnet.transforms.errors import WeightsError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The types that weights may be stored in."""


def load_network(source: str | os.PathLike[str]) -> Network:
    """Build the network a weights file describes and load it, in eval mode, float32, on the CPU.

    Args:
        source: The name of shipped weights (see `shipped`), a path, or any URI fsspec opens.

    Raises:
        WeightsError: There is no such file, it is no safetensors file, is truncated or altered, has no
            header of ours or a newer one, or its tensors do not fit the architecture it names.
    """
    return load_with_header(source)[0]


def load_with_header(source: str | os.PathLike[str]) -> tuple[Network, dict[str, Any]]:
    """Load a network as `load_network` does, and return it with its file's header.

    Raises:
        WeightsError: As for `load_network`.
    """
    name = os.fspath(source)
    with local_copy(name) as path:
        header = header_of(path, name)
        # A network without storage first: nothing is allocated that the file's own tensors do not fill.
        outline = _build(header, "meta", name)
        tensors = _read_tensors(path, name)
        check_fit(outline.state_dict(), tensors, name)
        if digest(tensors) != header.get("sha256"):
            raise WeightsError(f"{name}: the tensors do not match the header's sha256; copy the file again")
        network = _build(header, "cpu", name).float()
        network.load_state_dict(tensors)
    return network.eval(), header


def save(network: Network, path: Path, card: Mapping[str, Any]) -> None:
    """Write a network's weights under a temporary name, then rename: the file is whole or not there.

    Args:
        network: It was built by its architecture.
        path: Where to write.
        card: JSON values for people: training data, recipe, metrics, limits; and `smoothing`, which `Harmonizer` obeys.

    Raises:
        StorageError: The file cannot be written.
    """
    tensors = {name: _plain(value) for name, value in network.state_dict().items()}
    header = {
        "version": VERSION,
        "architecture": network.architecture.name,
        "config": network.config.to_json(),
        "sha256": digest(tensors),
        **({"choices": network.architecture.choices} if network.architecture.choices else {}),
    }
    if taken := sorted(set(header) & set(card)):
        raise ValueError(f"a model card cannot set {', '.join(taken)}")
    storage.write(path, safetensors.torch.save(tensors, {"hdnet": json.dumps({**header, **card})}))


def load_tensors(network: Network, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load tensors into a network; every name and shape must match.

    Raises:
        WeightsError: As for `check_fit`.
    """
    check_fit(network.state_dict(), tensors, name)
    network.load_state_dict(dict(tensors))


def check_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], name: str) -> None:
    """Make sure that tensors have the names and shapes of those wanted, and floating point numbers where they have.

    Raises:
        WeightsError: Names the missing and unknown tensors, and those of another shape or type.
    """
    both = [(key, wanted[key].shape, found[key]) for key in wanted if key in found]
    faults = {
        "missing": sorted(set(wanted) - set(found)),
        "unknown": sorted(set(found) - set(wanted)),
        "wrong shape": [f"{k} {tuple(v.shape)}, not {tuple(shape)}" for k, shape, v in both if v.shape != shape],
        "wrong type": [f"{k} {v.dtype}, not {wanted[k].dtype}" for k, _, v in both if not _fits(v, wanted[k])],
    }
    if any(faults.values()):
        parts = (f"{label}: {', '.join(keys[:5])} ({len(keys)})" for label, keys in faults.items() if keys)
        raise WeightsError(f"{name}: the tensors do not fit the architecture; {'; '.join(parts)}")


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, types, shapes and bytes, in order of name."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(_plain(value).flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _fits(found: Tensor, wanted: Tensor) -> bool:
    return found.dtype in FLOATS if wanted.is_floating_point() else found.dtype == wanted.dtype


def _plain(value: Tensor) -> Tensor:
    # `contiguous` keeps odd strides where a dimension is 1; a clone does not.
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _build(header: dict[str, Any], device: str, name: str) -> Network:
    architecture, config = architecture_of(header, name)
    try:
        with torch.device(device):
            network: Network = architecture.build(config)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # of absurd sizes
        raise WeightsError(f"{name}: cannot build the network its header describes: {error}") from error
    return network


def _read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    with explained(name):
        return safetensors.torch.load_file(path)
