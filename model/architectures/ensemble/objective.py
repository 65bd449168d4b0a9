"""An ensemble is trained in its parts: each batch trains both networks, each by its own objective."""

from typing import Any

from torch import Tensor

from hdnet.model.architectures.base import Batch, Descend, Objective


class EnsembleObjective:
    """The objectives of the two networks.

    Args:
        parts: The objectives by their networks' names.
    """

    def __init__(self, parts: dict[str, Objective]) -> None:
        self.parts = parts

    def step(self, batch: Batch, descend: Descend) -> Tensor:
        """Train both networks on a batch; return the sum of their losses."""
        first, second = (part.step(batch, descend) for part in self.parts.values())
        return first + second

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each objective under its network's name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
