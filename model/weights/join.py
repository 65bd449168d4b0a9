"""Join an HDNet and an S2CRNet, each trained alone, to an ensemble: `python -m hdnet.model.weights.join`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdnet.transforms.errors import HarmonizeError, WeightsError

if TYPE_CHECKING:
    from hdnet.model.architectures.base import Network


@click.command(short_help="Join an HDNet and an S2CRNet to an ensemble.")
@click.argument("hdnet")
@click.argument("s2crnet")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--share", required=True, type=click.FloatRange(0, 1), help="The weight of S2CRNet's change.")
@click.option("--doubt", default=0.0, show_default=True, help="Levels of 255: half of a change of this size is made, "
              "and hardly any of a much smaller one.")  # fmt: skip
@click.option("--smoothing", type=click.FloatRange(0, 1), help="How far the change of an object's colours is moved "
              "towards one smooth map.  [default: what HDNET's card asks for]")  # fmt: skip
def main(hdnet: str, s2crnet: str, out: Path, share: float, doubt: float, smoothing: float | None) -> None:
    """Write weights of an ensemble to OUT, which has the two networks HDNET and S2CRNET, as they are."""
    try:
        join(hdnet, s2crnet, out, share, doubt, smoothing)
    except (HarmonizeError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def join(hdnet: str, s2crnet: str, out: Path, share: float, doubt: float = 0.0, smoothing: float | None = None) -> None:
    """Write an ensemble.

    Args:
        hdnet: Weights of an HDNet.
        s2crnet: Weights of an S2CRNet without labels.
        out: The file to write.
        share: As for `EnsembleConfig`.
        doubt: As there.
        smoothing: The smoothing that the card asks for; None for that of HDNet's card.

    Raises:
        WeightsError: One cannot be loaded, or is another network.
        ValueError: As for `EnsembleConfig`.
    """
    from hdnet.model import architectures
    from hdnet.model.architectures.hdnet.network import HDNet
    from hdnet.model.architectures.s2crnet.network import S2CRNet
    from hdnet.model.weights import weights_file
    from hdnet.model.weights.weights_header import smoothing_of

    parts = {"hdnet": _load(hdnet, HDNet), "s2crnet": _load(s2crnet, S2CRNet)}
    configs = {name: network.config.to_json() for name, network in parts.items()}
    ensemble = architectures.build("ensemble", {**configs, "share": share, "doubt": doubt})
    for name, network in parts.items():
        ensemble.get_submodule(name).load_state_dict(network.state_dict())
    if smoothing is None:
        smoothing = smoothing_of(weights_file.read_header(hdnet), hdnet)
    weights_file.save(ensemble, out, {"smoothing": smoothing})


def _load(source: str, wanted: type[Network]) -> Network:
    from hdnet.model.weights import weights_file

    network = weights_file.load_network(source)
    if not isinstance(network, wanted):
        raise WeightsError(f"{source} holds no {wanted.__name__}, but {network.architecture.name}: give others")
    return network


if __name__ == "__main__":
    main()
