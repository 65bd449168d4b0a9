"""What is asked of Dataflow, and what is refused before anything runs."""

import re

import apache_beam as beam
import pytest
from click.testing import CliRunner

from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.local import machine
from hdnet.pipeline.run import main
from hdnet.pipeline.runners import advice, cluster
from hdnet.pipeline.runners.dataflow import DataflowRunner
from hdnet.pipeline.settings import Machine, Settings
from hdnet.pipeline.steps.harmonize import HarmonizePair
from hdnet.transforms import versions
from hdnet.transforms.errors import BeamOptionsError, VersionError
from tests import launches
from tests.catalogs import write_catalog, write_weights

GB = 10**9
WHOLE = ["--runner=DataflowRunner", "--project=my-project", "--region=r", "--temp_location=gs://b/tmp",
         "--sdk_container_image=i:1"]  # fmt: skip
FOUND = Estimate(images=1, mean_pixels=1e6, typical_bytes=GB, largest_bytes=5 * GB, looked_at=1, sound=(), faults=())


@pytest.mark.parametrize("name", ["DataflowRunner", "dataflow", "apache_beam.runners.dataflow.DataflowRunner"])
def test_dataflow_goes_by_many_names(name):
    assert isinstance(launches.runner("--", f"--runner={name}"), DataflowRunner)


@pytest.mark.parametrize("missing", [each for each in WHOLE if not each.startswith("--runner")])
def test_what_is_missing_is_named(missing):
    launches.runner("--", *WHOLE).check()
    rest = [each for each in WHOLE if each != missing]
    with pytest.raises(BeamOptionsError, match=missing.partition("=")[0]):
        launches.runner("--", *rest).check()


@pytest.mark.parametrize("place", ["pairs.csv", "/data/pairs.csv", "file:///data/pairs.csv"])
def test_a_file_of_this_machine_is_refused(place):
    with pytest.raises(BeamOptionsError, match=f"--input .*{place} is on this machine"):
        launches.runner("--input", place, "--", *WHOLE).check()


@pytest.mark.parametrize(
    "ours, beams, said",
    [
        ([], ["--runner=DataflowRunner"], "--project .* --region .* --temp_location .* --sdk_container_image"),
        (["--workers", "4"], WHOLE, "--max_num_workers"),
        (["--accelerator", "type:t;count:1"], [], "--runner=DataflowRunner"),
        (["--accelerator", "type:t;count:1"], [*WHOLE, "--flexrs_goal=COST_OPTIMIZED"], "choose one"),
    ],
)
def test_the_command_refuses_before_it_writes(ours, beams, said, tmp_path, monkeypatch):
    write_weights(tmp_path / "w.safetensors")
    places = ["--input", str(write_catalog(tmp_path, good=1, broken=0)), "--output", str(tmp_path / "out")]
    # Where files are is tried elsewhere.
    monkeypatch.setattr(cluster, "is_here", lambda place: False)
    result = CliRunner().invoke(main, [*places, "--weights", str(tmp_path / "w.safetensors"), *ours, "--", *beams])
    assert result.exit_code == 2 and not (tmp_path / "out").exists()
    assert re.search(said, " ".join(result.output.split())), result.output


@pytest.mark.parametrize(
    "given, said",
    [
        (["--num_workers=many"], "argument --num_workers: invalid int value: 'many'"),
        ([*WHOLE, "--project"], "argument --project: expected one argument"),
        (["--nothing=1"], "Beam knows no option --nothing=1"),
        (["--runer=X"], "Beam knows no option --runer=X (perhaps --runner?)"),
        ([*WHOLE, "--temp_location=/tmp/a"], "--temp_location /tmp/a: gs://BUCKET/FOLDER is wanted"),
        ([*WHOLE, "--staging_location=gs://bucket"], "--staging_location gs://bucket: gs://BUCKET/FOLDER is wanted"),
    ],
)
def test_a_mistake_among_beams_options_is_named(given, said):
    with pytest.raises(BeamOptionsError, match=f"^{re.escape(said)}$"):
        launches.runner("--", *given).check()


def test_a_job_that_cannot_be_started_is_reported_without_a_traceback(tmp_path):
    weights = write_weights(tmp_path / "w.safetensors")
    places = ["--input", str(write_catalog(tmp_path, good=1, broken=0)), "--output", str(tmp_path / "out")]
    beams = ["--runner=PortableRunner", "--job_endpoint=localhost:1", "--job_server_timeout=1",
             "--environment_type=LOOPBACK"]  # fmt: skip
    result = CliRunner().invoke(main, [*places, "--weights", str(weights), "--", *beams])
    assert result.exit_code == 1 and "Error: the job failed: " in result.output, result.output


def test_a_job_is_named_after_its_run_and_has_one_thread(monkeypatch):
    monkeypatch.setattr(beam, "Pipeline", lambda options: None)  # it would ask Google for the buckets
    runner = launches.runner("--", *WHOLE, run_id="2026-11-20T07:30_Z")
    runner.complete()
    chosen = runner.options.get_all_options()
    assert chosen["job_name"] == "hdnet-2026-11-20t07-30-z" and chosen["number_of_worker_harness_threads"] == 1
    runner = launches.runner("--", *WHOLE, "--job_name=mine", "--number_of_worker_harness_threads=3")
    runner.complete()
    chosen = runner.options.get_all_options()
    assert chosen["job_name"] == "mine" and chosen["number_of_worker_harness_threads"] == 3


def test_hints_stand_alone():
    asked = launches.runner("--accelerator", "type:t", "--", *WHOLE, "--machine_type=n2-standard-4")
    assert isinstance(asked, DataflowRunner) and asked.hints(FOUND) == {"min_ram": "8GB", "accelerator": "type:t"}
    taken = launches.runner("--", *WHOLE, "--dataflow_service_options=worker_accelerator=type:t;count:1")
    assert isinstance(taken, DataflowRunner) and taken.hints(FOUND) == {}


@pytest.mark.parametrize(
    "typical, largest, name",
    [
        (GB // 2, GB, "n2-standard-4"),
        (4 * GB, 5 * GB, "n2-highmem-4"),
        (5 * GB, 60 * GB, "n2-highmem-16"),
        (GB // 2, 60 * GB, "n2-highmem-16"),
        (GB // 2, 900 * GB, "n2-highmem-32"),
    ],
)
def test_the_smallest_machine_that_holds_the_images(typical, largest, name):
    assert advice.advise(typical, largest, 1, 1).machine.name == name


def test_a_night_is_enough_and_costs_its_vcpu_hours():
    advised = advice.advise(GB, GB, megapixels=2e6, per_megapixel=0.72)
    assert advised.core_hours == pytest.approx(400) and advised.workers == 13
    assert advised.hours == pytest.approx(400 / 52) and advised.hours < advice.NIGHT
    said = str(advice.describe(advised, 0.05))
    assert "13 x n2-standard-4 of 4 processes" in said and "about 20.00 at 0.05 a vCPU hour" in said


def test_a_dry_run_names_machines_and_cost(tmp_path):
    weights = write_weights(tmp_path / "w.safetensors")
    arguments = ["--input", str(write_catalog(tmp_path, good=3, broken=0)), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*arguments, "--weights", str(weights), "--dry-run", "--vcpu-price", "0.06"])
    assert result.exit_code == 0, result.output
    assert "--machine_type=n2-" in result.output and "at 0.06 a vCPU hour" in result.output


def test_workers_with_a_machine_of_their_own_divide_it(tmp_path):
    weights = write_weights(tmp_path / "w.safetensors")
    settings = Settings(output="out", run_id="a", weights=str(weights), machine=Machine(plan=None))
    worker, plan = settings.load(), machine.whole()
    assert worker.threads == 1 and worker.admission.memory == plan.memory
    assert worker.admission.workers == plan.workers and worker.admission.lock is not None


def test_a_machine_of_ones_own_is_what_is_asked_for():
    assert machine.usable(machine.total_for(3 * GB)) == pytest.approx(3 * GB)
    assert 0 < machine.usable(machine.total_memory()) < machine.total_memory()


def test_a_worker_of_other_versions_fails_and_names_both():
    launcher = {**versions.versions("apache-beam"), "apache-beam": "2.1.0"}
    host = Machine(launcher=tuple(launcher.items()))
    with pytest.raises(VersionError, match=r"apache-beam 2\.1\.0 there and 2\..* here; run both from one image"):
        HarmonizePair(Settings(output="out", run_id="a", machine=host)).setup()


def test_the_last_number_of_python_does_not_matter():
    major, minor, _ = versions.versions()["python"].split(".", 2)
    versions.check_same({"python": f"{major}.{minor}.99"})
    with pytest.raises(VersionError, match=f"python {major}.99.0 there"):
        versions.check_same({"python": f"{major}.99.0"})
