"""Dividing a machine."""

import pytest

from pipeline import machine

GB = 1_000_000_000


@pytest.mark.parametrize(
    "wanted, typical, cores, memory, expected",
    [
        (0, 1 * GB, 4, 16 * GB, (4, 1)),
        (0, 5 * GB, 4, 16 * GB, (3, 1)),
        (0, 9 * GB, 4, 16 * GB, (1, 4)),
        (0, 90 * GB, 4, 16 * GB, (1, 4)),
        (2, 9 * GB, 4, 16 * GB, (2, 2)),
        (8, 1 * GB, 4, 16 * GB, (8, 1)),
    ],
)
def test_workers_follow_from_cores_and_memory(wanted, typical, cores, memory, expected):
    plan = machine.plan(wanted, typical, cores=cores, memory=memory)
    assert (plan.workers, plan.threads) == expected and plan.memory == memory


def test_this_machine_has_cores_and_memory():
    assert machine.available_cores() >= 1
    assert machine.available_memory() > 100_000_000
