"""Threads that share one image's work, each computing whole parts alone, and threads with an image each.

Convolutions gain from several threads working on one of them, but the small operations between them do not: threads
wait for each other. Whole parts side by side keep every thread busy (docs/engine.md has figures).
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")

MOST_IMAGES = 8
"""How many threads have an image or a batch each at most, so that memory does not grow with the cores."""

_member = threading.local()
_making = threading.Lock()


@cache
def outlive_forks() -> None:
    """Let processes that are forked from now on work alone: they would wait for ever for threads left behind."""
    os.register_at_fork(after_in_child=_begin_alone)


def _begin_alone() -> None:
    global _making
    _making = threading.Lock()  # another thread may have held it
    _team.cache_clear()
    torch.set_num_threads(1)


def work_alone() -> None:
    """Let this thread run torch by itself from now on, whatever the others do."""
    torch.get_num_threads()  # takes over the process's setting, which would otherwise undo the next line
    torch.set_num_threads(1)


@contextlib.contextmanager
def keeping_threads() -> Iterator[None]:
    """Let threads that start after the block have as many torch threads as this one, whatever is set within it."""
    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)  # later threads start with what was set last, in whatever thread


def side_by_side(work: Callable[[Part], Result], parts: Iterable[Part], device: torch.device) -> Iterator[Result]:
    """Yield what `work` makes of each part, in order, on a CPU in several threads, each of which works alone.

    They are as many as torch has here, and at most `MOST_IMAGES`. Threads that share one small image wait for each
    other after every operation, for a long time where the machine has other work; threads with an image each do not.
    A GPU works on one part at a time, and needs its memory for it.
    """
    count = min(torch.get_num_threads(), MOST_IMAGES)
    if count == 1 or device.type != "cpu":
        yield from map(work, parts)
        return
    with keeping_threads(), ThreadPoolExecutor(count, "image", work_alone) as threads:
        yield from threads.map(work, parts)


class Room:
    """Memory for images that threads work on: one waits while the others leave too little, but never for itself.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int) -> None:
        self.size, self.taken, self.changed = size, 0, threading.Condition()

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free or nobody else holds any, and keep them for as long as the block lasts."""
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + size <= self.size)
            self.taken += size
        try:
            yield
        finally:
            with self.changed:
                self.taken -= size
                self.changed.notify_all()


def lead(work: Callable[[], Result]) -> Result:
    """Do work that calls `share`, in inference mode, in a team of as many threads as torch has here.

    The whole process has one such team: callers in several threads share it.
    """
    count = torch.get_num_threads()
    if count == 1:
        return _alone(work)
    with _making:
        team = _team(count)
    return team.submit(_alone, work).result()


def share(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Return what `work` makes of each part, in order; idle threads of the team take parts, too.

    When it returns or raises, no thread is working on a part any more.
    """
    todo = list(parts)
    done: dict[int, Result] = {}
    left = iter(range(len(todo)))

    def take() -> None:
        try:
            for i in left:
                done[i] = work(todo[i])
        finally:
            list(left)  # after an error no thread takes another part

    team: tuple[ThreadPoolExecutor, int] | None = getattr(_member, "team", None)
    offer = [take]
    others = [team[0].submit(_accept, offer) for _ in todo[1 : team[1]]] if team else []
    try:
        take()
    finally:
        begun = [other for other in others if not other.cancel()]
        wait(begun)
        offer.clear()  # the team's queue keeps what was cancelled until a thread is idle; it must not keep maps
    for other in begun:
        other.result()
    return [done[i] for i in range(len(todo))]


def _accept(offer: list[Callable[[], None]]) -> None:
    _alone(offer[0])


def _alone(work: Callable[[], Result]) -> Result:
    with torch.inference_mode():
        return work()


@cache
def _team(count: int) -> ThreadPoolExecutor:
    begun = threading.Barrier(count + 1)

    def begin() -> None:
        work_alone()
        _member.team = team, count
        begun.wait()

    team = ThreadPoolExecutor(count, "team", begin)
    with keeping_threads():
        for _ in range(count):
            team.submit(int)
        begun.wait()
    return team


def _forget() -> None:
    _team.cache_clear()
    _making.release()


# A forked process has none of its parent's threads, so no fork may happen while a team is being made.
os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_forget)
