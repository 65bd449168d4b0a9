"""The engine against the plain network, which training uses."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional

from hdnet.model.architectures.hdnet import engine, strips
from hdnet.model.architectures.hdnet.config import HDNetConfig
from hdnet.model.architectures.hdnet.engine import Engine
from hdnet.model.architectures.hdnet.network import HDNet
from hdnet.model.architectures.hdnet.passes import merge, moments
from hdnet.model.weights import weights_file

MASKS = ["square", "corner", "blobs", "one pixel", "full", "empty"]
VARIANTS = [
    {},
    {"k": 3},
    {"local_dynamics": "released"},
    {"local_dynamics": "none"},
    {"global_dynamics": "none"},
    {"global_dynamics": "spatial-attention"},
    {"region_map": "learned"},
]


pytestmark = pytest.mark.usefixtures("passes")


@pytest.fixture(autouse=True)
def many_strips(monkeypatch):
    monkeypatch.setattr(strips, "STRIP", 1 << 16)
    monkeypatch.setattr(engine, "LARGE", 0)


def example(height, width, kind="square"):
    smooth = functional.interpolate(torch.rand(1, 3, 4, 5), (height, width), mode="bicubic") * 2 - 1
    composite = (smooth + 0.05 * torch.randn(1, 3, height, width)).clamp(-1, 1)
    mask = torch.zeros(1, 1, height, width)
    if kind == "square":
        mask[..., height // 4 : height * 3 // 4, width // 3 : -width // 4] = 1
    elif kind == "corner":
        mask[..., -height // 3 :, -width // 4 :] = 1
    elif kind == "blobs":
        mask = (functional.interpolate(torch.rand(1, 1, 7, 7), (height, width), mode="bicubic") > 0.5).float()
    elif kind == "one pixel":
        mask[..., height - 3, 2] = 1
    return composite, mask + (kind == "full")


@pytest.fixture(scope="module")
def lite():
    return weights_file.load_network("hdnet-lite")


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("size", [(8, 8), (8, 120), (136, 8), (168, 200)], ids=str)
def test_it_equals_the_trained_network(lite, size, kind):
    torch.manual_seed(0)
    composite, mask = example(size[0], size[1], kind)
    with torch.inference_mode():
        torch.testing.assert_close(
            Engine(lite, torch.float32)(composite, mask), lite(composite, mask), rtol=0, atol=2e-4
        )


@pytest.mark.parametrize("kind", ["blobs", "full", "one pixel"])
@pytest.mark.parametrize("fields", VARIANTS, ids=str)
def test_it_equals_every_variant(fields, kind):
    torch.manual_seed(1)
    network = HDNet(HDNetConfig(width=4, **fields))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    composite, mask = example(104, 72, kind)
    with torch.inference_mode():
        found, expected = Engine(network, torch.float32)(composite, mask), network(composite, mask)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
        assert (Engine(network, torch.bfloat16)(composite, mask) - expected).abs().mean() < 0.02


def test_strips_do_not_show(lite, monkeypatch):
    composite, mask = example(96, 64)
    with torch.inference_mode():
        several = Engine(lite, torch.float32)(composite, mask)
        monkeypatch.setattr(strips, "STRIP", 1 << 30)
        torch.testing.assert_close(Engine(lite, torch.float32)(composite, mask), several, rtol=0, atol=2e-5)


def test_neither_threads_nor_callers_show(lite):
    before, pair, run = torch.get_num_threads(), example(96, 64), Engine(lite, torch.float32)
    try:
        torch.set_num_threads(1)
        alone = run(*pair)
        torch.set_num_threads(3)
        with ThreadPoolExecutor(4) as callers:
            assert all(torch.equal(found, alone) for found in callers.map(lambda _: run(*pair), range(8)))
    finally:
        torch.set_num_threads(before)


def test_bfloat16_keeps_float32_statistics(lite):
    composite, mask = example(64, 64)
    bright = (composite * 0.01 + 0.9).clamp(-1, 1)  # large means beside small spreads
    with torch.inference_mode():
        error = Engine(lite, torch.bfloat16)(bright, mask) - lite(bright, mask)
    assert error.abs().mean() < 0.01


@pytest.mark.parametrize(("count", "channels", "step"), [(5000, 3, 777), (1 << 17, 8, 1 << 17), (8192, 256, 4096)])
def test_moments_survive_a_large_mean(count, channels, step):
    torch.manual_seed(0)
    values = torch.randn(count, channels, dtype=torch.float64) + 1000
    counts, mean, spread = merge(torch.cat([moments(rows.float()) for rows in values.split(step)]))
    assert counts.tolist() == [count] * channels
    torch.testing.assert_close(mean, values.mean(0), rtol=2e-6, atol=0)
    torch.testing.assert_close(spread / count, values.var(0, correction=0), rtol=1e-3, atol=0)


CHILD = """
import sys, numpy as np, torch
from hdnet.model import architectures, harmonizer
arch, precision, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
runner = harmonizer.Harmonizer(architectures.build(arch).eval(), torch.device("cpu"), precision)
composite = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
mask = np.zeros((size, size), np.uint8)
mask[:, : size // 2] = 255
runner(composite, mask)
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(runner.estimate(size, size), int(peak[0]) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("arch, precision, size", [("hdnet-lite", "float32", 1024), ("hdnet", "bfloat16", 512)])
def test_the_estimate_is_near_the_peak(arch, precision, size):
    command = [sys.executable, "-c", CHILD, arch, precision, str(size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}  # as the estimate was fitted: one thread takes less
    estimate, peak = map(int, subprocess.check_output(command, env=environment, text=True).split())
    assert estimate == pytest.approx(peak, rel=0.15)


def test_small_images_may_come_from_inside_and_outside_inference_mode(monkeypatch):
    monkeypatch.setattr(engine, "LARGE", 1 << 62)
    run = Engine(HDNet(HDNetConfig(width=2)).eval(), torch.float32)
    with torch.inference_mode():
        inside = run(*example(16, 24))
    assert inside.shape == run(*example(16, 24)).shape
