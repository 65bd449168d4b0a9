"""Join an HDNet and an S2CRNet, each trained alone, to an ensemble: `python -m hdnet.model.weights.join`."""

from pathlib import Path

import click

from hdnet.transforms.errors import HarmonizeError, WeightsError


@click.command(short_help="Join an HDNet and an S2CRNet to an ensemble.")
@click.argument("hdnet")
@click.argument("s2crnet")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--share", required=True, type=click.FloatRange(0, 1), help="Of S2CRNet's colours in the result.")
@click.option("--smoothing", default=0.0, show_default=True, type=click.FloatRange(0, 1),
              help="How far the change of an object's colours is moved towards one smooth map.")  # fmt: skip
def main(hdnet: str, s2crnet: str, out: Path, share: float, smoothing: float) -> None:
    """Write weights of an ensemble to OUT, which has the two networks HDNET and S2CRNET, as they are."""
    try:
        join(hdnet, s2crnet, out, share, smoothing)
    except (HarmonizeError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def join(hdnet: str, s2crnet: str, out: Path, share: float, smoothing: float = 0.0) -> None:
    """Write an ensemble.

    Args:
        hdnet: Weights of an HDNet.
        s2crnet: Weights of an S2CRNet without labels.
        out: Where to.
        share: Of S2CRNet's colours in the result, 0 to 1.
        smoothing: What the card asks for.

    Raises:
        WeightsError: One cannot be loaded, or is another network.
        ValueError: As for `EnsembleConfig`.
    """
    from hdnet.model import architectures
    from hdnet.model.training.config import without_folders
    from hdnet.model.weights import weights_file

    sources = {"hdnet": hdnet, "s2crnet": s2crnet}
    networks = {name: weights_file.load_network(source) for name, source in sources.items()}
    for name, network in networks.items():
        if not isinstance(network, wanted := _class_of(name)):
            raise WeightsError(f"{sources[name]} holds no {wanted.__name__}, but {network.architecture.name}")
    configs = {name: network.config.to_json() for name, network in networks.items()}
    ensemble = architectures.build("ensemble", {**configs, "share": share})
    for name, network in networks.items():
        ensemble.get_submodule(name).load_state_dict(network.state_dict())
    recipes = {
        name: without_folders(weights_file.read_header(source).get("recipe", {})) for name, source in sources.items()
    }
    weights_file.save(ensemble, out, {"recipe": recipes, "smoothing": smoothing})


def _class_of(name: str) -> type:
    from hdnet.model.architectures.hdnet.network import HDNet
    from hdnet.model.architectures.s2crnet.network import S2CRNet

    return {"hdnet": HDNet, "s2crnet": S2CRNet}[name]


if __name__ == "__main__":
    main()
