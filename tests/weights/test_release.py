"""Weights with a model card."""

import json

import pytest
from click.testing import CliRunner

from hdnet.model import architectures
from hdnet.model.evaluation import measure
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.weights import release, weights_file
from tests.samples import write_iharmony4


@pytest.fixture
def evaluated(tmp_path):
    source = tmp_path / "best.safetensors"
    recipe = {"lr": 0.1, "init": "/home/me/a.safetensors"}
    weights_file.save(architectures.build("hdnet-lite", {"width": 1}), source, {"recipe": recipe})
    pairs = measure.read_pairs(write_iharmony4(tmp_path / "data", photos=2), "test")
    measure.evaluate(pairs, Harmonizer.load(source), tmp_path, "paper", "best")
    (tmp_path / "card.json").write_text(json.dumps({"limits": "a test"}))
    return source


def run(source, tmp_path):
    out, card, metrics = (str(tmp_path / name) for name in ("out.safetensors", "card.json", "metrics.parquet"))
    return CliRunner().invoke(release.main, [str(source), out, "--card", card, "--metrics", metrics])


def test_the_card_says_what_the_weights_are_and_how_good(evaluated, tmp_path):
    assert run(evaluated, tmp_path).exit_code == 0
    header = weights_file.read_header(tmp_path / "out.safetensors")
    assert header["limits"] == "a test" and header["recipe"] == {"lr": 0.1, "init": "a.safetensors"}
    assert header["metrics"]["test"]["images"] == 4 and header["metrics"]["test"]["psnr"] > 0
    assert header["sha256"] == weights_file.read_header(evaluated)["sha256"]


def test_an_evaluation_of_other_weights_is_refused(evaluated, tmp_path):
    weights_file.save(architectures.build("hdnet-lite", {"width": 1}), evaluated, {})
    result = run(evaluated, tmp_path)
    assert result.exit_code == 1 and "no evaluation of" in result.output
