"""A training run: data, network, trainer, and what is written to the run's folder."""

import csv
import dataclasses
import io
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from model import checkpoint, dataset, registry, validation, weights
from model.allocator import keep_freed_memory
from model.config import TrainConfig
from model.progress import ProgressLine
from model.trainer import Trainer
from transforms import manifest
from transforms.errors import DatasetError, HarmonizeError

log = logging.getLogger(__name__)

CONFIG = "config.json"
FREE_TO_CHANGE = {"data", "cache", "workers", "illumination_maps", "init", "checkpoint_steps"}
"""Fields of a recipe that a resumed run may set anew: they do not change what the steps compute."""


def train(config: TrainConfig, output: Path, *, device: torch.device, resume: bool = False) -> Path:
    """Train from the first step, or from the last checkpoint, to the recipe's end.

    With torchrun's environment variables set, every process trains on its share of each batch and
    the first one writes.

    Args:
        config: The recipe.
        output: The run's folder: config.json, last.pt, best.pt, best.safetensors, metrics.csv, curves.png.
        device: Where to train.
        resume: Go on from output/last.pt, if there is one.

    Returns:
        The path of the best weights.

    Raises:
        HarmonizeError: The data set is incomplete, the folder holds another run, or files are broken.
    """
    keep_freed_memory()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if config.batch % world:
        raise HarmonizeError(f"the batch of {config.batch} does not divide over {world} processes")
    output.mkdir(parents=True, exist_ok=True)
    _claim(output, config, resume)
    training, held_out = _read_pairs(config)
    torch.manual_seed(config.seed)
    network = _start(config).to(device)
    steps = len(training) // config.batch
    trainer = Trainer(config, _distribute(network, device, world), steps, device)
    last = output / checkpoint.LAST
    progress = checkpoint.restore(last, trainer) if resume and last.exists() else checkpoint.Progress()
    if rank == 0:
        log.info("%d training pairs, %d held out; %d steps an epoch", len(training), len(held_out), steps)
        weights.write_whole(output / CONFIG, json.dumps(dataclasses.asdict(config), indent=1).encode())
    loader = _loader(config, training, output, start=trainer.step, rank=rank, world=world, device=device)
    recorder = Recorder(config, output, progress, dataset.pack(held_out, config.size, "ram", output), network)
    trainer.run(loader, [recorder] if rank == 0 else [])
    return output / "best.safetensors"


class Recorder:
    """The callback that shows progress, validates, and writes checkpoints, weights and curves."""

    def __init__(
        self,
        config: TrainConfig,
        output: Path,
        progress: checkpoint.Progress,
        held_out: dataset.PackedPairs,
        network: nn.Module,
    ) -> None:
        self.config, self.output, self.progress, self.held_out = config, output, progress, held_out
        self.network = network
        self.line: ProgressLine | None = None
        self.losses: list[Tensor] = []
        self.clock = time.monotonic()

    def __call__(self, trainer: Trainer, loss: Tensor) -> None:
        """Do what is due after a step."""
        self.losses.append(loss)
        total = self.config.epochs * trainer.steps_per_epoch
        self.line = self.line or ProgressLine(total, done=trainer.step - 1, unit=self.config.batch)
        self.line.update(trainer.step, lambda: f"loss {loss.item():.5f}")
        epoch_done = trainer.step % trainer.steps_per_epoch == 0
        if epoch_done and self._due(trainer.step // trainer.steps_per_epoch):
            self._validate(trainer)
        if trainer.step % self.config.checkpoint_steps == 0 or trainer.step == total or epoch_done:
            self._tick()
            checkpoint.save(self.output / checkpoint.LAST, trainer, self.progress)

    def _due(self, epoch: int) -> bool:
        return epoch % self.config.validate_epochs == 0 or epoch == self.config.epochs

    def _tick(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = now

    def _validate(self, trainer: Trainer) -> None:
        self._tick()
        row = {
            "epoch": trainer.step // trainer.steps_per_epoch,
            "step": trainer.step,
            "lr": trainer.optimizer.param_groups[0]["lr"],
            "loss": torch.stack(self.losses).mean().item(),
            "seconds": round(self.progress.seconds, 1),
        }
        self.losses.clear()
        # Without held-out photos the last weights are the best there are.
        scores = dataclasses.asdict(validation.validate(trainer, self.held_out)) if len(self.held_out) else {}
        row.update(scores)
        self.progress.history.append(row)
        if not scores or scores["psnr"] > self.progress.best:
            self.progress.best = scores.get("psnr", self.progress.best)
            checkpoint.save(self.output / checkpoint.BEST, trainer, self.progress)
            self._save_weights(trainer, row)
        self._write_history()
        log.info("%s", "  ".join(f"{key} {value:.5g}" for key, value in row.items()))

    def _save_weights(self, trainer: Trainer, row: dict[str, float]) -> None:
        card = {
            "training_data": self.config.data,
            "recipe": dataclasses.asdict(self.config),
            "metrics": {"validation": row},
        }
        with validation.averaged(trainer):
            weights.save(self.network, self.output / "best.safetensors", self.config.arch, card)

    def _write_history(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.progress.history[0]))
        writer.writeheader()
        writer.writerows(self.progress.history)
        weights.write_whole(self.output / "metrics.csv", text.getvalue().encode())


def _claim(output: Path, config: TrainConfig, resume: bool) -> None:
    """Make sure that the folder is free, or holds the run that is to be resumed."""
    path = output / CONFIG
    if not path.exists():
        return
    if not resume:
        raise HarmonizeError(f"{output} holds a run already: add --resume, or choose another --output")
    saved = json.loads(path.read_text())
    given = json.loads(json.dumps(dataclasses.asdict(config)))
    changed = [f"{k}: {saved.get(k)!r}, now {v!r}" for k, v in given.items()
               if k not in FREE_TO_CHANGE and saved.get(k) != v]  # fmt: skip
    if changed:
        raise HarmonizeError(f"{output} was started with another recipe ({'; '.join(changed)})")


def _read_pairs(config: TrainConfig) -> tuple[list[manifest.Pair], list[manifest.Pair]]:
    pairs = manifest.read_iharmony4(Path(config.data), "train", config.subsets)
    training, held_out = dataset.split_by_photo(pairs, config.val_fraction, config.seed)
    if len(training) < config.batch:
        raise DatasetError(f"{config.data}: {len(training)} training pairs are less than one batch of {config.batch}")
    return training, held_out


def _start(config: TrainConfig) -> nn.Module:
    network = registry.build(config.arch, config.network)
    if config.init:
        weights.load_tensors(network, weights.load_network(config.init).state_dict(), config.init)
    return network


def _distribute(network: nn.Module, device: torch.device, world: int) -> nn.Module:
    if world == 1:
        return network
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return nn.parallel.DistributedDataParallel(network)


def _loader(
    config: TrainConfig, pairs: list[manifest.Pair], output: Path, *, start: int, rank: int, world: int,
    device: torch.device,
) -> DataLoader[Any]:  # fmt: skip
    maps = Path(config.illumination_maps) if config.illumination_maps else None
    augmentation = dataset.Augmentation(config.flip, config.crop, config.recolor, maps)
    packed = dataset.pack(pairs, config.size, config.cache, output)
    batches = dataset.EpochBatches(
        count=len(pairs), batch=config.batch, epochs=config.epochs, seed=config.seed,
        start=start, rank=rank, world=world,
    )  # fmt: skip
    return DataLoader(
        dataset.TrainingSet(packed, augmentation, config.seed),
        batch_sampler=batches,
        num_workers=config.workers,
        # A forked copy of a process that already ran OpenMP can hang.
        multiprocessing_context="spawn" if config.workers else None,
        pin_memory=device.type == "cuda",
    )
