"""A training run: the data, the network and the trainer put together, from the first step or resumed."""

import contextlib
import hashlib
import itertools
import json
import logging
import math
import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from hdnet.model import architectures
from hdnet.model.allocator import keep_all
from hdnet.model.architectures.base import Distribute, EncodingNetwork, Network
from hdnet.model.training import checkpoint, dataset
from hdnet.model.training.composites import illumination
from hdnet.model.training.composites.mixture import Mixture, Sources
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.interrupt import Interrupt, ignore
from hdnet.model.training.recorder import BEST_WEIGHTS, Recorder
from hdnet.model.training.trainer import Trainer
from hdnet.model.weights import weights_file
from hdnet.transforms import storage, versions
from hdnet.transforms.catalog import datasets
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import DatasetError, HarmonizeError
from hdnet.transforms.storage import storage_errors

log = logging.getLogger(__name__)

CONFIG = "config.json"
FREE_TO_CHANGE = frozenset({"data", "photos", "cache", "workers", "checkpoint_steps", "minutes", "device", "versions"})
"""What a resumed run may set anew, for it does not change what the steps compute. The data set may have moved;
`pairs_sha256` and `photos_sha256` show that it is the same one."""


def train(config: TrainConfig, output: Path, *, device: torch.device, resume: bool = False) -> Path:
    """Train to the recipe's end, from the first step or from the last checkpoint.

    Under torchrun every process trains on its part of each batch, and the first one writes.

    Args:
        config: The recipe.
        output: The run's folder: config.json, last.pt, last.safetensors, best.pt, best.safetensors, metrics.csv,
            curves.png.
        device: The device to train on.
        resume: Go on from output/last.pt where there is one.

    Returns:
        The path of the best weights.

    Raises:
        HarmonizeError: The data set is incomplete, the folder holds another run, or a file is broken.
        KeyboardInterrupt: Ctrl-C was pressed; the last step is saved.
    """
    keep_all()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    sources = Sources(config)
    training, held_out = read_pairs(config, sources, world)
    count = len(training) + sum(sources.visits)
    last = output / checkpoint.LAST
    resuming = resume and last.exists()
    network = build_network(config, device, fresh=not resuming)
    objective = network.architecture.objective(config, network, device, _distribute(device, world))
    trainer = Trainer(config, network, objective, count // config.batch, device)
    augmented = augmentation(config)
    composer = sources.composer(augmented.illumination_maps)
    resolved = _resolve(config, trainer.network, [*training, *held_out], sources, device)
    _check_folder(output, resolved, resume)
    progress = checkpoint.restore(last, trainer) if resuming else checkpoint.Progress()
    if rank == 0:
        storage.write(output / CONFIG, json.dumps(resolved, indent=1).encode())
        log.info("%d training pairs, %d held out, %d photo visits an epoch, on %s",
                 len(training), len(held_out), sum(sources.visits), device)  # fmt: skip
    packed = _pack(training, config, output, rank, world)
    callbacks = []
    interrupt = Interrupt()
    if rank == 0:
        packed_held_out = sources.validation(dataset.pack(held_out, config.size, config.cache, output), composer)
        callbacks.append(Recorder(config, output, progress, packed_held_out, count, interrupt))
    samples = sources.mixture(dataset.TrainingSet(packed, augmented, config.seed), composer)
    batches = dataset.EpochBatches(
        count=count, batch=config.batch, epochs=config.epochs, seed=config.seed,
        start=trainer.step, rank=rank, world=world,
    )  # fmt: skip
    loader = _within(config.minutes, _loader(config, samples, batches, device))
    # Processes of a team would stop at different steps, and wait for each other for ever.
    with interrupt.watch() if world == 1 else contextlib.nullcontext():
        trainer.run(loader, callbacks)
    for recorder in callbacks:
        recorder.close(trainer)
    _leave_together(world)
    return output / BEST_WEIGHTS


def _leave_together(world: int) -> None:
    if world > 1:
        # gloo's threads give back Python's objects after a step, and one that does so while the interpreter ends
        # aborts the process: no process leaves before the first has validated and written.
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def read_pairs(config: TrainConfig, sources: Sources, world: int) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to train on and those held out.

    Raises:
        HarmonizeError: The data set is incomplete, or does not suit the batch or the number of processes.
    """
    pairs = datasets.read_root(Path(config.data), "train", config.subsets) if config.data else []
    training, held_out = sources.split(pairs)
    count = len(training) + sum(sources.visits)
    if count < config.batch:
        named = ", ".join([*([config.data] if config.data else []), *config.photos])
        raise DatasetError(
            f"{named}: {count} samples an epoch are less than one batch of {config.batch}: give a smaller --batch"
        )
    if config.minutes and world > 1:
        raise HarmonizeError("minutes are for one process: several would not stop at the same step")
    if config.batch % world:
        raise HarmonizeError(f"a batch of {config.batch} does not divide over {world} processes: choose a multiple")
    dataset.check_sizes(pairs)
    return training, held_out


def augmentation(config: TrainConfig) -> dataset.Augmentation:
    """Return what a recipe does to samples.

    Raises:
        HarmonizeError: As for `illumination.load`.
    """
    path = config.illumination_maps
    maps = illumination.load(path, dtype=np.float32) if path else None
    return dataset.Augmentation(config.flip, config.crop, config.recolor, maps, config.blur_edges)


def build_network(config: TrainConfig, device: torch.device, *, fresh: bool) -> Network:
    """Build a recipe's network, from the weights it begins with where the training is fresh.

    Raises:
        HarmonizeError: The configuration or the weights cannot be used.
    """
    torch.manual_seed(config.seed)
    try:
        network = architectures.build(config.arch, config.network).to(device)
    except (TypeError, ValueError) as error:
        raise HarmonizeError(f"cannot build the network: {error}") from error
    if config.init and fresh:
        weights_file.load_tensors(network, weights_file.load_network(config.init).state_dict(), config.init)
    if config.distill != "off" and not isinstance(network, EncodingNetwork):
        raise HarmonizeError(f"relations cannot be distilled into {config.arch}: it has no encoder features")
    return network


def _distribute(device: torch.device, world: int) -> Distribute:
    if world == 1:
        return lambda module: module
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    devices = [device] if device.type == "cuda" else None
    return partial(nn.parallel.DistributedDataParallel, device_ids=devices)


def _resolve(
    config: TrainConfig, network: Network, pairs: list[Pair], sources: Sources, device: torch.device
) -> dict[str, Any]:
    """Return what config.json holds: the recipe with the network's every field, the data, and where it ran."""
    names = "\n".join(pair.id for pair in pairs)
    return {
        **config.to_json(),
        "network": network.config.to_json(),
        "pairs_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "photos_sha256": sources.digest(),
        "device": str(device),
        "versions": versions.versions("torch", "hdnet-pipeline"),
    }


def _check_folder(output: Path, resolved: dict[str, Any], resume: bool) -> None:
    """Make the folder; it must hold no run, or this very run if that is to be resumed."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarmonizeError(f"{output} cannot be made: {storage_errors.reason(error, str(output))}") from error
    if not (output / checkpoint.LAST).exists():
        return
    if not resume:
        raise HarmonizeError(f"{output} holds a run already: add --resume, or choose another --output")
    saved = json.loads((output / CONFIG).read_text())
    changed = [
        f"{name} was {saved.get(name)!r}, now {value!r}"
        for name, value in resolved.items()
        if name not in FREE_TO_CHANGE and saved.get(name) != value
    ]
    if changed:
        raise HarmonizeError(f"{output} was started with another recipe: {'; '.join(changed)}")


def _pack(training: list[Pair], config: TrainConfig, output: Path, rank: int, world: int) -> dataset.PackedPairs:
    """Decode the training pairs; with a cache on disk the first process does it and the others use it."""
    if world > 1 and config.cache == "disk" and rank > 0:
        torch.distributed.barrier()
    packed = dataset.pack(training, config.size, config.cache, output)
    if world > 1 and config.cache == "disk" and rank == 0:
        torch.distributed.barrier()
    return packed


def _within(minutes: float, batches: Iterable[Any]) -> Iterable[Any]:
    """Give batches until the time is over."""
    end = time.monotonic() + 60 * minutes if minutes else math.inf
    return itertools.takewhile(lambda _: time.monotonic() < end, batches)


def _loader(
    config: TrainConfig, samples: Mixture, batches: dataset.EpochBatches, device: torch.device
) -> DataLoader[Any]:
    return DataLoader(
        samples,
        batch_sampler=batches,
        num_workers=config.workers,
        # A forked copy of a process that already ran OpenMP can hang.
        multiprocessing_context="spawn" if config.workers else None,
        pin_memory=device.type == "cuda",
        worker_init_fn=ignore,
    )
