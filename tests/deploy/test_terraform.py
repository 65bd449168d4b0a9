"""The schedule sends what Google and the template accept, alerts look for what a run logs, and all names resolve."""

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import hcl2
import pytest
from google.cloud import dataflow

from hdnet.pipeline import graph
from hdnet.pipeline.report import closing, run_info
from hdnet.pipeline.settings import Settings
from tests.run_samples import INFO, compared, failed, summary
from tests.test_packaging import ROOT

DEPLOY = ROOT / "deploy"
FOLDER = DEPLOY / "terraform"
TEXT = "".join(path.read_text() for path in sorted(FOLDER.glob("*.tf")))


def test_google_and_the_template_know_all_of_the_nightly_launch():
    (launch,) = (block["launch"] for block in _terraform("schedule.tf")["locals"] if "launch" in block)
    parameter = launch["launchParameter"]
    for given, message in (
        (parameter, dataflow.LaunchFlexTemplateParameter),
        (parameter["environment"], dataflow.FlexTemplateRuntimeEnvironment),
    ):
        assert {re.sub("([A-Z])", r"_\1", name).lower() for name in given} <= set(message.meta.fields)
    text = (FOLDER / "schedule.tf").read_text()
    names = re.findall(r"^\s+(\w+)\s+=", text.partition("merge({")[2].partition("}, var.parameters)")[0], re.M)
    template = json.loads((DEPLOY / "template.json").read_text())
    assert names == ["input", "output", "max_failure_rate"]
    assert set(names) <= {each["name"] for each in template["parameters"]}


def test_a_night_is_stopped_after_somebody_has_been_notified():
    hours = {name.strip('"'): each["default"] for block in _terraform("variables.tf")["variable"]
             for name, each in block.items() if "hours" in name}  # fmt: skip
    assert 0 < hours["max_hours"] < hours["stop_hours"]
    assert "max_workflow_runtime_walltime_seconds=${floor(var.stop_hours * 3600)}" in TEXT


def test_every_variable_is_declared_and_used():
    declared = {name.strip('"') for block in _terraform("variables.tf")["variable"] for name in block}
    assert declared == set(re.findall(r"var\.(\w+)", TEXT))


def test_every_reference_resolves():
    declared = {(kind, name) for kind, name, _ in _resources()}
    assert set(re.findall(r"\b(google_\w+)\.(\w+)", TEXT)) <= declared
    values = {name for block in _terraform("schedule.tf")["locals"] for name in block}
    assert set(re.findall(r"local\.(\w+)", TEXT)) <= values


def test_the_example_gives_what_has_no_default():
    wanted = {name.strip('"') for block in _terraform("variables.tf")["variable"] for name, each in block.items()
              if "default" not in each}  # fmt: skip
    assert set(re.findall(r"^(\w+) +=", (FOLDER / "terraform.tfvars.example").read_text(), re.MULTILINE)) == wanted


def test_alerts_look_for_lines_that_a_run_logs(tmp_path, caplog):
    job = graph.Job(
        manifest="pairs.csv", settings=Settings(output=str(tmp_path), run_id="r1"), run=INFO, rows=2, pairs=2,
        report=False, max_failure_rate=0.4,
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "hdnet.pipeline"):
        graph.finish(summary(compared("a", 20, 30), failed()), job, [])
    lines = [(each.levelname, each.message) for each in caplog.records]
    assert lines == [
        ("INFO", "hdnet run complete: r1, 1 done, 1 failed, 1 new, 0 skipped"),
        ("ERROR", "hdnet run has too many failures: r1, 50.0% of the pairs failed, more than 40.0%"),
        ("ERROR", "hdnet run has new failures: r1, 1 of 1"),
    ]
    alerts = (FOLDER / "alerts.tf").read_text()
    phrases = (closing.COMPLETE, closing.TOO_MANY_FAILURES, closing.NEW_FAILURES)
    assert all(f'"{phrase}' in alerts.replace("\\", "") for phrase in phrases)
    # PromQL writes / and any other character that is not a letter as _.
    (metric,) = (each["name"] for kind, _, each in _resources() if kind == "google_logging_metric")
    assert re.fullmatch(r'"?[a-z_]+"?', metric)


def test_few_failures_that_are_known_are_not_an_error():
    content = run_info.to_json(INFO, summary(compared("a", 20, 30), failed(known_since="r0")))
    assert [level for level, _ in closing.log_lines(content, 0.5)] == [logging.INFO]


def test_nothing_but_failures_is_an_error_whatever_the_rate():
    lines = closing.log_lines(run_info.to_json(INFO, summary(failed())), 1.0)
    assert lines[1] == (logging.ERROR, f"{closing.TOO_MANY_FAILURES}: r1, every pair failed")


def test_the_runbook_has_a_section_for_every_alert():
    alerts = (FOLDER / "alerts.tf").read_text()
    titles = re.findall(r'hdnet-pipeline, \\"(.+?)\\"', alerts)
    assert len(titles) == 3 and all(f"## {title}\n" in (DEPLOY / "README.md").read_text() for title in titles)


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_is_formatted():
    subprocess.run(["terraform", "fmt", "-check", "-diff", FOLDER], check=True)


def _terraform(name: str) -> dict[str, Any]:
    with (FOLDER / name).open() as file:
        return hcl2.load(file)


def _resources() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield type, name and content of every resource."""
    for path in sorted(FOLDER.glob("*.tf")):
        for block in _terraform(path.name).get("resource", []):
            for kind, named in block.items():
                yield from ((kind.strip('"'), name.strip('"'), content) for name, content in named.items())
