"""Tasks side by side: each part beside its neighbours' parts, outcomes in order, nothing kept after an error."""

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

from hdnet.pipeline.local.admission import Admission
from hdnet.pipeline.steps.relay import Relay


@pytest.fixture
def relay() -> Iterator[Relay[str, str]]:
    made = Relay[str, str]()
    yield made
    made.close()


def steps(*calls: object) -> Generator[None, None, str]:
    """Work of which each part is one call, made in `threads`."""
    for call in calls[:-1]:
        call()  # type: ignore[operator]
        yield
    calls[-1]()  # type: ignore[operator]
    return "done"


def test_a_work_is_read_and_another_written_while_one_is_in_the_middle(relay):
    read, written = threading.Event(), threading.Event()
    noted = []

    def first() -> None:  # the middle of the first work ends when the second one is read
        read.wait()

    def second() -> None:  # the middle of the second one ends when the first one is written
        written.wait()
        noted.append(threading.current_thread() is threading.main_thread())

    works = {"a": steps(str, first, written.set), "b": steps(read.set, second, str)}
    outcomes = [each for key, work in works.items() for each in relay.put(key, work)]
    outcomes += relay.finish()
    assert [(key, result.result()) for key, result in outcomes] == [("a", "done"), ("b", "done")]
    assert noted == [True]


@pytest.mark.parametrize("part", range(3))
def test_an_error_ends_its_own_work_alone(relay, part):
    def fail() -> None:
        raise KeyError("a bug")

    calls: list[object] = [str, str, str]
    calls[part] = fail
    works = {"a": steps(str, str, str), "b": steps(*calls), "c": steps(str, str, str)}
    outcomes = [each for key, work in works.items() for each in relay.put(key, work)]
    outcomes += relay.finish()
    assert [(key, result.exception() is None) for key, result in outcomes] == [("a", True), ("b", False), ("c", True)]
    with pytest.raises(KeyError, match="a bug"):
        outcomes[1][1].result()


def test_what_is_abandoned_gives_back_what_it_holds(relay):
    given_back = []

    def holding() -> Generator[None, None, str]:
        try:
            yield
        finally:
            given_back.append(True)
        raise AssertionError

    list(relay.put("a", holding()))
    relay.abandon()
    assert given_back == [True] and not list(relay.finish())


def test_an_interrupt_gives_back_what_the_task_in_the_middle_holds(relay):
    class Interrupted(Future[None]):
        def result(self, timeout: float | None = None) -> None:
            raise KeyboardInterrupt

    interrupted, given_back = Interrupted(), []
    interrupted.set_result(None)

    def holding() -> Generator[None, None, str]:
        try:
            yield
        finally:
            given_back.append(True)
        raise AssertionError

    list(relay.put("a", holding()))
    relay.ahead.first.result()
    relay.ahead = relay.ahead._replace(first=interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(relay.finish())
    assert given_back == [True]


def test_later_threads_start_with_the_torch_threads_of_before(relay):
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        made = Relay[str, str]()
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        made.close()
    finally:
        torch.set_num_threads(before)
    assert seen == [3]


def test_a_giant_that_is_read_ahead_waits_for_both_processes_and_none_waits_for_ever(tmp_path: Path):
    admission = Admission(100, 2, str(tmp_path))
    holding: set[str] = set()
    beside_giants: list[set[str]] = []

    def small(name: str, asked: threading.Event) -> Generator[None, None, str]:
        with admission.hold(10, name):
            holding.add(name)
            yield
            asked.wait()  # until the giant behind it is in the reader
            yield
            holding.discard(name)
        return name

    def giant(name: str, asked: threading.Event) -> Generator[None, None, str]:
        asked.set()
        with admission.hold(90, name):
            yield
            beside_giants.append(set(holding))
            yield
        return name

    def process(name: str) -> None:
        relay, asked = Relay[str, str](), threading.Event()
        for number, make in enumerate((small, giant, small, giant)):
            list(relay.put(name, make(f"{name}{number}", asked)))
        list(relay.finish())
        relay.close()

    processes = [threading.Thread(target=process, args=name, daemon=True) for name in "ab"]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    assert beside_giants == [set()] * 4
