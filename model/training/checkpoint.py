"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdnet.model.training.trainer import Trainer
from hdnet.transforms import storage
from hdnet.transforms.errors import WeightsError

LAST, BEST = "last.pt", "best.pt"


@dataclasses.dataclass
class Progress:
    """The state of a run beside the trainer's own.

    Attributes:
        history: One row per validation, as in metrics.csv.
        best: The best validation PSNR so far, in dB.
        loss_sum: Sum of the losses since the last validation.
        loss_count: How many losses that are.
    """

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float = float("-inf")
    loss_sum: float = 0.0
    loss_count: int = 0


def save(path: Path, trainer: Trainer, progress: Progress) -> None:
    """Write a checkpoint; a crash at any moment leaves the old one or the new one, whole."""
    state = {
        "step": trainer.step,
        "network": trainer.network.state_dict(),
        "average": trainer.average,
        "progress": dataclasses.asdict(progress),
        **trainer.objective.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    storage.write(path, buffer.getvalue())


def restore(path: Path, trainer: Trainer) -> Progress:
    """Bring a trainer to a checkpoint's step.

    Raises:
        WeightsError: The file is no checkpoint, or it is one of another recipe.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=trainer.device, weights_only=True)
        trainer.network.load_state_dict(state["network"])
        trainer.objective.load_state_dict(state)
        trainer.average = _fitting(state["average"], trainer.average)
        trainer.step = state["step"]
        return Progress(**state["progress"])
    except Exception as error:  # torch.load raises whatever the broken bytes make it raise
        raise WeightsError(f"{path}: not a checkpoint of this recipe: {error}; delete it to start anew") from error


def _fitting(found: list[Tensor] | None, wanted: list[Tensor] | None) -> list[Tensor] | None:
    shapes, expected = ([each.shape for each in average or ()] for average in (found, wanted))
    if shapes != expected:
        raise ValueError(f"its moving average has {len(shapes)} tensors that do not fit the network's {len(expected)}")
    return found
