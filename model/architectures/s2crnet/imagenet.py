"""Begin a training of S2CRNet with ImageNet weights: `python -m hdnet.model.architectures.s2crnet.imagenet`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hdnet.model import architectures, command
from hdnet.transforms.errors import HarmonizeError, WeightsError

BACKBONE = "efficientnet-lite0"
STEM = {"conv": "_conv_stem", "norm": "_bn0"}
BLOCK = {
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
    "conv": "_expand_conv",
    "norm": "_bn0",
}
"""Our modules in a layer -> the checkpoint's in a block; the last layer, without parts, is the beginning of a block."""
FIRST_BLOCK = 3
"""The number of the layer that is block 0."""
LIMITS = "A start for training: ImageNet's weights in the backbone, and curves that change nothing."


@click.command(short_help="Begin an S2CRNet with ImageNet weights.")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@command.network("joint=256 or thumbnail=128")
def main(source: str, out: Path, network: dict[str, Any]) -> None:
    """Write an S2CRNet with the backbone SOURCE, and with curves that change nothing, to OUT.

    SOURCE is a checkpoint of EfficientNet-Lite0, such as efficientnet-lite0-57934424.pth: a path or a URI. OUT is for
    hdnet-train --init, which must be given the same --network, and --network backbone=efficientnet-lite0.
    """
    try:
        begin(source, out, network)
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error


def begin(source: str, out: Path, fields: Mapping[str, Any]) -> None:
    """Write an S2CRNet whose backbone is a checkpoint's and whose curves change nothing: the same one each time.

    Args:
        source: A path or any URI fsspec opens.
        out: Where to write; replaced if it exists.
        fields: Of `S2CRNetConfig`, where they differ from its own, but for backbone and start.

    Raises:
        WeightsError: The source cannot be read, is no checkpoint or holds more than tensors; or its tensors are not
            EfficientNet-Lite0's or not finite; or there is no such configuration.
        StorageError: `out` cannot be written.
    """
    import torch

    from hdnet.model.weights import released_file, weights_file

    torch.manual_seed(0)  # the layers of `joint` and of labels begin at random
    network = _build(fields)
    wanted = {released_name(name): value for name, value in network.embedding.backbone.state_dict().items()}
    with weights_file.local_copy(source) as path:
        content, origin = released_file.read(path, source), released_file.origin(path, source)
    try:
        released = released_file.find(content, lambda names: "_conv_stem.weight" in names, "_conv_stem.weight") or {}
        kept = {name: released[name] for name in wanted if name in released}
        released_file.check_finite(kept)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    weights_file.check_fit(wanted, kept, source)
    for name, value in wanted.items():
        value.copy_(kept[name])
    weights_file.save(network, out, {**origin, "limits": LIMITS})


def released_name(name: str) -> str:
    """Return the checkpoint's name of one of the backbone's tensors."""
    layer, _, rest = name.partition(".")
    module, _, kind = rest.rpartition(".")
    block = int(layer) - FIRST_BLOCK
    return f"{STEM[module]}.{kind}" if block < 0 else f"_blocks.{block}.{BLOCK[module]}.{kind}"


def _build(fields: Mapping[str, Any]) -> Any:
    if fields.get("backbone", BACKBONE) != BACKBONE:
        raise WeightsError(f"the weights are of the backbone {BACKBONE}, not of {fields['backbone']}")
    if fields.get("start", "identity") != "identity":
        raise WeightsError(f"the curves begin with the identity, not with {fields['start']}: leave out start")
    try:
        return architectures.build("s2crnet", {**fields, "backbone": BACKBONE, "start": "identity"})
    except (TypeError, ValueError) as error:
        raise WeightsError(f"cannot build the network: {error}") from error


if __name__ == "__main__":
    main()
