"""One live line on a terminal, a plain log line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class ProgressLine:
    """Shows done / total, items per second and the time left.

    Args:
        total: Steps in all.
        done: Steps done before this process began.
        unit: Items a step.
    """

    def __init__(self, total: int, *, done: int = 0, unit: int = 1) -> None:
        self.total, self.start, self.unit = total, done, unit
        self.began = time.monotonic()
        self.shown = self.began
        self.live = sys.stderr.isatty()
        self.unfinished = False
        self.pause = 0.5 if self.live else 30.0

    def update(self, done: int, detail: Callable[[], str]) -> None:
        """Show the line if the last one is old enough; `detail` is called only then."""
        now = time.monotonic()
        if now - self.shown < self.pause and done < self.total:
            return
        self.shown = now
        rate = (done - self.start) / max(now - self.began, 1e-9)
        left = duration((self.total - done) / max(rate, 1e-9))
        text = f"{done}/{self.total}  {rate * self.unit:.1f} images/s  {detail()}  {left} left"
        if self.live:
            sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if done == self.total else ""))
            sys.stderr.flush()
            self.unfinished = done < self.total
        else:
            log.info("%s", text)

    def close(self) -> None:
        """Leave a live line that stands unfinished, so that what is said next has a line of its own."""
        if self.unfinished:
            sys.stderr.write("\n")
            self.unfinished = False


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds, as many hours as there are."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
