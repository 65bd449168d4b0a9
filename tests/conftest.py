"""Fixtures for several files."""

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

# Read as OpenMP starts, by this process and all that it starts. The tests' images are tiny: threads that share their
# work mostly wait for each other, and on a machine with other work to do such waits take most of the time.
os.environ["OMP_NUM_THREADS"] = "1"

import fsspec
import pytest
import torch

from hdnet.transforms import compiled
from hdnet.transforms.storage import clients
from tests import emulators

# Read by gcsfs as it is imported, whichever test comes first.
os.environ.update({name: value for name, value in emulators.environment("gs", "").items() if value == "false"})

STORES = {"gs": emulators.gcs, "s3": emulators.s3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Take back what a run set for the thread it was in."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the checkout."""
    from tests import portable  # imports Beam, which most rooms do without

    return portable.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python(wheel, tmp_path_factory) -> Path:
    """The Python of an environment that has the wheel and not the checkout."""
    from tests import portable

    return portable.make_environment(tmp_path_factory.mktemp("environment"), wheel)


@pytest.fixture(scope="session")
def kernels_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of kernels/, built with the compiler at hand."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no C compiler: {compiler}")
    source, target = tmp_path_factory.mktemp("kernels") / "source", tmp_path_factory.mktemp("built")
    shutil.copytree(Path(__file__).parents[1] / "kernels", source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (library,) = target.glob("hdnet_kernels.*")
    return library


@pytest.fixture(params=["torch", "library"])
def passes(request, monkeypatch) -> None:
    """What works between HDNet's convolutions: operations of torch, and the compiled library."""
    from hdnet.model.architectures.hdnet import kernels
    from hdnet.model.architectures.hdnet.passes import Passes

    found = Passes()
    if request.param == "library":
        found = kernels.CompiledPasses(compiled.load(request.getfixturevalue("kernels_library")))
    monkeypatch.setattr(kernels, "installed", lambda: found)


@pytest.fixture(params=["torch", "library"])
def similarity(request, monkeypatch) -> None:
    """What computes SSIM: operations of torch, and the compiled library."""
    from hdnet.transforms.scores import kernels

    found = None
    if request.param == "library":
        found = kernels.CompiledSums(compiled.load(request.getfixturevalue("kernels_library")))
    monkeypatch.setattr(kernels, "installed", lambda: found)


@pytest.fixture(scope="session", params=STORES)
def store(request) -> Iterator[tuple[str, str]]:
    """Scheme and address of an emulated store."""
    with STORES[request.param]() as endpoint:
        yield request.param, endpoint


@pytest.fixture
def proxy(store, monkeypatch) -> Iterator[emulators.Proxy]:
    """A proxy that this process's clients ask for the store's bucket; its plan is without faults until it is set."""
    scheme, endpoint = store
    with emulators.Proxy(endpoint, lambda number: None) as found:
        for name, value in emulators.environment(scheme, found.address).items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class(scheme).clear_instance_cache()
        yield found
        fsspec.get_filesystem_class(scheme).clear_instance_cache()


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Wait for seconds where users wait for minutes."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)

    monkeypatch.setattr(clients, "IDLE", 2.0)
    monkeypatch.setattr(clients, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=sleep))
