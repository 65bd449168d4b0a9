"""Samples without an end: processes make them and write them into shared memory, and a training draws at random.

A training that is faster than the processes sees samples again, a slower one leaves some out; neither waits.
"""

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hdnet.model.training import interrupt
from hdnet.model.training.composites.mixture import Mixture
from hdnet.transforms.errors import HarmonizeError

SLOTS = 16_384
"""Samples that are kept."""
SHARED = Path("/dev/shm")
"""Where Linux keeps shared memory."""
BATCHES = 16
"""Batches that must be there before the first is drawn."""


class Ring:
    """The newest samples of several processes; each writes a row of its own, over its oldest.

    Args:
        size: Height and width of the samples.
        processes: How many write.
    """

    def __init__(self, size: int, processes: int) -> None:
        _check_memory(SLOTS * size * size * 7, size)
        shape = (processes, SLOTS // processes, size, size, 7)
        self.values = torch.empty(shape, dtype=torch.uint8).share_memory_()
        self.made = torch.zeros(processes, dtype=torch.int64).share_memory_()

    def fill(self, number: int, samples: Mixture, seed: int) -> None:
        """Make samples for ever, as one of the processes."""
        interrupt.ignore(number)
        os.nice(5)  # the training comes first
        torch.set_num_threads(1)
        rng, row = np.random.default_rng((seed, number)), self.values[number]
        for count in itertools.count():
            composite, real, mask = samples[int(rng.integers(1 << 30)), int(rng.integers(len(samples)))]
            row[count % len(row)] = torch.cat([composite, real, mask[..., None].byte() * 255], dim=2)
            self.made[number] = count + 1

    def draw(self, batch: int, rng: np.random.Generator) -> Tensor:
        """Return samples at random, (B,S,S,7) uint8: composite, real, and the mask as 0 or 255.

        One that is just being written may still be an older one in part: too few to matter.
        """
        rows, slots = self.values.shape[:2]
        row = rng.integers(rows, size=batch)
        slot = rng.integers(np.minimum(self.made.numpy()[row], slots))
        drawn: Tensor = self.values.flatten(0, 1).index_select(0, torch.from_numpy(row * slots + slot))
        return drawn


def _check_memory(wanted: int, size: int) -> None:
    """Refuse what shared memory cannot hold: to write beyond its end kills a process without a word."""
    if SHARED.exists() and (free := shutil.disk_usage(SHARED).free) < wanted:
        raise HarmonizeError(
            f"{SLOTS:,} samples of {size} x {size} take {wanted:,} bytes of shared memory, and {SHARED} has {free:,} "
            "free: give the machine or the container more, or lower --size"
        )


@contextlib.contextmanager
def batches(samples: Mixture, *, size: int, batch: int, processes: int, seed: int) -> Iterator[Iterator[Tensor]]:
    """Start processes that make samples, and end them with the block.

    Args:
        samples: What is drawn from; decoded, it is shared with the processes.
        size: Height and width of the samples.
        batch: Samples a batch.
        processes: How many to start, at least 1.
        seed: Decides the samples, but not which of them a batch holds: that depends on the processes' speed.

    Yields:
        Batches without an end, as `Ring.draw` returns them.

    Raises:
        HarmonizeError: A process has ended; its error stands in the output.
    """
    ring, context = Ring(size, processes), torch.multiprocessing.get_context("spawn")
    makers: list[BaseProcess] = []
    try:
        for number in range(processes):
            maker = context.Process(target=ring.fill, args=(number, samples, seed), daemon=True)
            maker.start()
            makers.append(maker)
        yield _drawn(ring, makers, batch, seed)
    finally:
        for started in makers:
            started.kill()
            started.join()


def _drawn(ring: Ring, makers: Sequence[BaseProcess], batch: int, seed: int) -> Iterator[Tensor]:
    rng = np.random.default_rng(seed)
    while True:
        if not all(maker.is_alive() for maker in makers):
            raise HarmonizeError("a process that makes samples has ended; its error stands above")
        if int(ring.made.min()) * len(makers) < BATCHES * batch:
            time.sleep(0.05)
        else:
            yield ring.draw(batch, rng)
