"""Trains from an unpacked kit for a given time."""

import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdnet.model.training import dataset, run, validation
from hdnet.model.training.composites.mixture import Mixture, Sources
from hdnet.model.training.config import TrainConfig, without_folders
from hdnet.model.training.dataset import PackedPairs
from hdnet.model.training.kit import packing, ring
from hdnet.model.training.kit.recorded import RecordedTrainer
from hdnet.model.training.recorder import LAST_WEIGHTS
from hdnet.model.weights import weights_file
from hdnet.transforms.errors import HarmonizeError

log = logging.getLogger(__name__)

WARMUP, FINISH = 300, 0.3
"""Steps in which the rate rises, and the share of the time in which it falls to nothing."""
SAVED = 30.0
"""Seconds between lines of the log, with which the weights are saved: the machine may go at any moment."""


def train(folder: Path, output: Path, *, device: torch.device, **fields: Any) -> Path:
    """Go on from a kit's weights, and return the path of the new ones.

    Args:
        folder: The unpacked kit.
        output: Folder for the weights; it is made.
        device: On a GPU the step is recorded as a CUDA graph.
        fields: What `TrainConfig` is to have beside the kit's recipe; `minutes` count from the first step.

    Raises:
        HarmonizeError: The kit or the options cannot be used, a process that makes samples ends, or the loss is not
            finite.
    """
    config = read_recipe(folder, **fields)
    output.mkdir(parents=True, exist_ok=True)
    samples, held_out = _prepare(config, output)
    network = run.build_network(config, device, fresh=True)
    objective = network.architecture.objective(config, network, device, lambda module: module)
    trainer = RecordedTrainer(config, network, objective, 1, device)
    with ring.batches(
        samples, size=config.size, batch=config.batch, processes=config.workers, seed=config.seed
    ) as batches:
        _descend(trainer, batches, output / LAST_WEIGHTS)
    scores = validation.validate(trainer, held_out) if len(held_out) else None
    if scores:
        log.info("%d held-out pairs: %+.2f dB", len(held_out), scores.gain)
    card = {"metrics": {"validation": dataclasses.asdict(scores)}} if scores else {}
    return _save(trainer, output / LAST_WEIGHTS, card)


def read_recipe(folder: Path, **fields: Any) -> TrainConfig:
    """Return the recipe of an unpacked kit: the mixture that the HDNets which ship were last trained on."""
    kit = json.loads((folder / packing.RECIPE).read_text())
    init = folder / packing.INIT
    return TrainConfig(
        data=kit["data"] and str(folder / kit["data"]), arch=kit["arch"],
        network=dict(weights_file.read_header(init)["config"]),
        photos={str(folder / name): weight for name, weight in kit["photos"].items()},
        looks=(str(folder / packing.LOOKS),), illumination_maps=str(folder / packing.MAPS), init=str(init),
        flip=True, crop=True, recolor=0.35, blur_edges=0.35, precision="bfloat16", clip=4.0, log_loss=0.015, ema=0.999,
        cache="ram", **fields,
    )  # fmt: skip


def _prepare(config: TrainConfig, output: Path) -> tuple[Mixture, PackedPairs]:
    """Return what is trained on, and the pairs held out; all in memory."""
    sources = Sources(config)
    parts = run.read_pairs(config, sources, 1)
    augmentation = run.augmentation(config)
    composer = sources.composer(augmentation.illumination_maps)
    pairs, held_out = (dataset.pack(part, config.size, config.cache, output) for part in parts)
    samples = sources.mixture(dataset.TrainingSet(pairs, augmentation, config.seed), composer)
    return samples, sources.validation(held_out, composer)


def _descend(trainer: RecordedTrainer, batches: Iterator[Tensor], path: Path) -> None:
    """Train until the time is over, and save the weights every now and then."""
    if trainer.device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    trainer.record(next(batches))
    total = 60 * trainer.config.minutes
    began = shown = time.monotonic()
    for batch in batches:
        now = time.monotonic()
        if now - began >= total:
            break
        loss = trainer.advance(batch.pin_memory() if trainer.device.type == "cuda" else batch,
                               rate_at(trainer.step, (now - began) / total, trainer.config.lr))  # fmt: skip
        if now - shown > SAVED:
            _report(trainer, loss.item(), now - began)
            _save(trainer, path, {})
            shown = now
    _report(trainer, trainer.loss.item(), total)  # what is saved next must not come of a loss that is none


def rate_at(step: int, done: float, lr: float) -> float:
    """Return the learning rate of a step, when a share of the time is over: it rises, stays, and falls to nothing."""
    return lr * min(1.0, (step + 1) / WARMUP, (1 - done) / FINISH)


def _report(trainer: RecordedTrainer, loss: float, seconds: float) -> None:
    if not math.isfinite(loss):
        raise HarmonizeError(f"the loss is {loss} at step {trainer.step}: try a lower --lr")
    speed = trainer.step * trainer.config.batch / seconds
    log.info("%.1f minutes, %d steps, %.0f images/s, loss %.4f", seconds / 60, trainer.step, speed, loss)


def _save(trainer: RecordedTrainer, path: Path, card: dict[str, Any]) -> Path:
    with validation.averaged(trainer):
        recipe = without_folders(trainer.config.to_json())
        weights_file.save(trainer.network, path, {"recipe": recipe, **card})
    return path
