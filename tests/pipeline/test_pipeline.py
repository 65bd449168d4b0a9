"""The main job, end to end, on the local runner."""

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image
from pyarrow import dataset, parquet

from hdnet.pipeline import launch
from hdnet.pipeline.run import main
from hdnet.transforms.catalog import rows
from hdnet.transforms.catalog.rows import METRICS_SCHEMA, SCHEMA_VERSION, MetricsRow
from tests.catalogs import BROKEN, write_catalog, write_weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(write_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


def harmonize(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def table(folder):
    return dataset.dataset(folder, partitioning="hive").to_table().to_pylist() if folder.exists() else []


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny):
    """One run over 175 good pairs and 25 broken ones: (root, result)."""
    root = tmp_path_factory.mktemp("run")
    catalog = write_catalog(root, good=175, broken=25)
    options = ["--weights", tiny, "--workers", 1, "--max-pixels", 50_000, "--run-id", "one"]
    return root, harmonize("--input", catalog, "--output", root / "out", *options)


def test_every_id_is_in_exactly_one_table(run):
    root, result = run
    assert result.exit_code == 0, result.output
    rows, failures = table(root / "out/metrics"), table(root / "out/failures")
    assert len(rows) == 175 and len(failures) == 25
    assert len({row["id"] for row in [*rows, *failures]}) == 200


def test_every_failure_has_its_class(run):
    failures = table(run[0] / "out/failures")
    kinds = {row["id"].removeprefix("bad/").rsplit("-", 1)[0]: row["error"] for row in failures}
    assert kinds == dict(BROKEN)
    assert all(row["message"] and row["source"] and row["stage"] == "read" for row in failures)


def test_images_keep_their_format_and_their_background(run):
    root, _ = run
    for row in table(root / "out/metrics"):
        with Image.open(row["output"]) as result, Image.open(row["composite"]) as composite:
            assert result.format == composite.format and result.size == composite.size
            if result.format in ("PNG", "TIFF"):
                assert np.array_equal(np.asarray(result)[:4], np.asarray(composite)[:4])


def test_metrics_are_complete(run):
    rows = table(run[0] / "out/metrics")
    assert all((row["psnr"] is None) == (row["reference"] is None) for row in rows)
    assert all(row["run_id"] == "one" and row["shop"].startswith("s") and row["delta_e"] >= 0 for row in rows)
    assert {row["arch"] for row in rows} == {"hdnet-lite"} and all(len(row["input_sha256"]) == 64 for row in rows)


def test_columns_and_their_types_are_stable(run):
    (path,) = (run[0] / "out/metrics/run_id=one").glob("*.parquet")
    assert parquet.read_schema(path).equals(rows.schema(MetricsRow, ("shop",)))


def test_the_schema_of_version_1():
    types = {str(field.type): [f.name for f in METRICS_SCHEMA if f.type == field.type] for field in METRICS_SCHEMA}
    scores = ["mse", "fmse", "psnr", "fpsnr", "ssim", "fssim"]
    assert SCHEMA_VERSION == 1 and types == {
        "string": ["id", "composite", "mask", "reference", "output", "arch", "precision", "weights_sha256",
                   "input_sha256", "mask_sha256", "reference_sha256", "output_sha256", "composite_version",
                   "mask_version", "reference_version", "options", "flags"],
        "int32": ["schema_version", "width", "height"],
        "double": ["foreground_ratio", "border_ratio", *scores, *(f"input_{name}" for name in scores), "delta_e",
                   "gap_before", "gap_after", "clipped_ratio", "newly_clipped_ratio",
                   *(f"seconds_{stage}" for stage in ("read", "network", "write", "score"))],
        "int64": ["output_bytes"],
        "timestamp[us, tz=UTC]": ["harmonized_at"],
    }  # fmt: skip


def test_a_run_of_the_same_name_replaces_the_one_before(tmp_path, tiny):
    catalog = write_catalog(tmp_path / "in", good=2, broken=1)
    arguments = ["--input", catalog, "--output", tmp_path / "metrics/out", "--weights", tiny, "--workers", 1]
    assert harmonize(*arguments, "--run-id", "a", "--no-report").exit_code == 0
    for path in (tmp_path / "in/composites").glob("1000*"):
        with Image.open(tmp_path / "in/masks" / path.with_suffix(".png").name) as mask:
            Image.new("RGB", mask.size).save(path)
    assert harmonize(*arguments, "--run-id", "a", "--no-report").exit_code == 0
    assert len(table(tmp_path / "metrics/out/metrics")) == 3 and not table(tmp_path / "metrics/out/failures")


def test_unwanted_scores_are_null_and_make_no_image_again(tmp_path, tiny):
    catalog = write_catalog(tmp_path / "in", good=2, broken=0)
    arguments = ["--input", catalog, "--output", tmp_path / "out", "--weights", tiny, "--workers", 1]
    assert harmonize(*arguments, "--run-id", "a", "--scores", "none").exit_code == 0
    assert {row["psnr"] for row in table(tmp_path / "out/metrics")} == {None}
    assert {row["delta_e"] for row in table(tmp_path / "out/metrics")} == {None}
    assert all(0 < row["foreground_ratio"] < 1 for row in table(tmp_path / "out/metrics"))
    assert harmonize(*arguments, "--run-id", "b").exit_code == 0
    assert json.loads((tmp_path / "out/runs/b.json").read_text())["totals"]["skipped"] == 2


def test_inputs_are_never_overwritten(tmp_path, tiny):
    catalog = write_catalog(tmp_path, good=1, broken=0)
    (tmp_path / "composites").rename(tmp_path / "images")
    catalog.write_text(catalog.read_text().replace("composites/", "images/"))
    before = next((tmp_path / "images").iterdir()).read_bytes()
    result = harmonize("--input", catalog, "--output", tmp_path, "--weights", tiny, "--workers", 1, "--no-report")
    assert result.exit_code == 3 and table(tmp_path / "failures")[0]["error"] == "StorageError"
    assert next((tmp_path / "images").iterdir()).read_bytes() == before


@pytest.mark.parametrize("spelled", ["file://{}", "{}/link"])
def test_an_input_is_known_by_any_name(tmp_path, tiny, spelled):
    own = tmp_path / "own"
    catalog = write_catalog(own, good=1, broken=0)
    (own / "composites").rename(own / "images")
    catalog.write_text(catalog.read_text().replace("composites/", "images/"))
    (own / "link").symlink_to(own)
    harmonize("--input", catalog, "--output", spelled.format(own), "--weights", tiny, "--workers", 1, "--no-report")
    assert table(own / "failures")[0]["error"] == "StorageError"


def test_an_output_that_cannot_be_written_shows_at_once(run, tmp_path, tiny):
    (tmp_path / "file").touch()
    result = harmonize("--input", run[0] / "pairs.csv", "--output", tmp_path / "file", "--weights", tiny)
    assert result.exit_code == 1 and "cannot be written" in result.output


def test_the_summary_and_the_report_are_written(run):
    root, result = run
    summary = json.loads((root / "out/runs/one.json").read_text())
    assert summary["totals"]["done"] == 175 and summary["totals"]["failed"] == 25
    page = (root / "out/runs/one.html").read_text()
    assert "data:image/webp;base64" in page and "bad/empty-1" in page
    assert "images" in result.output and str(root / "out/images") in result.output


def test_nothing_but_the_output_is_left(run):
    root, _ = run
    assert not [path for path in (root / "out").rglob("*") if "tmp" in path.name]
    assert Counter(path.suffix for path in (root / "out/images").rglob("*.*")).total() == 175


def test_two_workers_give_the_same_images(run, tmp_path, tiny):
    root, _ = run
    options = ["--weights", tiny, "--workers", 2, "--max-pixels", 50_000]
    result = harmonize("--input", root / "pairs.csv", "--output", tmp_path, *options)
    assert result.exit_code == 0, result.output
    images = sorted(path.relative_to(root / "out/images") for path in (root / "out/images").rglob("*.*"))
    assert all((tmp_path / "images" / p).read_bytes() == (root / "out/images" / p).read_bytes() for p in images)
    assert len(images) == 175


def test_too_many_failures_have_an_exit_code(tmp_path, tiny):
    argv = ["--input", write_catalog(tmp_path / "a", good=7, broken=1), "--weights", tiny, "--workers=1", "--no-report"]
    result = harmonize(*argv, "--output", tmp_path, "--max-failure-rate", "0.1", "--max-pixels", 50_000)
    assert result.exit_code == 3 and "12.5%" in result.output
    assert not list(tmp_path.glob("runs/*.html"))
    result = harmonize(*argv, "--output", tmp_path / "none", "--max-pixels", 1)
    assert result.exit_code == 3 and "every pair failed" in result.output


def test_a_limit_takes_the_first_pairs(run, tmp_path, tiny):
    arguments = ["--input", run[0] / "pairs.csv", "--output", tmp_path, "--weights", tiny, "--workers", 1]
    assert harmonize(*arguments, "--limit", 3, "--format", "png").exit_code == 0
    assert len(table(tmp_path / "metrics")) + len(table(tmp_path / "failures")) == 3
    assert all(path.suffix == ".png" for path in (tmp_path / "images").rglob("*.*"))


def test_a_dry_run_does_nothing(run, tmp_path, tiny):
    result = harmonize("--input", run[0] / "pairs.csv", "--output", tmp_path / "no", "--weights", tiny, "--dry-run")
    assert result.exit_code == 0 and "200 pairs" in result.output and "would take   about" in result.output
    assert not list(tmp_path.iterdir())
    (tmp_path / "gone.csv").write_text("id,composite,mask\na,no.png,no.png\n")
    result = harmonize("--input", tmp_path / "gone.csv", "--output", tmp_path, "--weights", tiny, "--dry-run")
    assert result.exit_code == 1 and "first 1 pair none can be used" in result.output and "no.png" in result.output
    (tmp_path / "f").touch()
    result = harmonize("--input", run[0] / "pairs.csv", "--output", tmp_path / "f/out", "--weights", tiny, "--dry-run")
    assert result.exit_code == 1 and "a file stands where a folder must be" in result.output


@pytest.mark.parametrize("workers", [1, 2])
def test_a_manifest_that_changes_meanwhile_is_one_clear_line_and_no_image_is_lost(
    tmp_path, tiny, monkeypatch, capfd, workers
):
    catalog, prepare = write_catalog(tmp_path, good=3, broken=0), launch._prepare
    whole = catalog.read_text()

    def prepare_and_shorten(job):
        prepare(job)
        catalog.write_text(whole[: whole.rindex("\n", 0, -1)])

    monkeypatch.setattr(launch, "_prepare", prepare_and_shorten)
    arguments = ["--input", catalog, "--output", tmp_path / "out", "--weights", tiny, "--workers", workers]
    result = harmonize(*arguments, "--run-id", "one")
    assert result.exit_code == 1 and "Traceback" not in result.output + capfd.readouterr().err
    assert result.output.splitlines()[-1] == (
        f"Error: {catalog} changed while it was read: it held 3 pairs when the run began, and 2 of them were "
        "processed; run again, and what is done is kept"
    )
    monkeypatch.undo()
    catalog.write_text(whole)
    assert harmonize(*arguments, "--run-id", "two", "--workers", 1).exit_code == 0
    assert json.loads((tmp_path / "out/runs/two.json").read_text())["totals"]["skipped"] == 2
    assert not (tmp_path / "out/runs/one.json").exists()


def test_a_bug_stops_the_run(run, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr("hdnet.pipeline.steps.pair.sha256", lambda data: 1 / 0)
    result = harmonize("--input", run[0] / "pairs.csv", "--output", tmp_path, "--weights", tiny, "--workers", 1)
    assert result.exit_code == 1 and isinstance(result.exception, Exception)
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--weights", "nothing"], 1, "nothing: no such file"),
        (["--input", "nowhere.csv"], 1, "nowhere.csv"),
        (["--run-id", "../x"], 2, "'../x'"),
        (["--run-id", "index"], 2, "all runs"),
        (["--", "--direct_num_workers=3"], 2, "--workers"),
        (["--worker", "2"], 2, "--workers"),
        (["--", "--num_wrokers=3"], 2, "--num_wrokers=3"),
        (["--format", "gif"], 2, "gif"),
        (["--output", "https://nowhere/out"], 2, "'https://nowhere/out': a path, gs:// or s3:// is wanted"),
        (["--input", "az://nowhere/a.csv"], 2, "'az://nowhere/a.csv': a path, gs:// or s3:// is wanted"),
        (["--output", "/"], 2, "'/': a path"),
    ],
)
def test_the_command_says_what_is_wrong(run, tmp_path, tiny, arguments, code, said):
    base = ["--input", run[0] / "pairs.csv", "--output", tmp_path, "--weights", tiny, "--workers", 1]
    result = harmonize(*base, *arguments)
    assert result.exit_code == code and said in result.output


def rows_of(folder):
    rows = table(folder / "metrics")
    return {row["id"]: row["output_sha256"] for row in rows}


def test_every_kind_of_manifest_gives_the_same_images(tmp_path, tiny):
    catalog = write_catalog(tmp_path / "in", good=4, broken=0)
    rows = list(csv.DictReader(catalog.read_text().splitlines()))
    (tmp_path / "in/pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "in/pairs.parquet")
    found = []
    for name in ("pairs.csv", "pairs.jsonl", "pairs.parquet"):
        out = tmp_path / name
        arguments = ["--input", tmp_path / "in" / name, "--output", out, "--weights", tiny, "--workers", 1]
        result = harmonize(*arguments, "--no-report")
        assert result.exit_code == 0, result.output
        found.append(rows_of(out))
    assert found[0] == found[1] == found[2] and len(found[0]) == 4


def test_a_folder_is_a_catalog(tmp_path, tiny):
    write_catalog(tmp_path / "in", good=3, broken=0)
    shutil.rmtree(tmp_path / "in/references")  # only every other pair has one
    result = harmonize("--input", tmp_path / "in", "--output", tmp_path / "out", "--weights", tiny, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert rows_of(tmp_path / "out").keys() == {"0", "1", "2"}


def test_a_smaller_mask_of_the_same_picture_is_resized_where_allowed(tmp_path, tiny):
    catalog = write_catalog(tmp_path, good=1, broken=0)
    path = next((tmp_path / "masks").iterdir())
    with Image.open(path) as mask:
        mask.resize((mask.width * 2, mask.height * 2)).save(path)
    arguments = ["--input", catalog, "--weights", tiny, "--workers", 1, "--no-report"]
    assert harmonize(*arguments, "--output", tmp_path / "no").exit_code == 3
    assert table(tmp_path / "no/failures")[0]["error"] == "ShapeError"
    assert harmonize(*arguments, "--output", tmp_path / "yes", "--resize-mask").exit_code == 0
    assert len(table(tmp_path / "yes/metrics")) == 1


def test_what_never_fits_the_memory_fails_and_the_rest_goes_on(tmp_path, tiny, caplog):
    catalog = write_catalog(tmp_path, good=2, broken=0)
    arguments = ["--input", catalog, "--output", tmp_path / "out", "--weights", tiny, "--workers", 1, "--no-report"]
    giant = next((tmp_path / "composites").iterdir())
    Image.new("RGB", (4000, 4000)).save(giant)
    result = harmonize(*arguments, "--memory", "0.6")
    assert result.exit_code == 0, result.output
    (failure,) = table(tmp_path / "out/failures")
    assert failure["error"] == "SizeError" and "more than the 0.6 GB" in failure["message"]
    assert "--memory 0.6: the largest of the first 2 images needs about" in caplog.text
    assert len(table(tmp_path / "out/metrics")) == 1


def test_the_documented_options_are_the_commands():
    lines = [
        line.split("|")[1] for line in Path("docs/catalogs.md").read_text().splitlines() if line.startswith("| `--")
    ]
    named = re.findall(r"--[a-z-]+", " ".join(lines))
    options = [name for option in main.params for name in (*option.opts, *option.secondary_opts)]
    assert sorted(named) == sorted(name for name in options if name not in ("--version", "beam_args"))
