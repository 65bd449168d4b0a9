"""Labels from the manifest to the image: S2CRNet with and without them, in every command that runs a network."""

import csv
import json
import logging

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hdnet.model import architectures
from hdnet.model.evaluation import evaluate
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.weights import weights_file
from hdnet.pipeline import run
from hdnet.transforms.errors import LabelError
from tests.catalogs import write_catalog
from tests.pipeline.test_pipeline import table
from tests.samples import write_iharmony4


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of two networks, `semantic` and `plain`."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("semantic", "plain"):
        torch.manual_seed(0)
        network = architectures.build("s2crnet", {"semantic": name == "semantic"})
        weights_file.save(network, folder / f"{name}.safetensors", {})
    return {name: folder / f"{name}.safetensors" for name in ("semantic", "plain")}


def write_labels(catalog, *labels):
    """Give a catalog's pairs labels in the order of their ids."""
    rows = sorted(csv.DictReader(catalog.read_text().splitlines()), key=lambda row: row["id"])
    with catalog.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "label"] if "label" not in rows[0] else list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": label} for row, label in zip(rows, labels, strict=True))
    return catalog


def invoke(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def harmonize(catalog, run_id, weights, *options):
    places = ("--input", catalog, "--output", catalog.parent / "out", "--run-id", run_id, "--weights", weights)
    return invoke(run.main, *places, "--workers", 1, "--precision", "float32", *options)


def done(catalog, run_id):
    """Return the labels of a run's images by id, as its options record them."""
    rows = table(catalog.parent / f"out/metrics/run_id={run_id}")
    return {row["id"]: json.loads(row["options"])["label"] for row in rows}


def test_each_pair_has_its_label_and_one_that_changes_is_done_again(weights, tmp_path):
    catalog = write_labels(write_catalog(tmp_path, good=3, broken=0), "person", "2", "")
    result = harmonize(catalog, "one", weights["semantic"], "--label", "others")
    assert result.exit_code == 0, result.output
    assert done(catalog, "one") == {"good/0000": 0, "good/0001": 2, "good/0002": 4}
    write_labels(catalog, "person", "animal", "")
    assert harmonize(catalog, "two", weights["semantic"], "--label", "others").exit_code == 0
    assert done(catalog, "two") == {"good/0001": 1}
    assert harmonize(catalog, "three", weights["semantic"], "--label", "food").exit_code == 0
    assert done(catalog, "three") == {"good/0002": 2}


def test_wrong_and_missing_labels_stop_a_run_before_it_begins(weights, tmp_path):
    catalog = write_labels(write_catalog(tmp_path, good=2, broken=0), "persn", "")
    result = harmonize(catalog, "one", weights["semantic"], "--dry-run")
    assert result.exit_code == 1
    assert "line 2: label 'persn' is not a class" in result.output and "line 3: no label" in result.output
    assert not (tmp_path / "out").exists()


def test_a_dry_run_times_a_network_with_labels(weights, tmp_path):
    catalog = write_catalog(tmp_path, good=2, broken=0)
    result = harmonize(catalog, "one", weights["semantic"], "--dry-run", "--label", "person")
    assert result.exit_code == 0 and "would do" in result.output, result.output


def test_weights_without_labels_say_that_they_change_nothing(weights, tmp_path, caplog):
    catalog = write_labels(write_catalog(tmp_path, good=1, broken=0), "whatever")
    with caplog.at_level(logging.WARNING):
        assert harmonize(catalog, "one", weights["plain"]).exit_code == 0
    assert "takes no labels" in caplog.text
    (row,) = table(tmp_path / "out/metrics")
    assert row["label"] == "whatever" and "label" not in json.loads(row["options"])


@pytest.mark.parametrize("protocol", ["paper", "native"])
def test_an_evaluation_takes_one_label_for_all(weights, tmp_path, protocol):
    options = ["--data", write_iharmony4(tmp_path / "data", photos=2), "--weights", weights["semantic"]]
    options += ["--protocol", protocol, "--output", tmp_path / "out"]
    assert invoke(evaluate.main, *options, "--label", "food").exit_code == 0
    result = invoke(evaluate.main, *options, "--overwrite")
    assert result.exit_code == 1 and "LabelError" in result.output


def test_a_harmonizer_takes_labels(weights):
    composite, mask = np.full((20, 30, 3), 90, np.uint8), np.full((20, 30), 255, np.uint8)
    semantic = Harmonizer.load(weights["semantic"], device="cpu")
    assert semantic.classes[2] == "food"
    food = semantic(composite, mask, "food")
    assert np.array_equal(food, semantic(composite, mask, 2))
    assert not np.array_equal(food, semantic(composite, mask, "person"))
    assert np.array_equal(food, Harmonizer.load(weights["semantic"], device="cpu", label="food")(composite, mask))
    with pytest.raises(LabelError, match="no label"):
        semantic(composite, mask)
    with pytest.warns(UserWarning, match="'food' changes nothing"):
        Harmonizer.load(weights["plain"], device="cpu")(composite, mask, "food")
