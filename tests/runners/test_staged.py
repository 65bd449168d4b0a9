"""The job that Dataflow would get: staged by the real runner, looked at, executed by workers that have the wheel."""

import datetime
import io
import json
import os
import signal
import subprocess
import threading
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from apache_beam.internal.gcp import auth
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from click.testing import CliRunner
from PIL import Image
from pyarrow import parquet

from hdnet.pipeline.run import main
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest
from tests import emulators, portable
from tests.catalogs import write_catalog, write_weights
from tests.portable import States

IMAGE = "europe-west1-docker.pkg.dev/my-project/hdnet/hdnet:1"
DATAFLOW = ["--runner=DataflowRunner", "--project=my-project", "--region=europe-west1", "--no_auth"]

WORKER = """
import sys
import hdnet.pipeline.graph
from hdnet.model import harmonizer
from hdnet.model.weights import weights_header
harmonizer.Harmonizer.load()
slow = [name for name in ("matplotlib", "torch._dynamo") if name in sys.modules]
print(hdnet.__file__, *weights_header.shipped(), slow)
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket's URI, and the environment that leads programs to it."""
    with emulators.gcs() as endpoint, pytest.MonkeyPatch.context() as patch:
        environment = emulators.environment("gs", endpoint)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(auth._Credentials, "_credentials_init", True)  # else it looks for some for 20 seconds
        fsspec.get_filesystem_class("gs").clear_instance_cache()
        yield f"gs://{emulators.BUCKET}/{uuid.uuid4().hex}", environment
        fsspec.get_filesystem_class("gs").clear_instance_cache()


@pytest.fixture(scope="module")
def catalog(bucket, tmp_path_factory) -> str:
    """A catalog in the bucket."""
    folder = tmp_path_factory.mktemp("catalog")
    write_catalog(folder, good=9, broken=8)
    write_weights(folder / "w.safetensors")
    upload(folder, f"{bucket[0]}/catalog")
    return f"{bucket[0]}/catalog"


@pytest.fixture(scope="module")
def staged(catalog) -> beam_runner_api_pb2.Pipeline:
    """The catalog's job."""
    return stage(catalog, "one")


def upload(folder: Path, uri: str) -> None:
    for name in storage.list_files(str(folder)):
        storage.write(f"{uri}/{name}", storage.read(f"{folder}/{name}"))


def harmonize(catalog: str, output: str, *arguments: str, code: int = 0) -> str:
    whole = ["--input", f"{catalog}/pairs.csv", "--output", output, "--weights", f"{catalog}/w.safetensors"]
    result = CliRunner().invoke(main, [*whole, "--max-pixels", "50000", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def stage(catalog: str, run_id: str, *arguments: str) -> beam_runner_api_pb2.Pipeline:
    """Have the command stage a job, and return it as it lies in the bucket."""
    tmp = f"{catalog}/tmp-{uuid.uuid4().hex}"
    beam = [
        *DATAFLOW,
        f"--temp_location={tmp}",
        f"--template_location={tmp}/template",
        f"--sdk_container_image={IMAGE}",
    ]
    harmonize(catalog, f"{catalog}/out", "--run-id", run_id, *arguments, "--", *beam)
    (name,) = (name for name in storage.list_files(tmp) if name.endswith("/pipeline.pb"))
    pipeline = beam_runner_api_pb2.Pipeline()
    pipeline.ParseFromString(storage.read(f"{tmp}/{name}"))
    return pipeline


def images(output: str) -> dict[str, bytes]:
    return {name: storage.read(f"{output}/images/{name}") for name in storage.list_files(f"{output}/images")}


def rows(output: str, table: str, run_id: str) -> list[dict[str, Any]]:
    folder = f"{output}/{table}/run_id={run_id}"
    found = [parquet.read_table(io.BytesIO(storage.read(f"{folder}/{name}"))) for name in storage.list_files(folder)]
    return sorted((row for each in found for row in each.to_pylist()), key=lambda row: str(row["id"]))


def ids(output: str, table: str, run_id: str) -> list[str]:
    return [row["id"] for row in rows(output, table, run_id)]


def test_what_the_runner_refuses_is_bad_usage_and_nothing_is_written(bucket, catalog):
    beam = [*DATAFLOW, "--project=My Project", f"--temp_location={bucket[0]}/tmp", f"--sdk_container_image={IMAGE}"]
    assert "Invalid Project ID (My Project)" in harmonize(catalog, f"{bucket[0]}/refused", "--", *beam, code=2)
    assert not storage.is_folder(f"{bucket[0]}/refused")


def test_one_stage_does_all_work_on_pixels(staged):
    with_pixels = [
        names for names in map(portable.names, portable.stages(staged)) if "HarmonizePair" in " ".join(names)
    ]
    (names,) = with_pixels
    assert [name for name in names if not name.endswith(("/Read", "/Write"))] == [
        "HarmonizePairs/HarmonizePair/ParDo(HarmonizePair)"
    ]


def test_the_step_on_pixels_says_what_it_needs_and_all_run_in_the_image(staged):
    environments = staged.components.environments
    (pixels,) = (each for each in staged.components.transforms.values() if "ParDo(HarmonizePair)" in each.unique_name)
    hints = environments[pixels.environment_id].resource_hints
    assert int(hints[common_urns.resource_hints.MIN_RAM_BYTES.urn]) >= 10**9
    for environment in environments.values():
        assert beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image == IMAGE


def test_an_accelerator_is_asked_for_where_pixels_are_and_nowhere_else(catalog):
    wanted = "type:nvidia-l4;count:1;install-nvidia-driver"
    found = stage(catalog, "gpu", "--accelerator", wanted).components
    asking = {
        each.unique_name
        for each in found.transforms.values()
        if found.environments[each.environment_id].resource_hints[common_urns.resource_hints.ACCELERATOR.urn]
    }
    assert asking and all(name.startswith("HarmonizePairs") for name in asking)


def test_nothing_of_ours_is_pickled_by_value(staged):
    texts = set(portable.pickled_strings(staged))
    assert {"hdnet.pipeline.steps.harmonize", "hdnet.pipeline.graph", "HarmonizePair"} <= texts
    assert "__main__" not in texts
    code = {text for text in texts if text.endswith(".py")}
    assert code and all("/apache_beam/" in path for path in code), code


def test_the_wheel_is_small_and_found_by_a_bare_interpreter(wheel, python):
    assert wheel.stat().st_size < 16_000_000
    assert any(name.endswith("hdnet-lite.safetensors") for name in zipfile.ZipFile(wheel).namelist())
    said = subprocess.check_output([python, "-I", "-c", WORKER], cwd="/", text=True)
    # torch's compiler would take a second and more of every worker's start.
    shipped = ["ensemble", "hdnet-lite", "s2crnet"]
    assert said.startswith(str(python.parents[1])) and said.split()[1:] == [*shipped, "[]"]


def test_a_staged_job_makes_what_a_local_run_makes(bucket, catalog, staged, python, tmp_path):
    # On a cluster, whose machines may differ, "auto" is float32.
    harmonize(catalog, f"{catalog}/local", "--workers", "1", "--run-id", "one", "--precision", "float32")
    with (
        portable.pool(python, tmp_path / "pool", bucket[1]) as (_, address),
        portable.job_service(python, tmp_path / "service", bucket[1]) as (_, service),
        portable.submit(service, portable.on_workers(staged, address)) as job,
    ):
        assert job.wait() == States.DONE
    out, local = f"{catalog}/out", f"{catalog}/local"
    assert images(out) == images(local) and len(images(out)) == 9
    for table, count in (("metrics", 9), ("failures", 8)):
        assert ids(out, table, "one") == ids(local, table, "one") and len(ids(out, table, "one")) == count
    pair = manifest.Pair("good/0001", f"{catalog}/composites/1.png", f"{catalog}/masks/1.png")
    assert max(crossing_bytes(staged, Task(pair), [*rows(out, "metrics", "one"), *rows(out, "failures", "one")])) < 2000
    totals, expected = (json.loads(storage.read(f"{place}/runs/one.json"))["totals"] for place in (out, local))
    assert totals["done"] == 9 and totals["pixels"] == expected["pixels"]


def crossing_bytes(staged: beam_runner_api_pb2.Pipeline, task: Task, made: list[dict[str, Any]]) -> Iterator[int]:
    """Yield the sizes of what goes into the step on pixels and comes out of it, as its own coders write them."""
    (pixels,) = (each for each in staged.components.transforms.values() if "ParDo(HarmonizePair)" in each.unique_name)
    coders = PipelineContext(staged.components).coders
    for elements, collections in (([task], pixels.inputs), (made, pixels.outputs)):
        for collection in collections.values():
            coder = coders.get_by_id(staged.components.pcollections[collection].coder_id)
            yield from (len(coder.encode(element)) for element in elements)


def test_a_host_that_is_lost_ends_the_job_and_a_second_start_completes_it(bucket, python, tmp_path):
    catalog = f"{bucket[0]}/large"
    out = f"{catalog}/out"
    upload(write_large(tmp_path / "large", count=40), catalog)
    with (
        portable.pool(python, tmp_path / "one", bucket[1]) as (lost, first),
        portable.pool(python, tmp_path / "two", bucket[1]) as (_, second),
        portable.Spread([first, second]) as pools,
        portable.job_service(python, tmp_path / "service", bucket[1], workers=2) as (service_pid, service),
        ThreadPoolExecutor(1) as threads,
    ):
        ended = threading.Event()
        killed = threads.submit(kill_when_written, f"{out}/metrics/run_id=lost", lost, service_pid, ended)
        assert "the job failed" in run_on(service, pools.address, catalog, code=1)
        ended.set()
        killed.result()
    assert 0 < len(images(out)) < 40
    began = datetime.datetime.now(datetime.UTC)
    with (
        portable.pool(python, tmp_path / "three", bucket[1]) as (_, third),
        portable.job_service(python, tmp_path / "service-2", bucket[1]) as (_, service),
    ):
        run_on(service, third, catalog)
    found = rows(out, "metrics", "lost")
    assert [row["id"] for row in found] == [f"{i:03}" for i in range(40)]
    assert any(row["harmonized_at"] < began for row in found) and any(row["harmonized_at"] > began for row in found)
    assert len(images(out)) == 40 and len(set(images(out).values())) == 1


def run_on(service: str, pool: str, catalog: str, code: int = 0) -> str:
    """Run the command on a job service and a pool of workers."""
    beam = ["--runner=PortableRunner", f"--job_endpoint={service}", "--environment_type=EXTERNAL",
            f"--environment_config={pool}"]  # fmt: skip
    ours = ["--run-id", "lost", "--max-pixels", "500000"]
    return harmonize(catalog, f"{catalog}/out", *ours, "--", *beam, code=code)


def kill_when_written(folder: str, host: int, service: int, ended: threading.Event) -> None:
    """Kill a host when a table is begun. Dataflow would give its half to another; the local service fails, or waits."""
    portable.until(lambda: storage.is_folder(folder))
    os.killpg(host, signal.SIGKILL)
    if not ended.wait(60):
        os.killpg(service, signal.SIGKILL)


def write_large(folder: Path, count: int) -> Path:
    """Write a catalog whose images take long enough for a run to be caught in the middle."""
    folder.mkdir()
    write_weights(folder / "w.safetensors")
    Image.effect_noise((640, 640), 60).convert("RGB").save(folder / "composite.png")
    mask = Image.new("L", (640, 640))
    mask.paste(255, (100, 100, 500, 500))
    mask.save(folder / "mask.png")
    rows = [f"{i:03},composite.png,mask.png" for i in range(count)]
    (folder / "pairs.csv").write_text("\n".join(["id,composite,mask", *rows]))
    return folder
