"""deploy/ agrees with the command, the lock, the log lines and Google's API; its scripts do what they say."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import fsspec
import hcl2
import pytest
from click.testing import CliRunner
from google.cloud import dataflow

from deploy import check_image, flex_template, scale, template
from pipeline import closing, graph, run, run_info
from pipeline.settings import Settings
from tests import emulators
from tests.run_samples import INFO, compared, failed, summary
from tests.test_packaging import ROOT, lock, version

DEPLOY = ROOT / "deploy"
README = (ROOT / "README.md").read_text()
RUNBOOK = (DEPLOY / "README.md").read_text()
STAGES = check_image.parse((DEPLOY / "Dockerfile").read_text())
PARAMETERS = {each["name"]: each for each in json.loads((DEPLOY / "template.json").read_text())["parameters"]}
OPTIONS = [each for each in run.main.params if isinstance(each, click.Option)]


# The Flex Template


def test_the_committed_template_is_the_commands():
    committed = json.loads((DEPLOY / "template.json").read_text())
    assert committed == template.metadata(), "python -m deploy.template > deploy/template.json"


def test_google_knows_every_field_of_the_template():
    metadata = dataflow.TemplateMetadata.from_json((DEPLOY / "template.json").read_text())
    assert [each.name for each in metadata.parameters if not each.is_optional] == ["input", "output"]


def test_template_help_and_readme_name_the_same_options():
    table = README.partition("| option | meaning |\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()]
    told = {name for row in rows for name in re.findall("--[a-z][a-z-]+", row)}
    helped = set(re.findall("(?<![a-z])--[a-z][a-z-]+", _help()))
    assert told == helped - {"--help", "--version"}
    offered = {name for option in flex_template.options().values() for name in option.opts}
    hidden = {"--" + name.replace("_", "-") for name in flex_template.NOT_OFFERED}
    assert {name for option in OPTIONS for name in option.opts} == offered | hidden
    assert list(flex_template.options()) == list(PARAMETERS)


def test_the_readme_tells_every_number_that_is_a_default():
    numbers = [each.default for each in OPTIONS if isinstance(each.default, int | float) and each.default > 1]
    assert numbers and all(f"default {number:,}" in README for number in numbers)


def test_every_option_has_help():
    assert all(each.help and each.help.endswith((".", "]")) for each in OPTIONS)


def test_the_launchers_arguments_are_sorted_into_ours_and_beams():
    launched = ["--allow_scheme=gs, s3", "--input=gs://b/pairs.csv", "--job_name=hdnet-nightly", "--limit=",
                "--max_pixels=5", "--not_an_option=1", "--output=gs://b/out", "--resize_mask=true", "--resume=false",
                "--runner=DataflowRunner", "--verify=false", "--template_location=gs://b/staging/job_object"]  # fmt: skip
    assert flex_template.command_line(launched) == [
        "--allow-scheme=gs", "--allow-scheme=s3", "--input=gs://b/pairs.csv", "--max-pixels=5", "--output=gs://b/out",
        "--resize-mask", "--no-resume", "--",
        "--job_name=hdnet-nightly", "--runner=DataflowRunner", "--template_location=gs://b/staging/job_object",
    ]  # fmt: skip


def test_a_flag_is_true_or_false():
    with pytest.raises(click.BadParameter, match="'yes' is neither true nor false"):
        flex_template.command_line(["--verify=yes"])


def test_the_launchers_file_stages_the_job(tmp_path):
    bucket = f"gs://{emulators.BUCKET}"
    names = {"input": f"{bucket}/pairs.csv", "output": f"{bucket}/out", "limit": "1", "job_name": "hdnet-nightly",
             "project": "hdnet-test", "region": "r", "runner": "DataflowRunner", "sdk_container_image": "r/p/hdnet:1",
             "staging_location": f"{bucket}/staging", "temp_location": f"{bucket}/temp",
             "template_location": f"{bucket}/staging/job_object"}  # fmt: skip
    arguments = [f"--{name}={value}" for name, value in sorted(names.items())]
    with emulators.gcs() as endpoint:
        environment = {**emulators.environment("gs", endpoint), "PYTHONPATH": str(ROOT)}
        store = fsspec.filesystem("gs", endpoint_url=endpoint, token="anon", skip_instance_cache=True)
        store.pipe_file(names["input"], b"id,composite,mask\na,a.png,b.png\n")
        command = [sys.executable, DEPLOY / "flex_template.py", *arguments, "--no_auth"]
        subprocess.run(command, env={**os.environ, **environment}, check=True)
        staged = json.loads(store.cat_file(names["template_location"]))
    assert staged["name"] == "hdnet-nightly"
    assert "r/p/hdnet:1" in json.dumps(staged["environment"])


# The image


def test_the_image_holds_what_the_lock_does():
    (beam,) = (version(pin) for pin in lock() if pin.name == "apache-beam")
    python = STAGES["python"].source.removeprefix("python:").rsplit(".", 1)[0]
    assert STAGES["beam"].source == f"apache/beam_python{python}_sdk:{beam}"
    assert f"/python{python.replace('.', '')}-template-launcher-base:" in STAGES["launcher"].source


def test_every_image_it_is_made_from_is_named_exactly():
    sources = [stage.source for stage in STAGES.values() if stage.source not in STAGES]
    assert len(sources) == 3 and all(re.search(":[^:]*[0-9]{2}", source) for source in sources)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_final_stages_install_nothing(target):
    assert [stage for stage in STAGES if stage in ("cpu", "gpu")] == ["gpu", "cpu"] == list(STAGES)[-2:]
    steps = [*STAGES["runtime"].steps, *STAGES[target].steps]
    assert [rest for name, rest in steps if name == "RUN"] == ["useradd --uid 10001 --create-home hdnet"]
    assert ("COPY", f"--from={target}-environment /opt/venv /opt/venv") in steps


def test_the_image_is_what_dataflow_wants():
    steps = dict(STAGES["runtime"].steps)
    assert json.loads(steps["ENTRYPOINT"]) == ["/opt/apache/beam/boot"]
    assert {"RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1", "OMP_NUM_THREADS=1"} <= set(steps["ENV"].split())
    assert ("COPY", "deploy/flex_template.py /opt/hdnet/flex_template.py") in STAGES["runtime"].steps
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/hdnet/flex_template.py" in steps["ENV"]


def test_the_builds_context_is_what_is_copied():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [rest.split() for stage in STAGES.values() for name, rest in stage.steps if name == "COPY"]
    assert allowed == {path for words in copies if "--from" not in words[0] for path in words[:-1]}
    assert all((ROOT / path).exists() for path in allowed)


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=True)


# The build


def test_the_build_pushes_an_image_and_a_template_that_names_it(tmp_path):
    done = _build(tmp_path, TAG="v1", PROJECT="p", REGION="r", BUCKET="b")
    calls = (tmp_path / "calls").read_text().splitlines()
    image = "r-docker.pkg.dev/p/hdnet/hdnet-cpu:v1"
    assert [call.split()[:2] for call in calls] == [
        ["docker", "build"], ["docker", "run"], ["docker", "push"], ["gcloud", "dataflow"],
    ]  # fmt: skip
    assert calls[2] == f"docker push {image}"
    assert f"flex-template build gs://b/templates/hdnet-cpu-v1.json --project p --image {image}" in calls[3]
    assert f'image    = "{image}"' in done.stdout


def test_the_build_says_what_it_wants(tmp_path):
    done = _build(tmp_path, PROJECT="p", REGION="r")
    assert done.returncode != 0 and "BUCKET: for templates" in done.stderr


# The schedule and the alerts


def test_the_nightly_launch_is_one_that_google_and_the_template_know():
    (launch,) = (block["launch"] for block in _terraform("schedule.tf")["locals"] if "launch" in block)
    parameter = launch["launchParameter"]
    assert {_snake(name) for name in parameter} <= set(dataflow.LaunchFlexTemplateParameter.meta.fields)
    assert {_snake(name) for name in parameter["environment"]} <= set(
        dataflow.FlexTemplateRuntimeEnvironment.meta.fields
    )
    text = (DEPLOY / "terraform" / "schedule.tf").read_text()
    given = re.findall(r"^\s+(\w+)\s+=", text.partition("merge({")[2].partition("}, var.parameters)")[0], re.M)
    assert given == ["input", "output", "max_failure_rate"] and set(given) <= set(PARAMETERS)


def test_every_variable_is_declared_and_used():
    files = {path.name: path.read_text() for path in (DEPLOY / "terraform").glob("*.tf")}
    declared = {name.strip('"') for block in _terraform("variables.tf")["variable"] for name in block}
    assert declared == set(re.findall(r"var\.(\w+)", "".join(files.values())))


def test_alerts_look_for_lines_that_a_run_logs(tmp_path, caplog):
    job = graph.Job(
        manifest="pairs.csv", settings=Settings(output=str(tmp_path), run_id="r1"), run=INFO, rows=2, report=False,
        max_failure_rate=0.4,
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "pipeline"):
        graph.write_summary(summary(compared("a", 20, 30), failed()), job, [])
    lines = [(each.levelname, each.message) for each in caplog.records]
    assert lines == [
        ("INFO", "hdnet run complete: r1, 1 done, 1 failed, 0 skipped"),
        ("ERROR", "hdnet run has too many failures: r1, 50.0%, more than 40.0%"),
    ]
    alerts = (DEPLOY / "terraform" / "alerts.tf").read_text()
    assert all(f'"{phrase}' in alerts.replace("\\", "") for phrase in (closing.COMPLETE, closing.TOO_MANY_FAILURES))


def test_few_failures_are_no_error():
    content = run_info.to_json(INFO, summary(compared("a", 20, 30), failed()))
    assert [level for level, _ in closing.log_lines(content, 0.5)] == [logging.INFO]


def test_the_runbook_has_a_section_for_every_alert():
    alerts = (DEPLOY / "terraform" / "alerts.tf").read_text()
    titles = re.findall(r'hdnet-pipeline, \\"(.+?)\\"', alerts)
    assert len(titles) == 3 and all(f"## {title}\n" in RUNBOOK for title in titles)


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_is_formatted():
    subprocess.run(["terraform", "fmt", "-check", "-diff", DEPLOY / "terraform"], check=True)


# Scale


def test_the_page_holds_what_the_measurements_come_to():
    done = CliRunner().invoke(scale.main, ["table"], catch_exceptions=False)
    assert done.output in (DEPLOY / "scale.md").read_text()


def test_time_and_cost_add_up():
    hours = scale.vcpu_hours(1, {"read": 0.3, "network": 1.5})
    assert hours == pytest.approx(1000)
    prices = scale.Prices(vcpu_hour=0.05, gb_hour=0.005, shuffled_gb=0.01, write=5e-6, read=4e-7)
    assert scale.dollars(1, hours, 2, 1000, prices) == pytest.approx(50 + 10 + 0.01 + 5 + 1.2)


def _help() -> str:
    return click.Context(run.main, info_name="hdnet-harmonize").get_help().partition("Options:")[2]


def _terraform(name: str) -> dict:
    with (DEPLOY / "terraform" / name).open() as file:
        return hcl2.load(file)


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _build(folder: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """Run build.sh with a docker and a gcloud that write down how they are called."""
    for name in ("docker", "gcloud"):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {folder}/calls\n')
        (folder / name).chmod(0o755)
    environment = {**values, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run([DEPLOY / "build.sh"], env=environment, capture_output=True, text=True)
