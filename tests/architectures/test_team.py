"""Threads that share out parts."""

import subprocess
import sys
import threading
import time
import weakref

import pytest
import torch

from hdnet.model.team import Room, lead, share, side_by_side

CPU = torch.device("cpu")


def squares(count):
    return share(lambda part: (part**2, torch.get_num_threads(), threading.get_ident()), range(count))


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_parts_come_in_order_from_threads_that_compute_alone():
    done = lead(lambda: squares(1000))
    assert [value for value, _, _ in done] == [part**2 for part in range(1000)]
    assert {threads for _, threads, _ in done} == {1}
    assert threading.get_ident() not in {thread for _, _, thread in done}


def test_the_callers_threads_are_what_they_were():
    lead(lambda: squares(3))
    assert torch.get_num_threads() == 3
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [3]


def test_without_a_team_the_caller_does_it_all():
    assert {(threads, thread) for _, threads, thread in squares(5)} == {(3, threading.get_ident())}


def at_once(count, call):
    callers = [threading.Thread(target=call, daemon=True) for _ in range(count)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=300)


def test_more_callers_than_threads_share_the_team():
    torch.set_num_threads(4)  # of so many there is no team yet
    ready, counts, threads = threading.Barrier(8), [], set[int]()

    def call():
        torch.get_num_threads()  # while a team is made, threads that are new to torch learn of its own setting
        ready.wait()
        found = lead(lambda: share(squares, range(20)))
        counts.append(len(found))
        threads.update(thread for several in found for _, _, thread in several)

    at_once(8, call)
    assert counts == [20] * 8 and len(threads) <= 4


def test_a_team_without_an_idle_thread_keeps_no_parts():
    class Part:
        pass

    busy, seen = threading.Barrier(3), []

    def work():
        part = Part()
        gone = weakref.ref(part)
        busy.wait()
        share(lambda each: each, [part, part])
        del part
        seen.append(gone())
        busy.wait()

    at_once(3, lambda: lead(work))
    assert seen == [None] * 3


def test_an_error_reaches_the_caller_when_no_thread_is_at_work_any_more():
    together, begun, ended = threading.Barrier(3), [], []

    def fail(part):
        begun.append(part)
        if part < 3:
            together.wait()
        if part == 0:
            raise ValueError("part 0")
        time.sleep(0.05)
        ended.append(part)

    def work():
        with pytest.raises(ValueError, match="part 0"):
            share(fail, range(1000))
        return len(begun), len(ended) + 1

    at_work, over = lead(work)
    assert at_work == over < 1000


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_forked_process_makes_a_team_of_its_own():
    code = """
import os, torch
from hdnet.model.team import lead, share
torch.set_num_threads(2)
work = lambda: share(lambda part: part + 1, range(5))
assert lead(work) == [1, 2, 3, 4, 5]
pid = os.fork()
if not pid:
    os._exit(lead(work) != [1, 2, 3, 4, 5])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=300) == "0\n"


def test_side_by_side_each_thread_works_alone_and_order_is_kept():
    torch.set_num_threads(2)
    both = threading.Barrier(2)

    def work(part: int) -> tuple[int, int]:
        both.wait()  # two are in work at the same time
        return part, torch.get_num_threads()

    assert list(side_by_side(work, range(4), CPU)) == [(part, 1) for part in range(4)]
    assert torch.get_num_threads() == 2


def test_a_gpu_works_on_one_part_at_a_time():
    found = side_by_side(lambda part: threading.get_ident(), range(2), torch.device("mps"))
    assert set(found) == {threading.get_ident()}


def test_images_wait_for_room_and_one_that_is_larger_has_it_alone():
    room, held = Room(10), []

    def work(part: int) -> None:
        with room.hold((4, 6, 99, 5)[part]):
            held.append(room.taken)

    list(side_by_side(work, range(4), CPU))
    assert room.taken == 0 and all(taken <= 10 or taken == 99 for taken in held)
