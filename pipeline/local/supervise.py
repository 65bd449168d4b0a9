"""Keep a local run going when a process of it dies: a decoder that crashes, or a system short of memory.

The command runs in a process of its own. When it or one of its workers dies, it is started again and goes on where
it was. The pairs that were under way are suspects: from then on each runs alone, and one that a process died over
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
"""Of the name of a watching process's folder; and the file in it that the process holds a lock on."""
SCRATCH = "HDNET_SCRATCH"
"""Environment variable that names the folder which outlives the attempts; it makes a process the supervised one."""
LIFELINE = "HDNET_LIFELINE"
"""Environment variable with the number of an open file that ends when the watching process does."""
DIED = 75
"""Exit code of a command one of whose workers died: worth another attempt."""
TRIES = 2
"""Processes that may die over a pair."""
MOST_DEATHS = 20
"""After so many with no image done between them the trouble is not single images."""
PARTING = 5.0
"""Seconds that a command has to end by itself when somebody wishes it to; at a second wish it has none."""

_WISHES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def scratch() -> Path | None:
    """Return the folder that outlives this attempt; None where nobody watches over this process."""
    return Path(os.environ[SCRATCH]) if SCRATCH in os.environ else None


def remember_run(folder: Path, run_id: str, started: str) -> str:
    """Write down the name of a local run, under which another attempt goes on; return when its first one began."""
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
    """Run a command of ours, again where it or a worker dies, and return its exit code, or 128 + a signal's number."""
    _sweep(Path(tempfile.gettempdir()))
    with _scratch() as folder:
        deaths, done = 0, 0
        while deaths < MOST_DEATHS:
            code, wish = _attempt(command, folder)
            if code and wish:
                return 128 + wish
            if code >= 0 and code != DIED:
                return code
            if not (Path(folder) / "run_id").exists():
                return 128 - code
            _accuse(Path(folder), code)
            before, done = done, progress.read(Path(folder)).images
            deaths = deaths + 1 if done == before else 1
        print(
            f"Error: processes died {MOST_DEATHS} times with no image done; give fewer --workers, or less --memory",
            file=sys.stderr,
        )
        return 1


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """Make a folder, and hold a lock on a file in it that the kernel takes back when this process ends."""
    made = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    with made as folder, open(Path(folder) / "new", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.rename(file.name, Path(folder) / KEPT)  # under this name it was never there without its lock
        yield folder


def _sweep(place: Path) -> None:
    """Remove the folders of watching processes that were killed."""
    for path in place.glob(f"{PREFIX}*/{KEPT}"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent)


def follow_keeper() -> None:
    """End this process and its workers when the process that watches over it is gone."""
    if LIFELINE in os.environ:
        threading.Thread(target=_wait_for_end, args=(int(os.environ[LIFELINE]),), daemon=True).start()


def _wait_for_end(lifeline: int) -> None:
    os.read(lifeline, 1)  # nobody writes: it returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


def _attempt(command: Sequence[str], folder: str) -> tuple[int, int]:
    """Run the command once, in a group of processes of its own, none of which outlives it or us.

    Returns:
        Its exit code, and the first signal by which somebody wished it to end, 0 if nobody did.
    """
    wishes: list[int] = []
    kills: list[threading.Timer] = []
    lifeline, held = os.pipe()
    # Modules come from where ours are, and never from a folder "model" or "pipeline" that the user happens to be in.
    environment = {**os.environ, SCRATCH: folder, LIFELINE: str(lifeline), "PYTHONSAFEPATH": "1"}
    child = subprocess.Popen(command, env=environment, pass_fds=[lifeline], start_new_session=True)
    # A terminal's signals reach us alone: the workers would die of them with a traceback each.

    def pass_on(number: int, _: object) -> None:
        # Beam, interrupted as it starts its workers, may wait for one of them for ever.
        kills.append(threading.Timer(0 if wishes else PARTING, _kill_group, [child.pid]))
        kills[-1].daemon = True
        kills[-1].start()
        wishes.append(number)
        child.send_signal(number)

    before = {wish: signal.signal(wish, pass_on) for wish in _WISHES}
    try:
        return child.wait(), wishes[0] if wishes else 0
    finally:
        for wish, handler in before.items():
            signal.signal(wish, handler)
        for kill in kills:
            kill.cancel()
        os.close(lifeline)
        os.close(held)
        _kill_group(child.pid)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _accuse(folder: Path, code: int) -> None:
    """Write down over which pairs a process died."""
    victims = progress.take_victims(folder)
    counts = Counter(suspects(str(folder)))
    counts.update(victims)
    (folder / "suspects.json").write_text(json.dumps(counts))
    how = "a worker" if code == DIED else f"the process ({signal.Signals(-code).name})"
    over = f" over {', '.join(victims[:3])}" if victims else ""
    print(f"{how} died{over}: going on", file=sys.stderr)
