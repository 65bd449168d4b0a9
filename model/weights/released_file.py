"""Reads checkpoints of other people's code, which may be hostile: nothing but tensors is ever unpickled."""

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnet.model.weights import weights_header
from hdnet.transforms.errors import WeightsError

_WRAPPERS = 3  # names that may stand before a tensor's own

LARGEST_CONTENT = 1 << 32
"""Most unpacked bytes of a zip; a whole training state of HDNet has 0.13 GB."""

NUMBERS = (
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)
"""What NumPy's numbers are pickled as; scores are, beside the tensors. They are not read."""


class _Ignored:
    """Stands for a value that is not read; it keeps nothing, and calls nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def read(path: Path, source: str) -> Any:
    """Return what a .pth or .npz file holds: a tensor, a plain value, or mappings and lists of them.

    Args:
        path: The file.
        source: The name that messages give it.

    Raises:
        WeightsError: It is no checkpoint, is broken or too large, or holds more than tensors and plain values.
    """
    weights_header.check_start(path, source)
    # numpy and torch raise whatever the broken bytes make them raise, and torch's own text advises to unpickle.
    try:
        with warnings.catch_warnings():  # about old formats; the errors below say all there is to say
            warnings.simplefilter("ignore")
            arrays = any(name.endswith(".npy") for name in _members(path))
            return _read_npz(path) if arrays else _read_pickle(path)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    except Exception as error:
        raise WeightsError(f"{source}: not a whole checkpoint that can be read ({type(error).__name__})") from error


def origin(path: Path, source: str) -> dict[str, str]:
    """Return what a model card says of the file that weights come from: its name and its sha256.

    Args:
        path: The file.
        source: The path or URI that was given for it.
    """
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"converted_from": Path(source.partition("?")[0]).name, "converted_from_sha256": digest}


def find(content: Any, recognises: Callable[[Collection[str]], bool], example: str) -> dict[str, Tensor] | None:
    """Return the one mapping in a checkpoint, however deep, whose names are recognised, without what precedes these.

    Wrappers put their own names before: `module.` (DataParallel), `_orig_mod.` (torch.compile), and Lightning the name
    of an attribute, beside other networks of the training.

    Args:
        content: What `read` returned.
        recognises: Called with the names of a mapping.
        example: One of the names, for messages.

    Returns:
        Tensors by their names; None where no mapping is recognised.

    Raises:
        WeightsError: There are several, a tensor is there twice, or a value is not a tensor that is stored whole.
    """
    found = [each for mapping in _mappings(content) for each in _unwrapped(mapping, recognises, _WRAPPERS)]
    if len(found) > 1:
        raise WeightsError(f"{len(found)} mappings have the released network's names, such as {example}")
    return _tensors(found[0]) if found else None


def check_finite(values: Mapping[str, Tensor]) -> None:
    """Check that every number is one.

    Raises:
        WeightsError: A tensor holds NaN or infinity.
    """
    for name, value in values.items():
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise WeightsError(f"{name} holds NaN or infinite values: the training failed, take an earlier checkpoint")


def _tensors(mapping: Mapping[str, Any]) -> dict[str, Tensor]:
    for name, value in mapping.items():
        if problem := _problem(value):
            raise WeightsError(f"{name} {problem}")
    return dict(mapping)


def _unwrapped(
    mapping: Mapping[Any, Any], recognises: Callable[[Collection[str]], bool], depth: int
) -> Iterator[dict[str, Any]]:
    plain = {_plain_name(key): value for key, value in mapping.items()}
    if recognises(plain.keys()):
        if len(plain) < len(mapping):
            raise WeightsError("has tensors twice, with and without a wrapper's name before theirs")
        yield plain
    elif depth:
        below: dict[str, dict[str, Any]] = {}
        for name, value in plain.items():
            first, dot, rest = name.partition(".")
            if dot:
                below.setdefault(first, {})[rest] = value
        for found in below.values():
            yield from _unwrapped(found, recognises, depth - 1)


def _members(path: Path) -> list[str]:
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as file:
        if (size := sum(info.file_size for info in file.infolist())) > LARGEST_CONTENT:
            raise WeightsError(f"would unpack to {size} bytes; no checkpoint that can be converted is that large")
        return file.namelist()


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in NUMBERS]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it names {found[1]}" if found else "it has a pickle instruction that tensors do not need"
        raise WeightsError(
            f"holds more than tensors ({what}), or is no checkpoint; nothing of it was run. Where you trust it, save"
            " its state dict alone, torch.save(net.state_dict(), path), and convert that"
        ) from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.files if name.startswith("weights/")] or file.files
            arrays = {name.removeprefix("weights/"): np.asarray(file[name]) for name in names}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise WeightsError("holds more than tensors (pickled objects); nothing of it was run") from error
        raise
    if odd := [f"{name} {array.dtype}" for name, array in arrays.items() if array.dtype.kind != "f"]:
        raise WeightsError(f"not floating point: {', '.join(odd[:5])}")
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def _mappings(content: Any) -> Iterator[Mapping[Any, Any]]:
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values())
            yield value


def _plain_name(key: Any) -> str:
    return re.sub(r"^((module|_orig_mod)\.)+", "", str(key))


def _problem(value: Any) -> str | None:
    if not isinstance(value, torch.Tensor):
        return f"is no tensor but {type(value).__name__}"
    if value.layout != torch.strided or value.device.type != "cpu":
        return f"is not stored as plain numbers ({value.layout}, {value.device.type})"
    if value.numel() * value.itemsize > value.untyped_storage().nbytes():
        return f"claims the shape {tuple(value.shape)} but is not stored whole"
    return None
