"""Which runner a request gets, and what every runner but the local one and Dataflow's is asked for first."""

import re
import shutil
from pathlib import Path

import apache_beam
import pytest
from click.testing import CliRunner

from hdnet.pipeline import synthesize
from hdnet.pipeline.local import machine
from hdnet.pipeline.run import main
from hdnet.pipeline.runners import beam_options
from hdnet.pipeline.runners.local import LocalRunner
from hdnet.pipeline.runners.other import SERVERS, OtherRunner
from hdnet.transforms.errors import BeamOptionsError
from tests import launches
from tests.catalogs import write_catalog, write_weights
from tests.pipeline.test_pipeline import table

SERVICE = "--job_endpoint=localhost:8099"
IMAGE = "--environment_config=registry/hdnet:1"
DASK = "apache_beam.runners.dask.dask_runner"


def refusal(*arguments: str) -> str:
    with pytest.raises(BeamOptionsError) as caught:
        launches.runner(*arguments).check()
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["DirectRunner", "direct", "apache_beam.runners.direct.direct_runner.DirectRunner", "SwitchingDirectRunner",
             "BundleBasedDirectRunner", "FnApiRunner", "apache_beam.runners.portability.fn_api_runner.FnApiRunner"]
)  # fmt: skip
def test_beams_direct_runner_is_the_local_run_by_any_name(name):
    assert isinstance(launches.runner("--", f"--runner={name}"), LocalRunner)
    assert isinstance(launches.runner(), LocalRunner)


def test_a_run_by_the_direct_runner_has_its_workers(tmp_path, caplog):
    catalog, weights = write_catalog(tmp_path, good=3, broken=0), write_weights(tmp_path / "w.safetensors")
    ours = ["--input", str(catalog), "--output", str(tmp_path / "out"), "--weights", str(weights), "--workers", "2"]
    result = CliRunner().invoke(main, [*ours, "--no-report", "--", "--runner=DirectRunner"])
    assert result.exit_code == 0 and "3 pairs on 2 workers" in caplog.text, result.output
    assert len(table(tmp_path / "out/metrics")) == 3


def test_auto_is_the_same_precision_on_every_machine_but_this_one(monkeypatch):
    monkeypatch.setattr(machine, "computes_bfloat16", lambda: True)
    assert launches.runner().precision() == "bfloat16"
    for name in ("DataflowRunner", "FlinkRunner"):
        assert launches.runner("--", f"--runner={name}").precision() == "float32"


@pytest.mark.parametrize("name", ["Flink", "FlinkRunner", "SparkRunner", "PrismRunner", "PortableRunner"])
def test_a_runner_that_is_not_here_is_not_downloaded(name):
    assert isinstance(launches.runner("--", f"--runner={name}"), OtherRunner)
    said = refusal("--", f"--runner={name}")
    assert f"--runner={name} needs a job server, and none is downloaded: give --job_endpoint=HOST:PORT" in said
    assert "\n" not in said and (SERVERS.get(beam_options.short_name(name)) or "") in said


@pytest.mark.parametrize("name", ["FlinkRunner", "SparkRunner", "PrismRunner", "PortableRunner"])
@pytest.mark.parametrize("place", ["/data/pairs.csv", "file:///data/pairs.csv"])
def test_a_path_that_only_this_machine_has_is_refused(name, place):
    elsewhere = ["--", f"--runner={name}", SERVICE, "--environment_type=DOCKER", IMAGE]
    launches.runner(*elsewhere).check()
    assert f"--input {place} is on this machine, where workers of {name}" in refusal("--input", place, *elsewhere)
    launches.runner("--input", place, "--", f"--runner={name}", SERVICE, "--environment_type=LOOPBACK").check()


@pytest.mark.parametrize("name", ["ids", "skip-ids", "weights"])
def test_a_file_that_workers_read_must_not_be_here(name):
    elsewhere = ["--", "--runner=FlinkRunner", SERVICE, "--environment_type=DOCKER", IMAGE]
    assert f"--{name} /data/file is on this machine" in refusal(f"--{name}", "/data/file", *elsewhere)


def test_workers_read_the_looks_and_not_the_checkers():
    places = ["--input", "gs://b/photos.csv", "--output", "gs://b/out", "--checkers", "/data/readings"]
    looks = ["--method", "looks", "--looks", "/data/cubes"]
    elsewhere = ["--", "--runner=FlinkRunner", SERVICE, "--environment_type=DOCKER", IMAGE]
    result = CliRunner().invoke(synthesize.main, [*places, *looks, *elsewhere])
    assert result.exit_code == 2 and "--looks /data/cubes is on this machine" in " ".join(result.output.split())
    result = CliRunner().invoke(synthesize.main, [*places, *elsewhere])
    assert result.exit_code == 1 and "/data/readings: no such folder" in result.output


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--runner=Nonsense"], "--runner=Nonsense is not available: Unexpected pipeline runner"),
        (
            ["--runner=nowhere.DirectRunner"],
            "--runner=nowhere.DirectRunner is not available: No module named 'nowhere'",
        ),
        ([f"--runner={DASK}.DaskRunner"], "is not available: No module named 'dask'"),
        (["--runner=FlinkRunner", "--flink_job_server_jar=/no.jar"], "--flink_job_server_jar /no.jar: there is no"),
        (["--runner=PrismRunner", "--prism_location=https://a/prism"], "--prism_location https://a/prism: there is no"),
        (["--runner=FlinkRunner", SERVICE, "--flink_master=host:8081"], "--environment_config (the image with this"),
        (["--runner=PortableRunner", SERVICE], "--environment_config (the image with this package"),
    ],
)
def test_what_is_not_available_is_named_in_one_line(arguments, said):
    found = refusal("--", *arguments)
    assert said in found and "\n" not in found


@pytest.mark.parametrize("missing", ["java", "docker"])
def test_a_program_that_a_runner_would_start_must_be_here(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else name)
    (tmp_path / "server.jar").touch()
    flink = ["--runner=FlinkRunner", f"--flink_job_server_jar={tmp_path}/server.jar", "--environment_type=DOCKER"]
    assert f"with {missing}, which is not installed here" in refusal("--", *flink, IMAGE)
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "which", lambda name: name)
    launches.runner("--", *flink, IMAGE).check()


def test_a_machine_has_a_worker_process_for_each_core():
    for given, expected in (([], 0), (["--sdk_worker_parallelism=1"], "1")):
        runner = launches.runner("--", "--runner=FlinkRunner", SERVICE, *given)
        runner.complete()
        chosen = runner.options.get_all_options()
        assert chosen["sdk_worker_parallelism"] == expected and chosen["number_of_worker_harness_threads"] == 1


@pytest.mark.parametrize("ours", [["--workers", "2"], ["--memory", "3"], ["--accelerator", "type:t;count:1"]])
def test_what_only_other_runners_take_is_refused(ours):
    assert ours[0] in refusal(*ours, "--", "--runner=FlinkRunner")


def test_a_job_service_in_this_process_makes_what_a_local_run_makes(tmp_path):
    catalog, weights = write_catalog(tmp_path, good=3, broken=1), write_weights(tmp_path / "w.safetensors")
    ours = ["--input", str(catalog), "--weights", str(weights), "--precision", "float32", "--no-report"]
    beams = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    for name, options in (("embedded", ["--", *beams]), ("local", ["--workers", "1"])):
        result = CliRunner().invoke(main, [*ours, "--output", str(tmp_path / name), *options])
        assert result.exit_code == 0, result.output
    images, local = ({row["id"]: row["output_sha256"] for row in table(tmp_path / name / "metrics")}
                     for name in ("embedded", "local"))  # fmt: skip
    assert images == local and len(images) == 3
    assert len(table(tmp_path / "embedded/failures")) == 1


def test_an_option_that_beam_defines_elsewhere_is_known():
    options = launches.runner("--", "--render_port", "5").options
    assert options.get_all_options()["render_port"] == 5
    assert "--render_prt=5" in refusal("--", "--render_prt=5")
    said = refusal("--", f"--runner={DASK}.DaskRunner", "--dask_client_address", "host:1")
    assert said == f"--dask_client_address is an option of {DASK}, which cannot be imported: No module named 'dask'"


def test_every_module_of_beams_that_defines_options_is_looked_at():
    root = Path(apache_beam.__file__).parent
    defining = {
        path.relative_to(root.parent).with_suffix("").as_posix().replace("/", ".")
        for path in root.rglob("*.py")
        if not re.search(r"_test\.py|/(examples|testing|options)/", str(path))
        and "\n  def _add_argparse_args(" in path.read_text()
    }
    assert defining == set(beam_options.ELSEWHERE)
