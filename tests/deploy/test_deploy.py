"""The template, the image and the scripts of deploy/ agree with the command, the lock and Google's API."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import fsspec
import pytest
from apache_beam.internal.gcp import auth
from google.cloud import dataflow

from deploy import flex_template, template
from hdnet.pipeline import run
from tests import emulators
from tests.test_packaging import ROOT, lock, version

DEPLOY = ROOT / "deploy"
CATALOGS = (ROOT / "docs" / "catalogs.md").read_text()
RUNBOOK = (DEPLOY / "README.md").read_text()
PARAMETERS = {each["name"]: each for each in json.loads((DEPLOY / "template.json").read_text())["parameters"]}
Finished = subprocess.CompletedProcess[str]
OPTIONS = [each for each in run.main.params if isinstance(each, click.Option)]


class Stage(NamedTuple):
    """A stage of a Dockerfile: what it starts from, and its instructions as (name, rest of the line)."""

    source: str
    steps: list[tuple[str, str]]


def _stages(text: str) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    for line in re.sub("^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            source, _, stage = rest.partition(" AS ")
            stages[stage] = Stage(source, [])
        elif name:
            next(reversed(stages.values())).steps.append((name, rest))
    return stages


STAGES = _stages((DEPLOY / "Dockerfile").read_text())


# The Flex Template


def test_the_committed_template_is_the_commands():
    committed = json.loads((DEPLOY / "template.json").read_text())
    assert committed == template.metadata(), "python -m deploy.template > deploy/template.json"


def test_google_knows_every_field_of_the_template():
    metadata = dataflow.TemplateMetadata.from_json((DEPLOY / "template.json").read_text())
    assert [each.name for each in metadata.parameters if not each.is_optional] == ["input", "output"]


def test_template_help_and_docs_name_the_same_options():
    table = CATALOGS.partition("| option | meaning |\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()]
    told = {name for row in rows for name in re.findall("--[a-z][a-z-]+", row)}
    helped = set(re.findall("(?<![a-z])--[a-z][a-z-]+", _help()))
    assert told == helped - {"--help", "--version"}
    offered = {name for option in flex_template.options().values() for name in option.opts}
    hidden = {"--" + name.replace("_", "-") for name in flex_template.NOT_OFFERED}
    assert {name for option in OPTIONS for name in option.opts} == offered | hidden
    assert list(flex_template.options()) == list(PARAMETERS)


def test_the_docs_give_every_number_that_is_a_default():
    numbers = [each.default for each in OPTIONS if isinstance(each.default, int | float) and each.default > 1]
    assert numbers and all(f"default {number:,}" in CATALOGS for number in numbers)


def test_every_option_has_help():
    assert all(each.help and each.help.endswith((".", "]")) for each in OPTIONS)


def test_the_launchers_arguments_are_sorted_into_ours_and_beams():
    launched = ["--allow_scheme=gs, s3", "--input=gs://b/pairs.csv", "--job_name=hdnet-nightly", "--limit=",
                "--max_pixels=5", "--not_an_option=1", "--output=gs://b/out", "--resize_mask=true", "--resume=false",
                "--runner=DataflowRunner", "--template_location=gs://b/staging/job_object",
                "--verify=false"]  # fmt: skip
    assert flex_template.command_line(launched) == [
        "--allow-scheme=gs", "--allow-scheme=s3", "--input=gs://b/pairs.csv", "--max-pixels=5", "--output=gs://b/out",
        "--resize-mask", "--no-resume", "--",
        "--job_name=hdnet-nightly", "--runner=DataflowRunner", "--template_location=gs://b/staging/job_object",
    ]  # fmt: skip


def test_a_flag_is_true_or_false():
    with pytest.raises(click.BadParameter, match="'yes' is neither true nor false"):
        flex_template.command_line(["--verify=yes"])


def test_the_launchers_file_stages_the_job(monkeypatch):
    bucket = f"gs://{emulators.BUCKET}"
    names = {"input": f"{bucket}/pairs.csv", "output": f"{bucket}/out", "limit": "1", "job_name": "hdnet-nightly",
             "project": "hdnet-test", "region": "r", "runner": "DataflowRunner", "sdk_container_image": "r/p/hdnet:1",
             "staging_location": f"{bucket}/staging", "temp_location": f"{bucket}/temp",
             "template_location": f"{bucket}/staging/job_object"}  # fmt: skip
    arguments = [f"--{name}={value}" for name, value in sorted(names.items())]
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)  # else Beam seeks credentials for 15 seconds
    monkeypatch.setattr(sys, "argv", ["flex_template.py", *arguments, "--no_auth"])
    with emulators.gcs() as endpoint:
        for name, value in emulators.environment("gs", endpoint).items():
            monkeypatch.setenv(name, value)
        store = fsspec.filesystem("gs", endpoint_url=endpoint, token="anon", skip_instance_cache=True)
        store.pipe_file(names["input"], b"id,composite,mask\na,a.png,b.png\n")
        with pytest.raises(SystemExit, match="^0$"):
            runpy.run_path(str(DEPLOY / "flex_template.py"), run_name="__main__")
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


def test_the_build_says_what_is_missing(tmp_path):
    done = _build(tmp_path, PROJECT="p", REGION="r")
    assert done.returncode != 0 and "BUCKET: for templates" in done.stderr


def test_a_job_by_hand_is_the_schedules_with_other_parameters(tmp_path):
    job = {"job": {"name": "hdnet-retry", "id": "j1", "projectId": "p", "location": "r"}}
    said = _outputs("gs://b/t.json") | {"curl": f"""echo curl "$@" >> {tmp_path}/calls; echo '{json.dumps(job)}'"""}
    done = _script(tmp_path, "launch.sh", said, "hdnet-retry", "retry_failed=r1", "input=gs://b/c=d")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "started hdnet-retry, j1", "https://console.cloud.google.com/dataflow/jobs/r/j1?project=p",
    ]  # fmt: skip
    call = (tmp_path / "calls").read_text()
    sent = json.loads(call.partition("--data ")[2].partition(" --header")[0])
    assert sent["launchParameter"]["jobName"] == "hdnet-retry"
    assert sent["launchParameter"]["parameters"] == {
        "input": "gs://b/c=d", "output": "gs://b/o", "retry_failed": "r1",
    }  # fmt: skip
    assert "Authorization: Bearer token https://launch" in call


def test_a_job_by_hand_needs_values(tmp_path):
    done = _script(tmp_path, "launch.sh", {}, "hdnet-retry", "retry_failed")
    assert done.returncode == 2 and "'retry_failed' is not PARAMETER=VALUE" in done.stderr


@pytest.mark.parametrize(
    "said, words",
    [
        ({"terraform": "echo 'no state' >&2; exit 1"}, "run terraform apply in deploy/terraform"),
        ({"terraform": f"echo '{json.dumps({'launchParameter': {'containerSpecGcsPath': None}})}'"}, "no template yet"),
        ({"gcloud": "exit 1"}, "run gcloud auth login"),
        ({"curl": "echo ALREADY_EXISTS; exit 22"}, "Dataflow did not start the job: ALREADY_EXISTS"),
    ],
)
def test_a_job_by_hand_that_cannot_be_started_ends_in_words(tmp_path, said, words):
    done = _script(tmp_path, "launch.sh", _outputs("gs://b/t.json") | said, "hdnet-first")
    assert done.returncode == 1 and done.stdout == ""
    assert words in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def _outputs(template: str) -> dict[str, str]:
    """Return what terraform and gcloud say after the first deployment."""
    parameters = {"input": "gs://b/a", "output": "gs://b/o"}
    launch = {
        "launchParameter": {
            "jobName": "hdnet-nightly",
            "containerSpecGcsPath": template,
            "parameters": parameters,
        }
    }
    answers = f"case $2 in -json) echo '{json.dumps(launch)}' ;; *) echo https://launch ;; esac"
    return {"terraform": answers, "gcloud": "echo token"}


def _help() -> str:
    return click.Context(run.main, info_name="hdnet-harmonize").get_help().partition("Options:")[2]


def _build(folder: Path, **values: str) -> Finished:
    return _script(folder, "build.sh", {}, **values)


def _script(folder: Path, name: str, said: dict[str, str], *words: str, **values: str) -> Finished:
    """Run a script of deploy/ with commands that record how they are called, some of which answer."""
    for command in {"curl", "docker", "gcloud", "terraform"}:
        answer = said.get(command, f'echo {command} "$@" >> {folder}/calls')
        (folder / command).write_text(f"#!/bin/sh\n{answer}\n")
        (folder / command).chmod(0o755)
    environment = {**values, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run([DEPLOY / name, *words], env=environment, capture_output=True, text=True)
