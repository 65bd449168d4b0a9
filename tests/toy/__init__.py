"""A toy architecture, one gain per channel, which lives here alone: what the house asks of any other is in its record.

A process knows it once this package is imported and `register` is called.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from hdnet.model.architectures import ARCHITECTURES
from hdnet.model.architectures.record import Architecture, Size
from hdnet.model.config import Config

SIZE = Size(minimum=6, multiple=3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyConfig(Config):
    """Where training starts.

    Attributes:
        start: The first gain of every channel.
    """

    start: float = 1.0

    def __post_init__(self) -> None:
        if type(self.start) not in (int, float):
            raise ValueError(f"start must be a number: {self.start!r}")


class ReleasedToy:
    """Its tensor has another name and one more dimension."""

    example = "amplifier.gain"

    def recognises(self, names: Collection[str]) -> bool:
        return self.example in names

    def unused(self, tensors: Mapping[str, Any]) -> set[str]:
        return {"amplifier.colour"} & tensors.keys()

    def fields(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def released(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        return {self.example: tensors["gain"][None]}


def _network(config: ToyConfig) -> Any:
    from tests.toy.network import Toy

    return Toy(config)


def _renderer(*arguments: Any) -> Any:
    from hdnet.model.architectures.base import PaddedRenderer

    return PaddedRenderer.of(*arguments)


def _objective(*arguments: Any) -> Any:
    from tests.toy.network import ToyObjective

    return ToyObjective(*arguments)


RECORD: Architecture[ToyConfig, Any] = Architecture(
    name="toy",
    config=ToyConfig,
    defaults={"start": 0.5},
    size=SIZE,
    peak_bytes=lambda config, height, width, precision: 300_000_000 + 60 * SIZE.padded(height) * SIZE.padded(width),
    network=_network,
    renderer=_renderer,
    objective=_objective,
    converter=ReleasedToy(),
)


def register() -> None:
    """Make the toy known to this process."""
    ARCHITECTURES[RECORD.name] = RECORD
