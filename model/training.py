"""A training run: the data, the network and the trainer put together, from the first step or resumed."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from model import checkpoint, dataset, registry, weights
from model.allocator import keep_freed_memory
from model.config import TrainConfig
from model.recorder import BEST_WEIGHTS, Recorder
from model.trainer import Trainer
from transforms import layouts
from transforms.errors import DatasetError, HarmonizeError
from transforms.manifest import Pair

log = logging.getLogger(__name__)

CONFIG = "config.json"
FREE_TO_CHANGE = frozenset({"data", "cache", "workers", "illumination_maps", "init", "checkpoint_steps"})
"""Fields of a recipe that a resumed run may set anew: they do not change what its steps compute."""


def train(config: TrainConfig, output: Path, *, device: torch.device, resume: bool = False) -> Path:
    """Train to the recipe's end, from the first step or from the last checkpoint.

    Under torchrun every process trains on its share of each batch, and the first one writes.

    Args:
        config: The recipe.
        output: The run's folder: config.json, last.pt, best.pt, best.safetensors, metrics.csv, curves.png.
        device: Where to train.
        resume: Go on from output/last.pt where there is one.

    Returns:
        The path of the best weights.

    Raises:
        HarmonizeError: The data set is incomplete, the folder holds another run, or a file is broken.
    """
    keep_freed_memory()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    training, held_out = _read_pairs(config, world)
    if rank == 0:
        _claim(output, config, resume)
        log.info("%d training pairs, %d held out, on %s", len(training), len(held_out), device)
    trainer = _build_trainer(config, len(training) // config.batch, device, world)
    last = output / checkpoint.LAST
    progress = checkpoint.restore(last, trainer) if resume and last.exists() else checkpoint.Progress()
    batches = dataset.EpochBatches(
        count=len(training), batch=config.batch, epochs=config.epochs, seed=config.seed,
        start=trainer.step, rank=rank, world=world,
    )  # fmt: skip
    packed = dataset.pack(training, config.size, config.cache, output / f"cache-{rank}.bin")
    callbacks = []
    if rank == 0:
        packed_held_out = dataset.pack(held_out, config.size, "none" if config.cache == "none" else "ram", output)
        callbacks.append(Recorder(config, output, progress, packed_held_out))
    trainer.run(_loader(config, packed, batches, device), callbacks)
    if world > 1:
        torch.distributed.destroy_process_group()
    return output / BEST_WEIGHTS


def _claim(output: Path, config: TrainConfig, resume: bool) -> None:
    """Take the folder for this run: it must be free, or hold the same run if that is to be resumed."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / CONFIG
    if path.exists():
        if not resume:
            raise HarmonizeError(f"{output} holds a run already: add --resume, or choose another --output")
        _check_same(output, json.loads(path.read_text()), config.to_json())
    weights.write_whole(path, json.dumps(config.to_json(), indent=1).encode())


def _check_same(output: Path, saved: dict[str, Any], given: dict[str, Any]) -> None:
    changed = [
        f"{name} was {saved.get(name)!r}, now {value!r}"
        for name, value in given.items()
        if name not in FREE_TO_CHANGE and saved.get(name) != value
    ]
    if changed:
        raise HarmonizeError(f"{output} was started with another recipe: {'; '.join(changed)}")


def _read_pairs(config: TrainConfig, world: int) -> tuple[list[Pair], list[Pair]]:
    pairs = layouts.read_iharmony4(Path(config.data), "train", config.subsets)
    training, held_out = dataset.split_by_photo(pairs, config.val_fraction, config.seed)
    if len(training) < config.batch:
        raise DatasetError(f"{config.data}: {len(training)} training pairs are less than one batch of {config.batch}")
    if config.batch % world:
        raise HarmonizeError(f"a batch of {config.batch} does not divide over {world} processes: choose a multiple")
    return training, held_out


def _build_trainer(config: TrainConfig, steps_per_epoch: int, device: torch.device, world: int) -> Trainer:
    torch.manual_seed(config.seed)
    try:
        network = registry.build(config.arch, config.network).to(device)
    except (TypeError, ValueError) as error:
        raise HarmonizeError(f"cannot build the network: {error}") from error
    if config.init:
        weights.load_tensors(network, weights.load_network(config.init).state_dict(), config.init)
    return Trainer(config, network, steps_per_epoch, device, _parallel(network, device) if world > 1 else None)


def _parallel(network: nn.Module, device: torch.device) -> nn.Module:
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return nn.parallel.DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def _loader(
    config: TrainConfig, packed: dataset.PackedPairs, batches: dataset.EpochBatches, device: torch.device
) -> DataLoader[Any]:
    maps = Path(config.illumination_maps) if config.illumination_maps else None
    augmentation = dataset.Augmentation(config.flip, config.crop, config.recolor, maps)
    return DataLoader(
        dataset.TrainingSet(packed, augmentation, config.seed),
        batch_sampler=batches,
        num_workers=config.workers,
        # A forked copy of a process that already ran OpenMP can hang.
        multiprocessing_context="spawn" if config.workers else None,
        pin_memory=device.type == "cuda",
    )
