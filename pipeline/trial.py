"""A few pairs worked on before a run, for --dry-run: how long the work takes, and whether it succeeds at all."""

import contextlib
import dataclasses
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hdnet.pipeline.local.machine import Plan
from hdnet.pipeline.settings import Machine, Settings
from hdnet.pipeline.steps import relay
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms import storage
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import STAGES
from hdnet.transforms.errors import HarmonizeError, OutputError

if TYPE_CHECKING:
    from hdnet.pipeline.steps.pair import Worker

TRIED = 4
"""Pairs that are worked on, at most."""
ENOUGH = 5.0
"""Seconds after which no further pair is begun."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How the work on the pairs went.

    Attributes:
        pairs: The number of pairs whose work succeeded, of those that were tried.
        tried: The number of pairs tried.
        seconds: Seconds of one worker for a megapixel, by stage; empty where no pair succeeded.
        faults: What is wrong with the others.
    """

    pairs: int
    tried: int
    seconds: Mapping[str, float]
    faults: tuple[str, ...]

    @property
    def total(self) -> float:
        """Seconds of all stages for a megapixel."""
        return sum(self.seconds.values())


def measure(settings: Settings, pairs: Sequence[Pair], threads: int) -> Pace:
    """Work on the first pairs as a run would, with all that belongs to it, and remove what was written.

    Images are written to a folder of their own: in a bucket `.hdnet-probe-<number>/` in the output, else one among this
    machine's temporary files. Where the process is killed the folder stays, and may be deleted.

    Args:
        settings: Those of the run.
        pairs: The pairs; the first one warms up, and counts only where it takes too long to be worked on again.
        threads: Torch threads of the worker.

    Raises:
        OutputError: The output cannot be written.
    """
    import torch  # slow to load, and only a dry run needs it

    torch.set_num_threads(threads)
    with _place(settings.output) as output:
        machine = Machine(plan=Plan(1, threads, 0), device=settings.machine.device)
        worker = dataclasses.replace(settings, output=output, machine=machine).load()
        began = time.monotonic()
        tries = [_try(worker, settings, pair) for pair in pairs[:1]]
        for pair in pairs[:TRIED]:
            if time.monotonic() - began > ENOUGH:
                break
            tries.append(_try(worker, settings, pair))
    counted = tries[1:] or tries
    done = [each for each in counted if isinstance(each, Done)]
    pixels = sum(each.pixels for each in done) / 1e6
    return Pace(
        pairs=len(done),
        tried=len(counted),
        seconds={name: sum(each.seconds[name] for each in done) / pixels for name in STAGES} if done else {},
        faults=tuple(each for each in counted if isinstance(each, str)),
    )


class Done(NamedTuple):
    """The pixels of an image that was made, and the seconds that it took by stage."""

    pixels: int
    seconds: Mapping[str, float]


def _try(worker: "Worker", settings: Settings, pair: Pair) -> Done | str:
    """Work on a pair; return what is wrong with it, or with it in the run of these settings, where that fails."""
    from hdnet.pipeline.steps.pair import Stages, check_apart  # imports torch

    stages = Stages()
    try:
        check_apart(pair, settings)  # the worker's own output is another
        row = relay.alone(worker.work(Task(pair), stages, lambda _: contextlib.nullcontext()))
    except OutputError:
        raise
    except HarmonizeError as error:
        return str(error)
    return Done(row.width * row.height, stages.seconds)


@contextlib.contextmanager
def _place(output: str) -> Iterator[str]:
    """Give a folder on the output's kind of storage, which is gone when the block ends."""
    place = storage.canonical(output)
    if "://" not in place:
        with tempfile.TemporaryDirectory(prefix="hdnet-") as folder:
            yield folder
        return
    own = storage.join(place, f".hdnet-probe-{uuid.uuid4().hex}")
    try:
        yield own
    finally:
        storage.remove(own)
