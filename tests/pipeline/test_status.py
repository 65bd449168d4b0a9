"""What an output holds, said in a terminal."""

import dataclasses
import json

from click.testing import CliRunner

from hdnet.pipeline import status
from hdnet.pipeline.report import run_info
from tests.run_samples import INFO, failed, row, summary


def ask(output):
    return CliRunner().invoke(status.main, [str(output)])


def write_run(output, run_id, finished, *rows):
    info = dataclasses.replace(INFO, run_id=run_id, finished=finished, output=str(output))
    (output / "runs").mkdir(parents=True, exist_ok=True)
    (output / f"runs/{run_id}.json").write_text(json.dumps(run_info.to_json(info, summary(*rows))))


def test_runs_are_listed_as_they_ended_with_what_failed_and_what_is_under_way(tmp_path):
    write_run(tmp_path, "b", "2026-11-20T07:30:10Z", row("a"), row("c"))
    write_run(tmp_path, "a", "2026-11-21T07:30:10Z", row("a", flags="clipped"), failed())
    (tmp_path / "metrics/run_id=c").mkdir(parents=True)
    (tmp_path / "metrics/run_id=c/_journal-1.parquet").touch()
    lines = ask(tmp_path).output.splitlines()
    assert [line.split()[:4] for line in lines[3:5]] == [
        ["b", "2026-11-20T07:30:10Z", "2", "0"],
        ["a", "2026-11-21T07:30:10Z", "1", "1"],
    ]
    rest = "\n".join(lines[5:])
    assert "c: under way or cut short, last written 20" in rest and "Up to date after a: 1 image." in rest
    assert "b: DecodeError: broken" in rest and "--retry-failed a" in rest


def test_the_retry_is_the_command_that_ran(tmp_path):
    write_run(tmp_path, "a", "2026-11-21T07:30:10Z", failed())
    path = tmp_path / "runs/a.json"
    content = json.loads(path.read_text())
    content["options"] |= {"command": "hdnet-synthesize --input 'my photos.csv'", "beam": "--runner=FlinkRunner"}
    path.write_text(json.dumps(content))
    retry = "hdnet-synthesize --input 'my photos.csv' --retry-failed a -- --runner=FlinkRunner"
    assert retry in ask(tmp_path).output


def test_runs_of_an_older_program_are_understood(tmp_path):
    write_run(tmp_path, "a", "2026-11-21T07:30:10Z", row("a"), failed())
    path = tmp_path / "runs/a.json"
    content = json.loads(path.read_text())
    del content["first_failed"], content["first_flagged"], content["totals"]["new"], content["totals"]["flagged"]
    path.write_text(json.dumps(content))
    assert ask(tmp_path).exit_code == 0


def test_a_folder_without_runs_is_an_error(tmp_path):
    result = ask(tmp_path)
    assert result.exit_code == 1 and "holds no run" in result.output
