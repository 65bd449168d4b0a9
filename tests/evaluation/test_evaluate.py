"""Evaluation: protocols, rows, failures, and the command."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as parquet
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from hdnet.model import architectures, team
from hdnet.model.evaluation import measure, protocol, records
from hdnet.model.evaluation.evaluate import main
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.weights import weights_file
from hdnet.transforms.catalog import layouts, manifest
from hdnet.transforms.errors import DatasetError, DecodeError, HarmonizeError, StorageError
from hdnet.transforms.scores import metrics
from tests.samples import write_iharmony4


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_iharmony4(tmp_path / "data", photos=2)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weights_file.save(architectures.build("hdnet-lite", {"width": 1}), tmp_path / "tiny.safetensors", {})
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def harmonizer(network: Path) -> Harmonizer:
    return Harmonizer.load(network, device="cpu")


def run(data: Path, network: Path, *more: str) -> Result:
    output = str(data.parent / "out")
    options = ["--data", str(data), "--weights", str(network), "--output", output, "--device", "cpu"]
    return CliRunner().invoke(main, [*options, *more])


def read(path: str) -> npt.NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def first_pair(data: Path) -> manifest.Pair:
    return layouts.read_iharmony4(data, "test")[0]


def test_paper_brings_everything_to_256_with_the_real_background(data: Path) -> None:
    decoded = protocol.load(first_pair(data), "paper")
    assert decoded.composite.shape == decoded.real.shape == (256, 256, 3)
    assert set(np.unique(decoded.mask)) == {0, 255}
    assert np.array_equal(decoded.composite[~decoded.foreground], decoded.real[~decoded.foreground])


def test_the_network_alone_is_truncated_in_the_foreground_and_nowhere_else(data: Path, harmonizer: Harmonizer) -> None:
    decoded = protocol.load(first_pair(data), "network")
    result = protocol.harmonize(decoded, harmonizer, "network")
    colours = harmonizer.colours(decoded.composite, decoded.mask)
    assert np.array_equal(result[decoded.foreground], np.floor(colours)[decoded.foreground])
    assert np.array_equal(result[~decoded.foreground], decoded.real[~decoded.foreground])


def test_papers_fmse_is_its_formula(data: Path, harmonizer: Harmonizer) -> None:
    row = measure.measure(first_pair(data), harmonizer, "paper", team.Room(0))
    count = row.foreground_ratio * 65536
    for scores in (row.network, row.composite, row.reinhard):
        assert scores.fmse == pytest.approx(scores.mse * 65536 / count)


def test_paper_is_what_a_user_gets_of_small_files(data: Path, harmonizer: Harmonizer) -> None:
    decoded = protocol.load(first_pair(data), "paper")
    result = protocol.harmonize(decoded, harmonizer, "paper")
    assert np.array_equal(result, harmonizer(decoded.composite, decoded.mask))


def test_native_keeps_files_sizes_and_soft_masks(data: Path, harmonizer: Harmonizer) -> None:
    pair = first_pair(data)
    mask = read(pair.mask).copy()
    mask[4] //= 2
    Image.fromarray(mask).save(pair.mask)
    decoded = protocol.load(pair, "native")
    assert np.array_equal(decoded.mask, mask) and decoded.composite.shape == (24, 32, 3)
    assert np.array_equal(
        protocol.harmonize(decoded, harmonizer, "native"), harmonizer(decoded.composite, decoded.mask)
    )


def test_native_scores_are_those_of_the_files(data: Path, harmonizer: Harmonizer) -> None:
    pair = first_pair(data)
    row = measure.measure(pair, harmonizer, "native", team.Room(0))
    composite, real = (read(path) for path in (pair.composite, pair.reference or ""))
    assert row.composite.psnr == metrics.psnr(composite, real)
    assert (row.width, row.height, row.group, row.id) == (32, 24, "HToy", "HToy/p0_1_1")


@pytest.mark.parametrize("how", ["paper", "native", "network"])
def test_pairs_that_cannot_be_read_say_why(data: Path, how: protocol.Protocol) -> None:
    pair = first_pair(data)
    Image.new("L", (5, 5), 255).save(pair.mask)
    with pytest.raises(DatasetError, match="mask"):
        protocol.load(pair, how)
    Path(pair.mask).write_bytes(b"no image")
    with pytest.raises(DecodeError):
        protocol.load(pair, how)
    Path(pair.mask).unlink()
    with pytest.raises(StorageError, match="p0_1_1"):
        protocol.load(pair, how)


def test_a_pair_without_a_reference_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no real photo"):
        protocol.load(manifest.Pair("a", "a.jpg", "m.png"), "paper")
    for name in ("composites", "masks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    with pytest.raises(DatasetError, match="references/"):
        measure.read_pairs(tmp_path, "test")


def test_a_limit_is_spread_over_the_list(data: Path) -> None:
    pairs = measure.read_pairs(data, "test", limit=2)
    assert [pair.id for pair in pairs] == ["HToy/p0_1_1", "HToy/p1_1_1"]
    assert len(measure.read_pairs(data, "test", limit=99)) == 4


def test_the_command_writes_rows_tables_and_a_sheet(data: Path, network: Path) -> None:
    result = run(data, network)
    out = data.parent / "out"
    assert result.exit_code == 0, result.output
    assert "Table 1. By sub-dataset (paper protocol, 4 images)" in result.stdout
    assert "Table 2." in (out / "tables.md").read_text()
    assert {path.name for path in out.iterdir()} == set(measure.OUTPUTS)
    table = parquet.read_table(out / "metrics.parquet")
    assert table.schema.equals(records.METRICS_SCHEMA) and table.num_rows == 4
    assert table.schema.metadata[b"weights"] == b"tiny"
    with Image.open(out / "contact_sheet.png") as page:
        assert page.width == 842  # one column: a group each for best, median and worst


def test_table_and_rows_agree(data: Path, network: Path) -> None:
    run(data, network, "--protocol", "native")
    out = data.parent / "out"
    rows = parquet.read_table(out / "metrics.parquet").to_pylist()
    with open(out / "table1.csv", newline="") as file:
        table = {line["method"]: line for line in csv.DictReader(file)}
    for method, prefix in (("composite", "input_"), ("Reinhard", "reinhard_"), ("tiny", "")):
        assert float(table[method]["MSE"]) == pytest.approx(np.mean([row[prefix + "mse"] for row in rows]))
    assert float(table["tiny"]["worse %"]) == 100 * np.mean([row["worse"] for row in rows])
    assert all(row["worse"] == (row["psnr"] < row["input_psnr"]) and row["protocol"] == "native" for row in rows)


def test_a_broken_pair_is_a_failure_and_no_end(data: Path, network: Path) -> None:
    Path(first_pair(data).composite).write_bytes(b"broken")
    result = run(data, network)
    (failure,) = parquet.read_table(data.parent / "out/failures.parquet").to_pylist()
    assert result.exit_code == 0 and "warning: 1 of 4 pairs failed" in result.stderr
    assert (failure["id"], failure["error"]) == ("HToy/p0_1_1", "DecodeError")


def test_the_command_fails_if_every_pair_does(data: Path, network: Path) -> None:
    for path in (data / "HToy/masks").iterdir():
        path.write_bytes(b"broken")
    result = run(data, network)
    out = data.parent / "out"
    assert result.exit_code == 1 and "4 of 4 pairs failed" in result.stderr
    assert {path.name for path in out.iterdir()} == {"metrics.parquet", "failures.parquet"}
    assert parquet.read_table(out / "metrics.parquet").num_rows == 0


def test_an_older_evaluation_is_kept_unless_told(data: Path, network: Path) -> None:
    assert run(data, network, "--limit", "1").exit_code == 0
    again = run(data, network)
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    assert run(data, network, "--limit", "2", "--overwrite").exit_code == 0
    assert parquet.read_table(data.parent / "out/metrics.parquet").num_rows == 2


def test_overwriting_leaves_other_files_alone(tmp_path: Path) -> None:
    for name in ("contact_sheet.png", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(HarmonizeError, match=r"holds contact_sheet\.png"):
        measure.claim(tmp_path, overwrite=False)
    measure.claim(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made_is_an_expected_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        measure.claim(tmp_path / "file" / "out", overwrite=False)


@pytest.mark.parametrize(
    "options, code, message",
    [
        (["--device", "abacus"], 2, "abacus"),
        (["--weights", "none.safetensors"], 1, "none.safetensors"),
        (["--subset", "HOther"], 1, "HOther_test.txt"),
        (["--split", "train", "--limit", "0"], 2, "--limit"),
    ],
)
def test_bad_options_end_without_a_traceback(
    data: Path, network: Path, options: list[str], code: int, message: str
) -> None:
    result = run(data, network, *options)
    assert result.exit_code == code and message in result.stderr
    assert not (data.parent / "out").exists()


def test_a_catalog_folder_can_be_measured(data: Path, network: Path, tmp_path: Path) -> None:
    pair = first_pair(data)
    sources = {"composites": pair.composite, "masks": pair.mask, "references": pair.reference or ""}
    for name, source in sources.items():
        (tmp_path / "catalog" / name).mkdir(parents=True)
        (tmp_path / "catalog" / name / "a.png").write_bytes(Path(source).read_bytes())
    result = run(tmp_path / "catalog", network, "--protocol", "native")
    assert result.exit_code == 0 and "(native protocol, 1 image)" in result.stdout
