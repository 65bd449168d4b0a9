"""Memory on one machine, shared by processes."""

import contextlib
import fcntl
import threading
import time

import pytest

from hdnet.pipeline.local.admission import Admission
from hdnet.transforms.errors import SizeError

MB = 1_000_000


def held(admission, size):
    """Start a thread that takes `size` and gives it back on demand: (taken, give back, thread)."""
    taken, give_back = threading.Event(), threading.Event()

    def work():
        with admission.hold(size, "a.png"):
            taken.set()
            give_back.wait()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return taken, give_back, thread


def end(*holders):
    for _, give_back, _ in holders:  # all before the first is waited for: which one has what is open
        give_back.set()
    for _, _, thread in holders:
        thread.join()


def wait_for_a_giant_at_the_door(folder):
    with open(folder / "door.lock", "rb") as door:
        while True:
            try:
                fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(door, fcntl.LOCK_UN)
            time.sleep(0.01)


def test_what_fits_a_share_runs_beside_the_others(tmp_path):
    admission = Admission(100 * MB, 2, str(tmp_path))
    others = [held(admission, 50 * MB) for _ in range(2)]
    assert all(taken.wait(60) for taken, _, _ in others)
    end(*others)


def test_two_giants_never_run_at_once(tmp_path):
    admission = Admission(100 * MB, 2, str(tmp_path))
    first = held(admission, 90 * MB)
    assert first[0].wait(60)
    second = held(admission, 60 * MB)
    small = held(admission, 10 * MB)
    assert not second[0].wait(0.3) and not small[0].wait(0.1)
    end(first, second, small)
    assert second[0].is_set() and small[0].is_set()


def test_small_pairs_do_not_keep_a_giant_waiting(tmp_path):
    admission = Admission(100 * MB, 2, str(tmp_path))
    small = held(admission, 10 * MB)
    assert small[0].wait(60)
    giant = held(admission, 90 * MB)
    wait_for_a_giant_at_the_door(tmp_path)
    late = held(admission, 10 * MB)
    assert not late[0].wait(0.3) and not giant[0].is_set()
    small[1].set()
    assert giant[0].wait(60) and not late[0].is_set()
    end(giant, late, small)


def test_what_could_never_fit_fails_and_names_the_file(tmp_path):
    admission = Admission(1000 * MB, 2, str(tmp_path))
    with pytest.raises(SizeError, match=r"a\.png.* 2\.5 GB.* 1\.0 GB"), admission.hold(2500 * MB, "a.png"):
        raise AssertionError


def test_without_a_limit_everything_is_admitted():
    with Admission(0, 4, "").hold(10**15, "a.png"):
        pass


@pytest.mark.parametrize(
    "workers, size, beside, alone", [(2, 40, 0, False), (2, 40, 20, True), (1, 80, 20, False), (1, 80, 30, True)]
)
def test_neighbours_count_and_a_single_process_takes_locks_too(tmp_path, workers, size, beside, alone):
    """A process has its own pairs to keep apart: the one that is read, and the one that is written."""
    admission = Admission(100 * MB, workers, str(tmp_path))
    with admission.hold(size * MB, "a.png", beside=beside * MB), (tmp_path / "giants.lock").open("rb") as lock:
        with pytest.raises(BlockingIOError) if alone else contextlib.nullcontext():
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
