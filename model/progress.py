"""One live progress bar on a terminal, a plain log line now and then elsewhere."""

import logging
import time
from collections.abc import Callable

from tqdm import tqdm

log = logging.getLogger(__name__)

_UNIT = " images"
_SPEED = "{rate_noinv_fmt}, {remaining} left{postfix}"  # what is too long for the terminal is cut off at the end
_LIVE = "{n_fmt}/{total_fmt} |{bar}| " + _SPEED
_PLAIN = "{n_fmt}/{total_fmt} " + _SPEED


class _Bar(tqdm):  # type: ignore[type-arg]  # generic to its types only
    monitor_interval = 0  # no thread: `ProgressLine` decides when to draw


class ProgressLine:
    """Shows how many images of all are done, images per second and the time left.

    Args:
        total: Number of steps in all.
        done: Number of steps done before this process began.
        unit: Images of a step.
    """

    def __init__(self, total: int, *, done: int = 0, unit: int = 1) -> None:
        self.total, self.unit, self.start = total, unit, done * unit
        self.began = self.shown = time.monotonic()
        self.bar = _Bar(
            total=total * unit, initial=self.start, unit=_UNIT, bar_format=_LIVE, dynamic_ncols=True, disable=None
        )
        self.pause = 30.0 if self.bar.disable else 0.5

    def update(self, done: int, detail: Callable[[], str]) -> None:
        """Show the line if the last one is old enough; `detail` is called only then."""
        now = time.monotonic()
        if now - self.shown < self.pause and done < self.total:
            return
        self.shown, self.bar.n = now, done * self.unit
        if self.bar.disable:
            log.info("%s", self._plain(detail()))
        else:
            self.bar.set_postfix_str(detail())
        if done >= self.total:
            self.close()

    def pass_over(self, steps: int) -> None:
        """Leave so many of the steps done out of the speed: they took no work."""
        self.start = self.bar.initial = steps * self.unit

    def close(self) -> None:
        """Leave a live line, finished or not, so that what comes next has a line of its own."""
        self.bar.close()

    def _plain(self, detail: str) -> str:
        return _Bar.format_meter(
            self.bar.n, self.total * self.unit, self.shown - self.began,
            initial=self.start, unit=_UNIT, bar_format=_PLAIN, postfix=detail,
        )  # fmt: skip
