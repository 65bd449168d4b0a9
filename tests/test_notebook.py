"""examples/first_look.ipynb: its cells run in order, print what is stored with it, and it stays small."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.test_packaging import ROOT

FILE = ROOT / "examples" / "first_look.ipynb"
CELLS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["cells"]


def test_the_cells_run_and_print_what_is_stored(monkeypatch, tmp_path):
    monkeypatch.chdir(FILE.parent)
    display = ModuleType("IPython.display")
    display.__dict__["Image"] = bytes
    package = ModuleType("IPython")
    package.__dict__["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of the processes it starts
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {"_shell": shell}
    for cell in CELLS:
        if cell["cell_type"] == "code":
            assert comparable(execute("".join(cell["source"]), names)) == comparable(printed(cell))


def test_it_is_small_and_holds_no_path_of_the_machine_that_made_it():
    assert FILE.stat().st_size < 500_000
    stored = "".join(printed(cell) for cell in CELLS)
    assert not re.search(r"/(home|root|work|Users)/", stored) and "Traceback" not in stored
    assert sum("image/jpeg" in output.get("data", {}) for cell in CELLS for output in cell.get("outputs", ())) >= 3


def execute(source: str, names: dict[str, Any]) -> str:
    """Run a cell, and return what it prints; a line that begins with ! is a command for the shell."""
    code = re.sub(r"^!(.*)$", r"_shell(f'''\1''')", source, flags=re.MULTILINE)
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        exec(compile(code, "cell", "exec"), names)
    return stream.getvalue()


def shell(command: str) -> None:
    """Run a command, and print what it prints."""
    print(subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout, end="")


def printed(cell: dict[str, Any]) -> str:
    """Return what is stored as printed by a cell."""
    streams = (output for output in cell.get("outputs", ()) if output.get("name") == "stdout")
    return "".join("".join(output["text"]) for output in streams)


def comparable(text: str) -> str:
    """Return a text without the temporary folder and without figures, whose last digits differ between processors."""
    return re.sub(r" *[\d.:]+", "#", re.sub(r"\S*/(?=harmonized)", "", text)).replace("\r", "")
