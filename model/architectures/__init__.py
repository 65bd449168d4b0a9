"""The networks, one folder each, and the table of their records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hdnet.model.architectures import ensemble, giftnet, hdnet, s2crnet
from hdnet.model.architectures.record import Architecture

if TYPE_CHECKING:
    from hdnet.model.architectures.base import Network

ARCHITECTURES: dict[str, Architecture[Any, Any]] = {
    record.name: record for record in (*hdnet.RECORDS, *giftnet.RECORDS, *s2crnet.RECORDS, *ensemble.RECORDS)
}
"""Every architecture by its name."""


def find(name: str) -> Architecture[Any, Any]:
    """Return the record of a named architecture.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(name: str, fields: Mapping[str, Any] | None = None) -> Network:
    """Build a named architecture's network with random weights.

    Args:
        name: One of `ARCHITECTURES`.
        fields: Configuration fields to use instead of the architecture's own.

    Raises:
        ValueError: The name or a field is unknown, or a field has a value it cannot have.
    """
    architecture = find(name)
    network: Network = architecture.build(architecture.configure(fields or {}))
    return network
