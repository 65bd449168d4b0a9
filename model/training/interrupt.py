"""Ctrl-C in a training: the step under way is finished and saved."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Knows whether Ctrl-C was pressed; at a second time it interrupts at once."""

    def __init__(self) -> None:
        self.came = False

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Take the signal of Ctrl-C for as long as the block lasts."""
        before = signal.signal(signal.SIGINT, self._notice)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _notice(self, _: int, __: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


def ignore(_: int) -> None:
    """Ignore Ctrl-C in a loader process: its parent decides when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
