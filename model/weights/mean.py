"""Take the weighted mean of two weights files of one run's line: `python -m hdnet.model.weights.mean`.

Where one was trained on from the other, their mean can be better than both: it keeps what the first knew, and part of
what the second learned (docs/lessons.md has figures).
"""

from pathlib import Path
from typing import Any

import click

from hdnet.transforms.errors import HarmonizeError


@click.command(short_help="Take the mean of two weights files.")
@click.argument("source")
@click.argument("other")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--share", required=True, type=click.FloatRange(0, 1), help="Of OTHER in the mean.")
def main(source: str, other: str, out: Path, share: float) -> None:
    """Write (1 - SHARE) * SOURCE + SHARE * OTHER to OUT, with the recipe of SOURCE."""
    try:
        mean(source, other, out, share)
    except HarmonizeError as error:
        raise click.ClickException(str(error)) from error


def mean(source: str, other: str, out: Path, share: float) -> None:
    """Write the mean of two networks of one configuration.

    Args:
        source: Weights; their card stays, but for its name and figures, which are of these weights alone.
        other: Weights.
        out: Where to.
        share: Of `other`.

    Raises:
        WeightsError: One cannot be loaded, or their tensors do not fit each other.
    """
    from hdnet.model.weights import weights_file

    header = weights_file.read_header(source)
    network, added = (weights_file.load_network(each) for each in (source, other))
    weights_file.check_fit(network.state_dict(), added.state_dict(), other)
    pairs = zip(network.state_dict().items(), added.state_dict().values(), strict=True)
    network.load_state_dict({name: value.lerp(second, share) for (name, value), second in pairs})
    own = {"version", "architecture", "config", "sha256", "choices", "metrics", "name"}
    kept: dict[str, Any] = {name: value for name, value in header.items() if name not in own}
    weights_file.save(network, out, kept)


if __name__ == "__main__":
    main()
