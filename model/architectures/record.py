"""The record of an architecture: all that commands, trainer and pipeline ask of one. It is free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hdnet.model.config import Config
from hdnet.model.precision import Precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hdnet.model.architectures.base import Distribute, Network, Objective, Renderer
    from hdnet.model.training.config import TrainConfig

C = TypeVar("C", bound=Config)
N = TypeVar("N", bound="Network")


@dataclasses.dataclass(frozen=True)
class Size:
    """The heights and widths that a network takes.

    Attributes:
        minimum: The smallest side, in pixels.
        multiple: Every side is a multiple of so many pixels.
    """

    minimum: int = 1
    multiple: int = 1

    def padded(self, side: int) -> int:
        """Return the smallest side that the network takes and that is no shorter than this one."""
        return -(-max(side, self.minimum) // self.multiple) * self.multiple


class Converter(Protocol):
    """Recognises a released checkpoint of other code, and renames its tensors.

    Attributes:
        example: The name of one released tensor, for messages.
    """

    example: str

    def recognises(self, names: Collection[str]) -> bool:
        """Say whether these names of tensors are, at least in part, the released network's."""

    def unused(self, tensors: Mapping[str, Tensor]) -> set[str]:
        """Return the names of released tensors that have no effect, so that they can be dropped.

        Raises:
            WeightsError: The tensors are not the released network's.
        """

    def fields(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read configuration fields from the shapes of the released tensors.

        Raises:
            WeightsError: The tensors are not the released network's.
        """

    def released(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return our network's tensors, or views of them, under the released names and in the released shapes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(Generic[C, N]):
    """One named architecture.

    Attributes:
        name: The name that commands and weights files use.
        config: The configuration's class.
        defaults: Fields in which the architecture differs from the class's own defaults.
        recipe: Fields of `TrainConfig` in which its paper's training differs from the class's own defaults.
        size: The sizes that the network takes.
        peak_bytes: Called with (config, height, width, precision); returns about how many bytes a process takes at
            its peak while it harmonizes one image of this size.
        network: Builds the network, with random weights, from a configuration.
        renderer: Called with (network, device, precision); runs the network on images of any size.
        objective: Called with (recipe, network, device, distribute); trains the network.
        converter: Converts a released checkpoint of other code; None where there is none.
        choices: What is ours in the network and its training, and not known of the paper's; weights files say it.
    """

    name: str
    config: type[C]
    defaults: Mapping[str, Any]
    size: Size
    peak_bytes: Callable[[C, int, int, Precision], int]
    network: Callable[[C], N]
    renderer: Callable[[N, torch.device, Precision], Renderer]
    objective: Callable[[TrainConfig, N, torch.device, Distribute], Objective]
    converter: Converter | None = None
    choices: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def configure(self, fields: Mapping[str, Any]) -> C:
        """Return the architecture's configuration with some fields changed.

        Raises:
            ValueError: A field is unknown, or has a value it cannot have.
        """
        return self.config.from_json({**self.defaults, **fields})

    def build(self, config: C) -> N:
        """Build the network with random weights; it knows this record."""
        network = self.network(config)
        network.architecture = self
        return network
