"""`hdnet-convert`: reads checkpoints of the authors' released HDNet code and writes weights files of ours.

Nothing but tensors is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdnet.transforms.errors import HarmonizeError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

STEM = "model_layer0.weight"

LARGEST_CONTENT = 1 << 32
"""Unpacked bytes of a zip; a whole training state of HDNet has 0.13 GB."""

MODULES = {
    "stem": "model_layer0",
    "neck": "model_layer71.1",
    "local.linear": "LD.linear",
    "widen.conv": "model_layer72.1",
    "widen.norm": "model_layer72norm",
    **{f"encoder.{i}.conv": f"model_layer{i + 1}.1" for i in range(6)},
    **{f"decoder.{i}.conv": f"model_layer{i + 8}.1" for i in range(6)},
    **{f"decoder.{i}.norm": f"model_layer{i + 8}norm" for i in range(6)},
    "decoder.4.dynamics.squeeze": "model_layer11att.conv_kernel.1",
    "decoder.4.dynamics.kernels": "model_layer11att.conv_kernel.3",
    "decoder.5.dynamics.squeeze": "model_layer12att.conv_kernel.1",
    "decoder.5.dynamics.kernels": "model_layer12att.conv_kernel.3",
    "last.squeeze": "model_layer13att.conv_kernel.1",
    "last.kernels": "model_layer13att.conv_kernel.3",
    "out": "model_out.1",
}
"""Our modules' names -> the released code's."""

UNUSED = frozenset(f"model_layer{i}att.conv_guide.{kind}" for i in (11, 12, 13) for kind in ("weight", "bias"))
"""The learned-mask branch, in every released checkpoint but without effect where the mask is given."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a conversion found.

    Attributes:
        width: Of the network, inferred from the tensors.
        usual_width: The architecture's own.
        tensors: How many were converted.
        dropped: Released names of the tensors that have no effect.
    """

    width: int
    usual_width: int
    tensors: int
    dropped: list[str]


@click.command(short_help="Convert a checkpoint of the authors' HDNet code.")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--arch", default="hdnet", show_default=True, help="Architecture to record: hdnet or hdnet-lite.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def main(source: str, out: Path, arch: str, overwrite: bool) -> None:
    """Convert SOURCE, a checkpoint of the authors' released HDNet code, to OUT, a weights file.

    SOURCE is a .pth or .npz file or a URI (gs://, s3://, https://); its network may have any width. A .pth
    may be a bare state dict or hold one under a key; one that holds anything but plain values is refused.

    \b
    Example:
      hdnet-convert latest_net_G.pth hdnet.safetensors --arch hdnet
    """
    if out.exists() and not overwrite:
        raise click.ClickException(f"{out} exists already: add --overwrite, or choose another name")
    try:
        done = convert(source, out, arch)
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error
    if done.dropped:
        click.echo(f"dropped, because a given mask leaves it unused: {', '.join(done.dropped)}")
    if done.width != done.usual_width:
        click.echo(f"width {done.width}, where {arch} has {done.usual_width}: recorded in {out}")
    click.echo(f"{out}: {done.tensors} tensors, {arch} of width {done.width}")


def convert(source: str, out: Path, arch: str = "hdnet") -> Conversion:
    """Convert a checkpoint of the released code to a weights file of ours.

    Args:
        source: A path or any URI fsspec opens.
        out: Where to; replaced if it exists.
        arch: Name in the registry; the network's width is the checkpoint's.

    Raises:
        WeightsError: The source cannot be read, is no checkpoint, holds more than tensors, or its tensors
            are not the released network's; or the architecture is unknown.
        StorageError: `out` cannot be written.
    """
    from hdnet.model.architectures import registry
    from hdnet.model.weights import weights_file

    with weights_file.local_copy(source) as path:
        released = dict(_select(_read(path, source), source))
        digest = _sha256(path)
    dropped = sorted(UNUSED & set(released))
    kept = {key: value for key, value in released.items() if key not in UNUSED}
    network = _network(arch, kept, source)
    card = {
        "converted_from": Path(source.partition("?")[0]).name,
        "converted_from_sha256": digest,
        "dropped": dropped,
        "limits": "Trained elsewhere with the authors' released code; training data and quality are not known here.",
    }
    weights_file.save(network, out, arch, card)
    usual_width = registry.ARCHITECTURES[arch].defaults["width"]
    return Conversion(len(kept[STEM]), usual_width, len(kept), dropped)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, source: str) -> Any:
    # numpy and torch raise whatever the broken bytes make them raise; torch's own text advises to unpickle.
    try:
        with warnings.catch_warnings():  # about old formats; the errors below say all there is to say
            warnings.simplefilter("ignore")
            arrays = any(name.endswith(".npy") for name in _members(path))
            return _read_npz(path) if arrays else _read_pickle(path)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    except Exception as error:
        raise WeightsError(f"{source}: not a whole checkpoint that can be read ({type(error).__name__})") from error


def _members(path: Path) -> list[str]:
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as file:
        if (size := sum(info.file_size for info in file.infolist())) > LARGEST_CONTENT:
            raise WeightsError(f"would unpack to {size} bytes; no checkpoint of HDNet is that large")
        return file.namelist()


def _read_pickle(path: Path) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it names {found[1]}" if found else "it has a pickle instruction that tensors do not need"
        raise WeightsError(
            f"holds more than tensors ({what}), or is no checkpoint; nothing of it was run. Where you trust it, save"
            " its state dict alone, torch.save(net.state_dict(), path), and convert that"
        ) from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    import numpy as np
    import torch

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


def _select(content: Any, source: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the one mapping, however deep, that has the released names."""
    found = [mapping for mapping in _mappings(content) if _names_in(mapping)]
    if len(found) != 1:
        keys = ", ".join(map(repr, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        many = f"{len(found)} mappings have" if found else "nothing in it has"
        raise WeightsError(f"{source}: {many} the released network's names, such as {STEM}; it holds {keys}")
    names = [_plain_name(key) for key in found[0]]
    if len(set(names)) < len(names):
        raise WeightsError(f"{source}: has tensors twice, with and without `module.` before their names")
    for name, value in zip(names, found[0].values(), strict=True):
        if problem := _problem(value):
            raise WeightsError(f"{source}: {name} {problem}")
        yield name, value


def _mappings(content: Any) -> Iterator[Mapping[Any, Any]]:
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values())
            yield value


def _names_in(keys: Iterable[Any]) -> set[str]:
    modules = set(MODULES.values())
    names = {_plain_name(key) for key in keys}
    return {name for name in names if name in UNUSED or name.rpartition(".")[0] in modules}


def _plain_name(key: Any) -> str:
    return re.sub(r"^(module\.)+", "", str(key))


def _problem(value: Any) -> str | None:
    import torch

    if not isinstance(value, torch.Tensor):
        return f"is no tensor but {type(value).__name__}"
    if value.layout != torch.strided or value.device.type != "cpu":
        return f"is not stored as plain numbers ({value.layout}, {value.device.type})"
    if value.numel() * value.itemsize > value.untyped_storage().nbytes():
        return f"claims the shape {tuple(value.shape)} but is not stored whole"
    return None


def _network(arch: str, kept: Mapping[str, Tensor], source: str) -> nn.Module:
    import torch

    from hdnet.model.architectures import registry
    from hdnet.model.weights import weights_file

    fields = {"width": _width(kept, source), "local_dynamics": "released"}
    try:
        # Without storage first: nothing is allocated that the checkpoint's own tensors do not fill.
        with torch.device("meta"):
            outline = registry.build(arch, fields).state_dict()
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source}: cannot be converted to {arch!r}: {error}") from error
    outline["local.linear.weight"].unsqueeze_(-1)  # the released code has a Conv1d here
    weights_file.check_fit({released_name(name): value for name, value in outline.items()}, kept, source)
    network = registry.build(arch, fields)
    network.load_state_dict({k: kept[released_name(k)].view(v.shape) for k, v in network.state_dict().items()})
    return network


def _width(kept: Mapping[str, Tensor], source: str) -> int:
    if STEM not in kept:
        raise WeightsError(f"{source}: the tensors do not fit the architecture; missing: {STEM}")
    shape = tuple(kept[STEM].shape)
    if len(shape) == 4 and shape[1] == 4:
        raise WeightsError(f"{source}: its stem takes 4 channels, image and mask; this option is not supported")
    if len(shape) != 4 or not shape[0]:
        raise WeightsError(f"{source}: {STEM} has the shape {shape}, not (width, 3, 3, 3)")
    return shape[0]


def released_name(name: str) -> str:
    """Return the released code's name of one of our tensors."""
    module, _, kind = name.rpartition(".")
    return f"{MODULES[module]}.{kind}"


if __name__ == "__main__":
    main()
