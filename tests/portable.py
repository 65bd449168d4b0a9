"""A cluster on one machine: workers that have the wheel and no checkout, Beam's job service, a staged job."""

import base64
import binascii
import bz2
import contextlib
import os
import pickletools
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import grpc
from apache_beam.portability import common_urns
from apache_beam.portability.api import (
    beam_fn_api_pb2_grpc,
    beam_job_api_pb2,
    beam_job_api_pb2_grpc,
    beam_runner_api_pb2,
    endpoints_pb2,
)
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.translations import Stage
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance
from google.protobuf import struct_pb2

ROOT = Path(__file__).parent.parent
FOLDERS = ("hdnet", "model", "pipeline", "transforms")
States = beam_job_api_pb2.JobState
SERVICE = """
import sys
from apache_beam.runners.portability import local_job_service_main
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

class Runner(FnApiRunner):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self._num_workers = int(sys.argv[1])

local_job_service_main.local_job_service.fn_runner.FnApiRunner = Runner
local_job_service_main.run(["--port_file", "port"])
"""
"""Beam's job service as it is, but for the number of workers, which no option of its own sets."""
POOL = """
import os
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

address, server = BeamFnExternalWorkerPoolServicer.start(use_process=True)
with open("new", "w") as file:
    file.write(address.rpartition(":")[2])
os.rename("new", "port")
server.wait_for_termination()
"""
"""Beam's pool of workers on a port that the system chooses; its own command wants one named beforehand."""
ENDED = (States.DONE, States.FAILED, States.CANCELLED)


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy: what an earlier build left in the checkout must not get into it."""
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path) -> Path:
    """Make a virtual environment with the wheel, and return its Python.

    What the wheel needs is found in this process's own environment, whose links to the checkout do not count there:
    Python reads .pth files of a site's own folder only.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    shutil.unpack_archive(wheel, site, "zip")
    (site / "rest.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return folder / "bin/python"


@contextlib.contextmanager
def server(
    code: str, python: Path, folder: Path, environment: Mapping[str, str], *arguments: str
) -> Iterator[tuple[int, str]]:
    """Run a program that writes its port to the file "port", in a group of its own, for as long as the block lasts.

    Gives its process id, which is its group's, and its address. What it says is printed at the end: pytest shows it
    where a test fails.
    """
    folder.mkdir(parents=True)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # a pool starts workers as "python"
    whole = {**os.environ, **environment, "PATH": path, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    whole.pop("PYTHONPATH", None)
    command = [str(python), "-P", "-c", code, *arguments]
    with (folder / "log").open("ab") as log:
        job = subprocess.Popen(command, cwd=folder, env=whole, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: (folder / "port").exists() or job.poll() is not None)
        assert job.poll() is None, f"ended with {job.returncode} before it had a port"
        yield job.pid, f"localhost:{(folder / 'port').read_text()}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        print(f"{folder.name} said:", (folder / "log").read_text(errors="replace"), sep="\n")


def pool(
    python: Path, folder: Path, environment: Mapping[str, str]
) -> contextlib.AbstractContextManager[tuple[int, str]]:
    """Run a pool of workers, as `server` does."""
    return server(POOL, python, folder, environment)


def job_service(
    python: Path, folder: Path, environment: Mapping[str, str], workers: int = 1
) -> contextlib.AbstractContextManager[tuple[int, str]]:
    """Run Beam's own job service, as `server` does, with some workers for each of a job's environments."""
    return server(SERVICE, python, folder, environment, str(workers))


class Spread(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """A pool that has each worker started by the next of some pools in turn, as a cluster would.

    Args:
        pools: Their addresses.
    """

    def __init__(self, pools: Sequence[str]) -> None:
        self.channels = [grpc.insecure_channel(address) for address in pools]
        self.stubs = [beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel) for channel in self.channels]
        self.started = 0
        self.server = grpc.server(shared_unbounded_instance())
        self.address = f"localhost:{self.server.add_insecure_port('localhost:0')}"

    def __enter__(self) -> "Spread":
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self, self.server)
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(None).wait()
        for channel in self.channels:
            channel.close()

    def StartWorker(self, request, context):
        """Pass the request on."""
        self.started += 1
        return self.stubs[self.started % len(self.stubs)].StartWorker(request)


def on_workers(staged: beam_runner_api_pb2.Pipeline, address: str) -> beam_runner_api_pb2.Pipeline:
    """Return a staged pipeline with the image's place taken by a pool of workers; nothing else is changed."""
    pipeline = beam_runner_api_pb2.Pipeline()
    pipeline.CopyFrom(staged)
    payload = beam_runner_api_pb2.ExternalPayload(endpoint=endpoints_pb2.ApiServiceDescriptor(url=address))
    for environment in pipeline.components.environments.values():
        environment.urn = common_urns.environments.EXTERNAL.urn
        environment.payload = payload.SerializeToString()
        del environment.dependencies[:]  # a list of the launcher's packages, for the log
    return pipeline


@contextlib.contextmanager
def submit(service: str, pipeline: beam_runner_api_pb2.Pipeline) -> Iterator["Submitted"]:
    """Start a pipeline on a job service."""
    with grpc.insecure_channel(service) as channel:
        stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
        request = beam_job_api_pb2.PrepareJobRequest(
            job_name="job", pipeline=pipeline, pipeline_options=struct_pb2.Struct()
        )
        prepared = stub.Prepare(request)
        run = stub.Run(beam_job_api_pb2.RunJobRequest(preparation_id=prepared.preparation_id))
        yield Submitted(stub, run.job_id)


class Submitted:
    """A job on a job service."""

    def __init__(self, stub: beam_job_api_pb2_grpc.JobServiceStub, job_id: str) -> None:
        self.stub, self.job_id = stub, job_id

    def has_ended(self) -> bool:
        """Say whether the job is over."""
        return self.state() in ENDED

    def state(self) -> int:
        """Return the state, one of `States`."""
        answer = self.stub.GetState(beam_job_api_pb2.GetJobStateRequest(job_id=self.job_id))
        return int(answer.state)

    def wait(self) -> int:
        """Wait for the job's end and return its last state."""
        until(self.has_ended)
        return self.state()


def stages(staged: beam_runner_api_pb2.Pipeline) -> list[Stage]:
    """Fuse a pipeline's steps as Beam does before they run."""
    return FnApiRunner().create_stages(staged)[1]


def names(stage: Stage) -> list[str]:
    """Return the names of a stage's steps."""
    return [str(transform.unique_name) for transform in stage.transforms]


def pickled_strings(staged: beam_runner_api_pb2.Pipeline) -> Iterator[str]:
    """Yield every text in what a pipeline has pickled: names of modules and functions, and files of code by value."""
    payloads = [transform.spec.payload for transform in staged.components.transforms.values()]
    payloads += [coder.spec.payload for coder in staged.components.coders.values()]
    for payload in payloads:
        for data in _pickles(payload):
            yield from (value for _, value, _ in pickletools.genops(data) if isinstance(value, str))


def _pickles(payload: bytes) -> Iterator[bytes]:
    for text in re.findall(rb"QlpoOT[A-Za-z0-9+/=]+", payload):  # bz2 in base64, as Beam writes them
        with contextlib.suppress(binascii.Error):
            yield bz2.decompress(base64.b64decode(text))


def until(true: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for something to become true; so long that only what never comes fails, on however slow a machine."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.05)
