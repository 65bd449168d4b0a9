"""Three tasks at once: while one is in its middle part, the next is in its first part and the one before in its last.

So a worker's network need not wait for an object store, nor for what decodes and encodes images.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")

Work = Generator[None, None, Result]
"""A task in three parts, with a `yield` between them: each part may run in another thread."""


class _Begun(NamedTuple, Generic[Key, Result]):
    """A task whose first part is under way or done."""

    key: Key
    work: Work[Result]
    first: "Future[None]"


class Relay(Generic[Key, Result]):
    """Does tasks in their order: the middle parts in the caller's thread, the others in one thread each beside it."""

    def __init__(self) -> None:
        from hdnet.model import team  # with torch, which a night without new pairs need not wait for

        self.reader, self.writer = (ThreadPoolExecutor(1, name, team.work_alone) for name in ("reader", "writer"))
        with team.keeping_threads():
            for thread in (self.reader, self.writer):
                thread.submit(int).result()  # starts it
        self.ahead: _Begun[Key, Result] | None = None
        self.behind: tuple[Key, Future[Result]] | None = None

    def put(self, key: Key, work: Work[Result]) -> Iterator[tuple[Key, "Future[Result]"]]:
        """Begin a task, do the middle part of the one before it, and yield the one before that, once it is done.

        Yields:
            The key of a task, and its result or the error that ended it.
        """
        yield from self._go_on(_Begun(key, work, self.reader.submit(next, work)))

    def finish(self) -> Iterator[tuple[Key, "Future[Result]"]]:
        """Do and yield what is left."""
        for _ in range(2):
            yield from self._go_on(None)

    def abandon(self) -> None:
        """Drop what is left, once no thread is at work on it; what it holds is given back."""
        ahead, behind, self.ahead, self.behind = self.ahead, self.behind, None, None
        if behind:
            wait([behind[1]])
        if ahead:
            wait([ahead.first])
            ahead.work.close()

    def close(self) -> None:
        """Drop what is left, and end the threads."""
        self.abandon()
        self.reader.shutdown()
        self.writer.shutdown()

    def _go_on(self, begun: _Begun[Key, Result] | None) -> Iterator[tuple[Key, "Future[Result]"]]:
        ready, self.ahead = self.ahead, begun
        ended = (ready.key, self._middle(ready)) if ready else None
        last, self.behind = self.behind, ended
        if last:
            wait([last[1]])
            yield last

    def _middle(self, ready: _Begun[Key, Result]) -> "Future[Result]":
        try:
            ready.first.result()
            next(ready.work)
        except Exception as error:
            failed: Future[Result] = Future()
            failed.set_exception(error)
            return failed
        except BaseException:  # the process is told to end: nobody will ask for this task again
            wait([ready.first])
            ready.work.close()
            raise
        return self.writer.submit(_last, ready.work)


def alone(work: Work[Result]) -> Result:
    """Do a task by itself, all parts in this thread."""
    for _ in range(2):
        next(work)
    return _last(work)


def _last(work: Work[Result]) -> Result:
    try:
        next(work)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise RuntimeError("the task has more than three parts")
