"""Works side by side: each part beside its neighbours' parts, outcomes in order, nothing kept after an error."""

import threading
from collections.abc import Generator, Iterator

import pytest

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
        assert read.wait(60)

    def second() -> None:  # the middle of the second one ends when the first one is written
        assert written.wait(60)
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
