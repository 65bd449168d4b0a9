"""Writes what a training run leaves in its folder: checkpoints, the best weights, metrics.csv, curves.png."""

import csv
import dataclasses
import functools
import importlib
import importlib.util
import io
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdnet.model.progress import ProgressLine
from hdnet.model.training import checkpoint, curves, validation
from hdnet.model.training.config import TrainConfig, without_folders
from hdnet.model.training.dataset import PackedPairs
from hdnet.model.training.interrupt import Interrupt
from hdnet.model.training.trainer import Trainer
from hdnet.model.weights import weights_file
from hdnet.transforms import storage
from hdnet.transforms.errors import HarmonizeError

log = logging.getLogger(__name__)

BEST_WEIGHTS, LAST_WEIGHTS = "best.safetensors", "last.safetensors"


class Recorder:
    """The callback that shows progress, validates, and writes checkpoints, weights and curves.

    Args:
        config: The recipe.
        output: The run's folder.
        progress: The state that the run has reached so far.
        held_out: Pairs to validate on; there may be none.
        pairs: How many pairs are trained on, for the model card.
        interrupt: Says whether to stop after the step under way.
    """

    def __init__(
        self,
        config: TrainConfig,
        output: Path,
        progress: checkpoint.Progress,
        held_out: PackedPairs,
        pairs: int,
        interrupt: Interrupt,
    ) -> None:
        self.config, self.output, self.progress = config, output, progress
        self.held_out, self.pairs, self.interrupt = held_out, pairs, interrupt
        # Kept on the device: reading the loss every step would make the device wait.
        self.loss_sum = torch.tensor(progress.loss_sum, dtype=torch.float64)
        self.line: ProgressLine | None = None
        self.board = _tensorboard(output, progress.history)

    def __call__(self, trainer: Trainer, loss: Tensor) -> None:
        """Do what is due after a step: show progress, validate, save; stop after Ctrl-C."""
        self.loss_sum = self.loss_sum.to(loss.device) + loss
        self.progress.loss_count += 1
        epoch, place = divmod(trainer.step, trainer.steps_per_epoch)
        self._show(trainer, loss)
        if place == 0 and (epoch % self.config.validate_epochs == 0 or epoch == self.config.epochs):
            self._validate(trainer, epoch)
        if trainer.step % self.config.checkpoint_steps == 0 or epoch == self.config.epochs or self.interrupt.came:
            self._save_last(trainer)
        if self.interrupt.came and epoch < self.config.epochs:
            self._close_line()
            raise KeyboardInterrupt

    def close(self, trainer: Trainer) -> None:
        """Leave the live line, and write the last step's checkpoint where the run stopped before its end."""
        self._close_line()
        unfinished = trainer.step < self.config.epochs * trainer.steps_per_epoch
        if unfinished and trainer.step % self.config.checkpoint_steps:
            self._save_last(trainer)

    def _show(self, trainer: Trainer, loss: Tensor) -> None:
        total = self.config.epochs * trainer.steps_per_epoch
        self.line = self.line or ProgressLine(total, done=trainer.step - 1, unit=self.config.batch)
        self.line.update(trainer.step, lambda: f"loss {loss.item():.5f}")

    def _close_line(self) -> None:
        """Leave the live line, so that what is printed next has a line of its own."""
        if self.line:
            self.line.close()
            self.line = None

    def _save_last(self, trainer: Trainer) -> None:
        self._save(checkpoint.LAST, trainer)
        self._save_weights(LAST_WEIGHTS, trainer)

    def _save(self, name: str, trainer: Trainer) -> None:
        self.progress.loss_sum = self.loss_sum.item()
        checkpoint.save(self.output / name, trainer, self.progress)

    def _validate(self, trainer: Trainer, epoch: int) -> None:
        row: dict[str, float] = {
            "epoch": epoch,
            "step": trainer.step,
            "lr": float(trainer.rate),
            "loss": self.loss_sum.item() / self.progress.loss_count,
        }
        if not math.isfinite(row["loss"]):
            raise HarmonizeError(f"the loss is {row['loss']} at step {trainer.step}: try a lower --lr, or --clip 1")
        self.loss_sum, self.progress.loss_count = torch.zeros_like(self.loss_sum), 0
        scores = dataclasses.asdict(validation.validate(trainer, self.held_out)) if len(self.held_out) else {}
        row.update(scores)
        self.progress.history.append(row)
        # Without held-out photos the last weights are the best there are.
        if not scores or scores["psnr"] > self.progress.best:
            self.progress.best = scores.get("psnr", self.progress.best)
            self._save(checkpoint.BEST, trainer)
            self._save_weights(BEST_WEIGHTS, trainer)
        self._write_history(row)

    def _save_weights(self, name: str, trainer: Trainer) -> None:
        recipe, rows = without_folders(self.config.to_json()), self.progress.history
        data = {"name": recipe.pop("data"), "pairs": self.pairs, "held_out": len(self.held_out)}
        card = {"training_data": data, "recipe": recipe, "metrics": {"validation": rows[-1]} if rows else {}}
        with validation.averaged(trainer):
            weights_file.save(trainer.network, self.output / name, card)

    def _write_history(self, row: dict[str, float]) -> None:
        self._close_line()
        log.info("%s", "  ".join(f"{name} {value:.5g}" for name, value in row.items()))
        write_csv(self.output / "metrics.csv", self.progress.history)
        if _importable("matplotlib.backends.backend_agg", "curves.png"):
            storage.write(self.output / "curves.png", curves.draw(self.progress.history))
        if self.board:
            for name, value in _curves(row).items():
                self.board.add_scalar(name, value, int(row["step"]))


def write_csv(path: Path, history: list[dict[str, float]]) -> None:
    """Write one line for each validation."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]))
    writer.writeheader()
    writer.writerows(history)
    storage.write(path, text.getvalue().encode())


def _curves(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in ("epoch", "step")}


def _tensorboard(output: Path, history: list[dict[str, float]]) -> Any:
    if not all(_importable(module, "TensorBoard's log") for module in ("tensorboard", "torch.utils.tensorboard")):
        return None
    from torch.utils.tensorboard import SummaryWriter

    # Steps after the last checkpoint are done again, and their scores written again.
    return SummaryWriter(str(output / "tensorboard"), purge_step=int(history[-1]["step"]) + 1 if history else 0)


@functools.cache
def _importable(module: str, purpose: str) -> bool:
    """Say whether an optional module can be imported; of one that is there but fails, a warning says so once."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return False
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken installation fails in any way, and must not end a training
        log.warning("%s is not written: %s is installed but cannot be imported (%s)", purpose, module, error)
        return False
    return True
