"""How far work is, on a terminal and in a log."""

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
        drawn = os.read(master, 10_000).decode()
    os.close(master)
    assert "5/10 |" in drawn and max(map(len, drawn.replace("\n", "").split("\r"))) <= 40


def test_elsewhere_a_line_is_logged_now_and_then(caplog):
    line = ProgressLine(4, done=1, unit=2)
    with caplog.at_level(logging.INFO):
        line.update(2, lambda: "too early")
        line.update(4, lambda: "loss 0.5")
    (logged,) = caplog.messages
    assert logged.startswith("8/8 ") and logged.endswith("00:00 left, loss 0.5")
