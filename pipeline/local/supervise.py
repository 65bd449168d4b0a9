"""Keep a local run going when one of its processes dies, through a decoder that crashes or for lack of memory.

The command runs in a process of its own. When it or one of its workers dies, it is started again and goes on where
it was. The pairs that were under way are suspects: from then on each runs alone, and one that processes died over
twice is set aside as a failure.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hdnet.pipeline.local import progress

PREFIX, KEPT = "hdnet-", "kept"
"""What the name of a watching process's folder begins with, and the file in it that the process holds a lock on."""
SCRATCH = "HDNET_SCRATCH"
"""Environment variable with the folder that outlives the attempts; a process that has it is a supervised one."""
LIFELINE = "HDNET_LIFELINE"
"""Environment variable with the number of an open file that ends when the watching process does."""
DIED = 75
"""Exit code of a command one of whose workers died, so that another attempt is worthwhile."""
TRIES = 2
"""How many processes may die over a pair."""
MOST_DEATHS = 20
"""After so many deaths with no image done in between, single images are not the cause."""
PARTING = 5.0
"""Seconds that a command has to end by itself after a signal to end; after a second signal it has none."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def scratch() -> Path | None:
    """Return the folder that outlives this attempt; None where no process watches over this one."""
    return Path(os.environ[SCRATCH]) if SCRATCH in os.environ else None


def remember_run(folder: Path, run_id: str, started: str) -> str:
    """Write down the name of a local run for the next attempt, and return when the first one began."""
    (folder / "run_id").write_text(run_id)
    first = folder / "started"
    if not first.exists():
        first.write_text(started)
    return first.read_text()


def remembered_run() -> str | None:
    """Return the name of the run that an earlier attempt began."""
    folder = scratch()
    return (folder / "run_id").read_text() if folder and (folder / "run_id").exists() else None


def suspects(folder: str) -> dict[str, int]:
    """Return how many processes died over each pair, by id."""
    path = Path(folder) / "suspects.json"
    found: dict[str, int] = json.loads(path.read_text()) if folder and path.exists() else {}
    return found


def run(command: Sequence[str]) -> int:
    """Run a command of ours, again each time it or a worker dies; return its exit code, or 128 + a signal's number."""
    _sweep(Path(tempfile.gettempdir()))
    with _scratch() as folder:
        deaths, done = 0, 0
        while deaths < MOST_DEATHS:
            code, number = _attempt(command, folder)
            if code and number:
                return 128 + number
            if code >= 0 and code != DIED:
                return code
            if not (Path(folder) / "run_id").exists():
                return 128 - code
            _suspect(Path(folder), code)
            before, done = done, progress.read(Path(folder)).images
            deaths = deaths + 1 if done == before else 1
        print(
            f"Error: processes died {MOST_DEATHS} times with no image done; give fewer --workers, or less --memory",
            file=sys.stderr,
        )
        return 1


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """Make a folder and hold a lock on a file in it; the kernel takes it back when this process ends."""
    made = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    with made as folder, open(Path(folder) / "new", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.rename(file.name, Path(folder) / KEPT)  # under this name it is never without its lock
        yield folder


def _sweep(place: Path) -> None:
    """Remove the folders of watching processes that were killed."""
    for path in place.glob(f"{PREFIX}*/{KEPT}"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent)


def exit_with_parent() -> None:
    """End this process and its workers as soon as the process that watches over it is gone."""
    if LIFELINE in os.environ:
        threading.Thread(target=_wait_for_end, args=(int(os.environ[LIFELINE]),), daemon=True).start()


def _wait_for_end(lifeline: int) -> None:
    os.read(lifeline, 1)  # nobody writes, so this returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


def _attempt(command: Sequence[str], folder: str) -> tuple[int, int]:
    """Run the command once, in a group of processes of its own, none of which outlives it or us.

    Returns:
        Its exit code, and the first signal that asked it to end, 0 if none did.
    """
    received: list[int] = []
    kills: list[threading.Timer] = []
    lifeline, held = os.pipe()
    # Modules come from where ours are, and never from the folder that the user happens to be in.
    environment = {**os.environ, SCRATCH: folder, LIFELINE: str(lifeline), "PYTHONSAFEPATH": "1"}
    child = subprocess.Popen(command, env=environment, pass_fds=[lifeline], start_new_session=True)
    # A terminal's signals reach this process alone: they would make each worker die with a traceback.

    def pass_on(number: int, _: object) -> None:
        # If Beam is interrupted while it starts its workers, it may wait for one of them for ever.
        kills.append(threading.Timer(0 if received else PARTING, _kill_group, [child.pid]))
        kills[-1].daemon = True
        kills[-1].start()
        received.append(number)
        child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        return child.wait(), received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for kill in kills:
            kill.cancel()
        os.close(lifeline)
        os.close(held)
        _kill_group(child.pid)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _suspect(folder: Path, code: int) -> None:
    """Write down over which pairs a process died."""
    crashed = progress.take_crashed_ids(folder)
    counts = Counter(suspects(str(folder)))
    counts.update(crashed)
    (folder / "suspects.json").write_text(json.dumps(counts))
    who = "a worker" if code == DIED else f"the process ({signal.Signals(-code).name})"
    over = f" over {', '.join(crashed[:3])}" if crashed else ""
    print(f"{who} died{over}: going on", file=sys.stderr)
