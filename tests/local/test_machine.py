"""Dividing a machine."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from hdnet.model import harmonizer
from hdnet.pipeline.local import machine
from hdnet.transforms.codecs import limits

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


def test_memory_is_what_the_system_and_the_control_group_have_left(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=9_216_000, available=5_120_000))
    files = {
        "/sys/fs/cgroup/memory.max": ["4000000"],
        "/sys/fs/cgroup/memory.current": ["3000000"],
        "/sys/fs/cgroup/memory.stat": ["anon 1000000", "inactive_file 500000"],
    }
    monkeypatch.setattr(machine, "_lines", lambda path: files.get(path, []))
    assert machine.available_memory() == 4_000_000 - 2_500_000 and machine.total_memory() == 4_000_000
    files["/sys/fs/cgroup/memory.max"] = ["max"]
    assert machine.available_memory() == 5_120_000 and machine.total_memory() == 9_216_000


def test_the_processor_is_asked_as_torch_asks_it():
    assert machine.computes_bfloat16() == (harmonizer.choose_precision("auto", torch.device("cpu")) == "bfloat16")


def test_neighbours_of_16_bits_take_more_and_either_more_than_decoding_alone():
    eight, sixteen = (machine.beside_bytes(1000, bits) for bits in (8, 16))
    assert 2000 * limits.DECODE_BYTES < eight < sixteen
