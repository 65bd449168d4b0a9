"""Architecture names: the one place that maps a name to a network class and its configuration."""

import dataclasses
from typing import Any

from torch import nn

from hdnet.model.architectures.hdnet.network import HDNet
from hdnet.model.training.config import HDNetConfig


@dataclasses.dataclass(frozen=True)
class Architecture:
    """How to build one named architecture.

    Attributes:
        network: Built from a configuration; `network(config).config` gives it back.
        config: The configuration's class, with `to_json` and `from_json`.
        defaults: Fields in which the architecture differs from the class's defaults.
    """

    network: type[HDNet]
    config: type[HDNetConfig]
    defaults: dict[str, Any]


ARCHITECTURES = {
    "hdnet": Architecture(HDNet, HDNetConfig, {"width": 32}),
    "hdnet-lite": Architecture(HDNet, HDNetConfig, {"width": 8}),
}


def build(name: str, fields: dict[str, Any] | None = None) -> nn.Module:
    """Build a named architecture with random weights.

    Args:
        name: One of `ARCHITECTURES`.
        fields: Configuration fields to use instead of the architecture's.

    Raises:
        ValueError: The name or a field is unknown, or a field has a value it cannot have.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[name]
    return architecture.network(architecture.config.from_json({**architecture.defaults, **(fields or {})}))
