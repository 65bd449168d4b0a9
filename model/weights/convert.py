"""`hdnet-convert`: turns a released checkpoint of other people's code into a weights file of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdnet.model import architectures, command
from hdnet.model.architectures import ARCHITECTURES
from hdnet.model.architectures.record import Architecture, Converter
from hdnet.model.config import Config
from hdnet.transforms.errors import HarmonizeError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from hdnet.model.architectures.base import Network

LIMITS = "Trained elsewhere with the authors' released code; training data and quality are not known here."


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        arch: Name of the architecture.
        fields: The configuration fields that were read from the tensors.
        usual: The architecture's own values of these fields.
        tensors: How many tensors were converted.
        dropped: Released names of the tensors that have no effect.
    """

    arch: str
    fields: dict[str, Any]
    usual: dict[str, Any]
    tensors: int
    dropped: list[str]


@click.command(short_help="Convert a released checkpoint.")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--arch", help=f"Architecture to record: {', '.join(ARCHITECTURES)}.  [default: the first that fits]")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@command.config
@command.version
def main(source: str, out: Path, arch: str | None, overwrite: bool) -> None:
    """Convert SOURCE, a checkpoint that a network's authors released, to OUT, a weights file.

    SOURCE is a .pth or .npz file or a URI (gs://, s3://, https://); its network may have any width. A .pth
    may be a bare state dict or hold one under a key; one that holds more than plain values is refused.

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
        click.echo(f"dropped, because the network does not use it: {', '.join(done.dropped)}")
    for name, value in done.fields.items():
        if value != done.usual[name]:
            click.echo(f"{name} {value}, where {done.arch} has {done.usual[name]}: recorded in {out}")
    told = ", ".join(f"{name} {value}" for name, value in done.fields.items())
    click.echo(f"{out}: {done.tensors} tensors, {done.arch}" + (f" of {told}" if told else ""))


def convert(source: str, out: Path, arch: str | None = None) -> Conversion:
    """Convert a released checkpoint to a weights file of ours.

    Args:
        source: A path or any URI fsspec opens.
        out: Where to write; replaced if it exists.
        arch: Name of the architecture; None for the first whose converter recognises the checkpoint. Its
            configuration is read from the tensors.

    Raises:
        WeightsError: The source cannot be read, is no checkpoint, holds more than tensors, or its tensors
            are not a released network's or not finite; or the architecture is unknown, or there is no converter for it.
        StorageError: `out` cannot be written.
    """
    from hdnet.model.weights import released_file, weights_file

    candidates = _candidates(arch)
    with weights_file.local_copy(source) as path:
        _refuse_ours(path, source)
        content, origin = released_file.read(path, source), released_file.origin(path, source)
    try:
        architecture, converter, released = _recognise(content, candidates)
        dropped = converter.unused(released)
        kept = {name: value for name, value in released.items() if name not in dropped}
        released_file.check_finite(kept)
        fields = converter.fields(kept)
        config = architecture.configure(fields)
    except (WeightsError, ValueError) as error:
        raise WeightsError(f"{source}: {error}") from error
    network = _network(config, architecture, converter, kept, source)
    weights_file.save(network, out, {**origin, "dropped": sorted(dropped), "limits": LIMITS})
    usual = architecture.configure({}).to_json()
    return Conversion(architecture.name, fields, usual, len(kept), sorted(dropped))


def _refuse_ours(path: Path, source: str) -> None:
    from hdnet.model.weights import weights_header

    try:
        weights_header.header_of(path, source)
    except WeightsError:  # as it should be
        return
    raise WeightsError(f"{source} is a weights file of this program already: use it as it is")


def _candidates(arch: str | None) -> list[tuple[Architecture[Any, Any], Converter]]:
    try:
        asked = ARCHITECTURES.values() if arch is None else [architectures.find(arch)]
    except ValueError as error:
        raise WeightsError(str(error)) from error
    found = [(each, each.converter) for each in asked if each.converter is not None]
    if not found:
        raise WeightsError(f"there is no released checkpoint of {arch} to convert; train it with hdnet-train")
    return found


def _recognise(
    content: Any, candidates: list[tuple[Architecture[Any, Any], Converter]]
) -> tuple[Architecture[Any, Any], Converter, dict[str, Tensor]]:
    """Return the first architecture whose released names one mapping in the checkpoint has, and that one's tensors."""
    from hdnet.model.weights import released_file

    for architecture, converter in candidates:
        if found := released_file.find(content, converter.recognises, converter.example):
            return architecture, converter, found
    keys = ", ".join(map(repr, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
    examples = " or ".join(dict.fromkeys(converter.example for _, converter in candidates))
    raise WeightsError(f"nothing in it has a released network's names, such as {examples}; it holds {keys}")


def _network(
    config: Config, architecture: Architecture[Any, Any], converter: Converter, kept: Mapping[str, Tensor], source: str
) -> Network:
    """Build the network and fill it with the released tensors."""
    import torch

    from hdnet.model.weights import weights_file

    # A network without storage first: nothing is allocated that the checkpoint's own tensors do not fill.
    with torch.device("meta"):
        outline = architecture.build(config)
    weights_file.check_fit(converter.released(outline.state_dict()), kept, source)
    network: Network = architecture.build(config)
    for name, value in converter.released(network.state_dict()).items():
        value.copy_(kept[name])
    return network


if __name__ == "__main__":
    main()
