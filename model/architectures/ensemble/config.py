"""What an ensemble is built from; free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from hdnet.model.architectures.hdnet.config import HDNetConfig
from hdnet.model.architectures.s2crnet.config import S2CRNetConfig
from hdnet.model.config import Config

PARTS: dict[str, Config] = {
    "hdnet": HDNetConfig(width=16),
    "s2crnet": S2CRNetConfig(backbone="efficientnet-lite0", start="identity", normalise=True, thumbnail=128, joint=256),
}
"""The two networks where nothing else is asked for."""
LEVELS = 255
"""The scale of `doubt` and of the sizes of changes."""
STEEPNESS = 8
"""How sharply changes below `doubt` and above it are told apart."""
TINY = 1e-3
"""Levels: the least size of a change that is told from none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnsembleConfig(Config):
    """The two networks, and what is made of their changes of the composite's colours.

    Attributes:
        hdnet: The network that sees every pixel.
        s2crnet: The network that sees thumbnails; it takes no labels.
        share: The weight of S2CRNet's change in the mean of both, 0 to 1.
        doubt: Levels of 255, 0 or more: half of a change of this size is made, and hardly any of one far below. An
            object that needs no change is seldom left alone by a network, but is changed little.

    Raises:
        ValueError: A field is outside its range, or S2CRNet takes labels; the message names field and value.
    """

    hdnet: HDNetConfig
    s2crnet: S2CRNetConfig
    share: float = 0.3
    doubt: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("share", 1), ("doubt", LEVELS)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= most:
                raise ValueError(f"{name} must be a number from 0 to {most}: {value!r}")
        if self.s2crnet.semantic:
            raise ValueError("s2crnet must be one without labels, for an ensemble is told none: semantic=True")

    def strength(self, change: float) -> float:
        """Return how much of a mean change is made, 0 to 1.

        Args:
            change: Its root mean square over the foreground, in levels of 255.
        """
        return 1 / (1 + (self.doubt / max(change, TINY)) ** STEEPNESS)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build a configuration; the networks' fields may be given in part."""
        parts = {name: _part(name, fields.get(name, {})) for name in PARTS}
        return super().from_json({**fields, **parts})


def _part(name: str, fields: object) -> Config:
    if not isinstance(fields, Mapping):
        raise ValueError(f"{name} must be an object such as {PARTS[name].to_json()}: {fields!r}")
    try:
        return type(PARTS[name]).from_json({**PARTS[name].to_json(), **fields})
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
