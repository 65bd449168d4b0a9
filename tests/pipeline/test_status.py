"""What an output holds, said in a terminal."""

import dataclasses
import json
from datetime import UTC, datetime

import pyarrow as pa
from click.testing import CliRunner

from hdnet.pipeline import status
from hdnet.pipeline.report import run_info
from hdnet.pipeline.steps.write import to_parquet
from hdnet.transforms.catalog.rows import FAILURES_SCHEMA, METRICS_SCHEMA
from tests.run_samples import INFO, failed, row, summary

TEXTS = {field.name: "" for field in METRICS_SCHEMA if field.type == pa.string() and not field.nullable}


def ask(output):
    return CliRunner().invoke(status.main, [str(output)])


def at(day, hour=7):
    return datetime(2026, 11, day, hour, 30, tzinfo=UTC)


def write_run(output, run_id, day, *rows, **options):
    """Write a run of that day, its tables and its record."""
    info = dataclasses.replace(
        INFO, run_id=run_id, started=at(day), finished=at(day, 8), output=str(output), options=options
    )
    (output / "runs").mkdir(parents=True, exist_ok=True)
    (output / f"runs/{run_id}.json").write_text(json.dumps(run_info.to_json(info, summary(*rows))))
    images = [image(each, at(day)) for each in rows if "output" in each]
    lost = [{**each, "failed_at": at(day)} for each in rows if "output" not in each]
    write(output / f"metrics/run_id={run_id}/part-0.parquet", images, METRICS_SCHEMA)
    write(output / f"failures/run_id={run_id}/part-0.parquet", lost, FAILURES_SCHEMA)


def image(each, time):
    return {**each, **TEXTS, "id": each["id"], "schema_version": 1, "output_bytes": 1, "harmonized_at": time}


def write(path, rows, schema):
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_parquet(rows, schema))


def test_runs_are_listed_as_they_ended_with_what_failed_and_what_is_under_way(tmp_path):
    write_run(tmp_path, "b", 20, row("a"), row("c"))
    write_run(tmp_path, "a", 21, row("a", flags="clipped"), failed())
    write(tmp_path / "metrics/run_id=c/_journal-1.parquet", [image(row("d"), datetime.now(UTC))], METRICS_SCHEMA)
    lines = ask(tmp_path).output.splitlines()
    assert [line.split()[:4] for line in lines[3:5]] == [
        ["b", "2026-11-20T08:30:00Z", "2", "0"],
        ["a", "2026-11-21T08:30:00Z", "1", "1"],
    ]
    rest = "\n".join(lines[5:])
    assert "c: under way or cut short, 1 image so far, last written 20" in rest and "Done in all: 3 images" in rest
    assert "b: DecodeError: broken" in rest and "--retry-failed a" in rest


def test_a_run_of_a_few_pairs_hides_nothing(tmp_path):
    write_run(tmp_path, "one", 20, row("a"), row("b"), failed("c"), failed("d"), failed("gone"))
    write_run(tmp_path, "two", 21, failed("c", known_since="one"), failed("d", known_since="one"))
    write_run(tmp_path, "few", 22, row("c"), failed("a"), ids="/list.csv")
    lines = ask(tmp_path).output.splitlines()
    assert lines[0] == "3 runs"
    assert lines[-6:] == [
        "Done in all: 2 images, the newest of 2026-11-22 07:30 UTC.",
        "Failed when last tried: 2 pairs",
        "  a: DecodeError: broken",
        "  d (known since one): DecodeError: broken",
        "To try them again:",
        f"  hdnet-harmonize --input pairs.csv --output {tmp_path} --weights hdnet-lite",
    ]


def test_the_retry_is_the_command_that_ran(tmp_path):
    command = {"usual_command": "hdnet-synthesize --input 'my photos.csv'", "beam": "--runner=FlinkRunner"}
    write_run(tmp_path, "a", 21, failed(), **command)
    retry = "hdnet-synthesize --input 'my photos.csv' --retry-failed a -- --runner=FlinkRunner"
    assert retry in ask(tmp_path).output


def test_runs_of_an_older_program_are_understood(tmp_path):
    write_run(tmp_path, "a", 21, row("a"), failed())
    path, table = tmp_path / "runs/a.json", tmp_path / "failures/run_id=a/part-0.parquet"
    content = json.loads(path.read_text())
    del content["first_failed"], content["first_flagged"], content["totals"]["new"], content["totals"]["flagged"]
    path.write_text(json.dumps(content))
    old = pa.schema([field for field in FAILURES_SCHEMA if field.name not in ("failed_at", "known_since")])
    table.write_bytes(to_parquet([failed()], old))
    result = ask(tmp_path)
    assert result.exit_code == 0 and "Failed when last tried: 1 pair\n  b: DecodeError" in result.output


def test_a_table_of_other_types_is_an_error_that_names_it(tmp_path):
    write_run(tmp_path, "a", 21, row("a"))
    table = tmp_path / "metrics/run_id=a/part-0.parquet"
    other = pa.schema([("id", pa.string()), ("harmonized_at", pa.string())])
    table.write_bytes(to_parquet([{"id": "a", "harmonized_at": "yesterday"}], other))
    result = ask(tmp_path)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert f"{table} is not a Parquet file of a run (" in result.output


def test_a_folder_without_runs_is_an_error(tmp_path):
    result = ask(tmp_path)
    assert result.exit_code == 1 and "holds no run" in result.output
