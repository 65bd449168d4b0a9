"""Processes that die, and what becomes of the run."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hdnet.pipeline.local import local_run, progress, supervise
from hdnet.pipeline.local.progress import Counts
from tests import portable
from tests.catalogs import write_catalog, write_weights
from tests.pipeline.test_pipeline import table

POISONED = """
import os, sys
from hdnet.model.harmonizer import Harmonizer
from hdnet.pipeline import run
whole = Harmonizer.__call__
def call(self, composite, mask, label):
    if composite.shape[0] == 30:
        os.kill(os.getpid(), 9)
    return whole(self, composite, mask, label)
Harmonizer.__call__ = call
run.main(prog_name="hdnet-harmonize")
"""

DYING = """
import os, sys
from hdnet.pipeline.local import progress
file = progress.ProgressFile(sys.argv[1])
with file.under_way('s\u00fc\u00df/1'):
    os.kill(os.getpid(), 9)
"""

STILLBORN = """
import os, sys
if "hdnet.pipeline.local.worker" in sys.orig_argv:
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        os.kill(os.getpid(), 9)
"""

WAITING = """
import signal
signal.signal(signal.SIGINT, lambda *_: exit(1))
from hdnet.pipeline.local import supervise
supervise.exit_with_parent()
supervise.remember_run(supervise.scratch(), "a", "now")
signal.pause()
"""
DEAF = WAITING.replace("exit(1)", "None").replace("signal.pause()", "while True: signal.pause()")
KEEPER = "import sys; from hdnet.pipeline.local import supervise; sys.exit(supervise.run([sys.executable, '-c', {!r}]))"


@contextlib.contextmanager
def watching(folder: Path, keeper: str = KEEPER.format(WAITING)) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A watching process whose child has begun to wait, and its own folder, below the one given."""
    with subprocess.Popen([sys.executable, "-c", keeper], env={**os.environ, "TMPDIR": str(folder)}) as process:
        try:
            while not (begun := list(folder.glob("hdnet-*/started"))):
                assert process.poll() is None
                time.sleep(0.01)
            yield process, begun[0].parent
        finally:
            process.kill()


def test_counts_add_up_over_threads(tmp_path):
    files = [progress.ProgressFile(str(tmp_path)) for _ in range(2)]
    with files[0].under_way("a"), files[0].under_way("b"):
        files[0].add(Counts(images=1, pixels=50))
    files[1].add(Counts(failures=1))
    files[1].close()
    assert progress.read(tmp_path) == Counts(1, 50, 1, 0)
    progress.ProgressFile("").add(Counts(images=1))


def test_what_follows_an_unfinished_progress_line_begins_on_its_own(tmp_path, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    watch = local_run.Watch(tmp_path, 3)
    watch.line.pause = 0.0
    with watch:
        progress.ProgressFile(str(tmp_path)).add(Counts(images=2))
    last = terminal.getvalue().split("\r")[-1]
    assert last.startswith("2/3 |") and "failed" not in last and last.endswith("\n")


def test_only_a_crash_leaves_an_id_and_only_once(tmp_path):
    living = progress.ProgressFile(str(tmp_path))
    with living.under_way("mine"):
        subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], check=False)
    assert progress.take_crashed_ids(tmp_path) == ["süß/1"]
    assert progress.take_crashed_ids(tmp_path) == []
    living.close()


def test_a_folder_called_model_is_not_imported(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/__init__.py").write_text("raise SystemExit('imported')")
    watched = "supervise.run([sys.executable, '-m', 'hdnet.pipeline.run', '--version'])"
    command = [
        sys.executable,
        "-P",
        "-c",
        f"import sys; from hdnet.pipeline.local import supervise; sys.exit({watched})",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 0


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_code_is_passed_on(code):
    assert supervise.run([sys.executable, "-c", f"raise SystemExit({code})"]) == code


def test_what_dies_before_a_local_run_begins_is_not_started_again(capfd):
    dying = "import os; print('once', flush=True); os.kill(os.getpid(), 9)"
    assert supervise.run([sys.executable, "-c", dying]) == 128 + 9
    assert capfd.readouterr().out.count("once") == 1


def test_what_dies_again_and_again_without_an_image_ends(monkeypatch, capfd):
    monkeypatch.setattr(supervise, "MOST_DEATHS", 3)
    dying = WAITING.replace("signal.pause()", "signal.raise_signal(signal.SIGKILL)")
    assert supervise.run([sys.executable, "-c", dying]) == 1
    said = capfd.readouterr().err
    assert said.count("died: going on") == 3 and "3 times with no image done" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_is_passed_on_and_obeyed(tmp_path, number):
    with watching(tmp_path) as (process, _):
        process.send_signal(number)
        assert process.wait(300) == 128 + number
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("parting", "signals"), [(0.2, 1), (60, 2)])
def test_what_does_not_end_when_it_should_is_killed(tmp_path, parting, signals):
    keeper = f"from hdnet.pipeline.local import supervise; supervise.PARTING = {parting}; {KEEPER.format(DEAF)}"
    with watching(tmp_path, keeper) as (process, _):
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)  # two at once are one
        assert process.wait(300) == 128 + signal.SIGINT
    assert not list(tmp_path.iterdir())


def test_what_a_killed_watcher_left_is_swept_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "hdnet-dead").mkdir()
    (tmp_path / "hdnet-dead" / supervise.KEPT).touch()
    (tmp_path / "hdnet-other").mkdir()
    with watching(tmp_path) as (_, live):
        assert supervise.run([sys.executable, "-c", "pass"]) == 0
        assert {path.name for path in tmp_path.iterdir()} == {"hdnet-other", live.name}


def test_a_pair_that_kills_is_set_aside_and_the_rest_is_done(tmp_path, capfd):
    manifest, weights = write_catalog(tmp_path / "in", good=6, broken=0), write_weights(tmp_path / "tiny.safetensors")
    arguments = ["--input", manifest, "--output", tmp_path / "out", "--weights", weights, "--workers", 1, "--no-report"]
    code = supervise.run([sys.executable, "-c", POISONED, *map(str, arguments)])
    said = capfd.readouterr()
    assert code == 0, said.err
    rows, failures = table(tmp_path / "out/metrics"), table(tmp_path / "out/failures")
    killers = {row["id"] for row in failures}
    assert {row["error"] for row in failures} == {"CrashError"} and "2 processes died over it" in failures[0]["message"]
    assert len(killers) == 2 and len({row["id"] for row in rows} | killers) == 6
    (summary,) = (tmp_path / "out/runs").glob("*.json")
    assert json.loads(summary.read_text())["totals"]["done"] == 4
    named = {
        identity
        for over in re.findall(r"SIGKILL\) died over (.+): going on", said.err)
        for identity in over.split(", ")
    }
    assert named >= killers  # a pair that was read ahead may be named as well


def test_a_worker_that_dies_as_it_starts_is_not_waited_for(tmp_path, monkeypatch, capfd):
    (tmp_path / "path").mkdir()
    (tmp_path / "path/sitecustomize.py").write_text(STILLBORN.format(mark=str(tmp_path / "mark")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), str(Path(__file__).parents[2])]))
    manifest, weights = write_catalog(tmp_path / "in", good=2, broken=0), write_weights(tmp_path / "tiny.safetensors")
    arguments = ["--input", manifest, "--output", tmp_path / "out", "--weights", weights, "--workers", 2, "--no-report"]
    assert supervise.run([sys.executable, "-m", "hdnet.pipeline.run", *map(str, arguments)]) == 0
    assert len(table(tmp_path / "out/metrics")) == 2 and "a worker died: going on" in capfd.readouterr().err


def test_a_worker_that_fails_before_it_works_says_why_in_one_line():
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_SERVICE_DESCRIPTOR")}
    command = [sys.executable, "-m", "hdnet.pipeline.local.worker"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "a worker failed: KeyError: 'CONTROL_API_SERVICE_DESCRIPTOR'"


def test_nothing_outlives_the_watching_process(tmp_path):
    with watching(tmp_path) as (process, _):
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    portable.until(lambda: not is_alive(child))


def is_alive(process: str) -> bool:
    """Say whether a process runs; a dead one may be listed until somebody asks what became of it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
