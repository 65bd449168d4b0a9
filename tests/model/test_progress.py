"""How far work is, on a terminal and in a log."""

import contextlib
import logging
import os
import sys
import termios

from hdnet.model.progress import ProgressLine


def test_a_line_never_wraps_on_a_terminal(monkeypatch):
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 40))
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        line = ProgressLine(10)
        line.pause = 0.0
        line.update(5, lambda: "a long detail " * 10)
        line.close()
    written = _read_to_the_end(master)
    assert "5/10 |" in written and max(map(len, written.replace("\n", "").split("\r"))) <= 40


def test_elsewhere_a_line_is_logged_now_and_then(caplog):
    line = ProgressLine(4, done=1, unit=2)
    with caplog.at_level(logging.INFO):
        line.update(2, lambda: "too early")
        line.update(4, lambda: "loss 0.5")
    (logged,) = caplog.messages
    assert logged.startswith("8/8 ") and logged.endswith("00:00 left, loss 0.5")


def test_what_took_no_work_makes_no_speed(caplog):
    line = ProgressLine(4)
    with caplog.at_level(logging.INFO):
        line.pass_over(4)
        line.update(4, lambda: "4 up to date")
    assert "? images/s" in caplog.text


def _read_to_the_end(master):
    """Read all that was written to a terminal that is closed by now: one read may give a part of it."""
    written = b""
    with os.fdopen(master, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while part := file.read(10_000):
            written += part
    return written.decode()
