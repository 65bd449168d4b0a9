"""An architecture that lives in tests only does all that HDNet does, with no edit under model/ or pipeline/."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hdnet.model import architectures
from hdnet.model.evaluation import evaluate
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.training import train
from hdnet.model.training.trainer import Trainer
from hdnet.model.weights import convert, weights_file
from hdnet.pipeline import run
from tests import toy
from tests.catalogs import write_catalog
from tests.pipeline.test_pipeline import table
from tests.samples import write_iharmony4

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(architectures.ARCHITECTURES, "toy", toy.RECORD)


@pytest.fixture
def weights(tmp_path):
    """Weights that turn red to the middle of its range and keep the rest."""
    network = architectures.build("toy")
    network.gain.data = torch.tensor([0.0, 1.0, 1.0])
    weights_file.save(network, tmp_path / "toy.safetensors", {})
    return tmp_path / "toy.safetensors"


def invoke(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_it_trains_and_resumes_to_the_same_bits(tmp_path, monkeypatch):
    data = write_iharmony4(tmp_path / "data")
    options = ["--data", data, "--arch", "toy", "--size", 15, "--epochs", 3, "--batch", 2, "--workers", 0]
    options += ["--ema", 0.9, "--lr", 0.1, "--checkpoint-steps", 1, "--val-fraction", 0.34, "--output"]
    assert invoke(train.main, *options, tmp_path / "whole").exit_code == 0
    descend = Trainer.descend

    def breaking(self, *arguments):
        if self.step == 5:
            raise KeyboardInterrupt
        descend(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "descend", breaking)
        assert invoke(train.main, *options, tmp_path / "broken").exit_code == 130
    assert invoke(train.main, *options, tmp_path / "broken", "--resume").exit_code == 0
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "broken")]
    assert states[0].keys() >= {"optimizers", "second"} and states[0]["step"] == 12
    for name in ("network", "second"):
        assert all(torch.equal(value, states[1][name][key]) for key, value in states[0][name].items())
    trained = weights_file.load_network(tmp_path / "broken/best.safetensors")
    assert trained.architecture is toy.RECORD and not torch.equal(trained.state_dict()["gain"], torch.full((3,), 0.5))


def test_it_is_evaluated(weights, tmp_path):
    data = write_iharmony4(tmp_path / "data", photos=2)
    options = ["--data", data, "--weights", weights, "--protocol", "native", "--output", tmp_path / "out"]
    result = invoke(evaluate.main, *options)
    assert result.exit_code == 0, result.output
    assert "toy" in (tmp_path / "out/tables.md").read_text()


@pytest.mark.parametrize("arch", [[], ["--arch", "toy"]])
def test_it_is_converted(arch, tmp_path):
    released = {"amplifier.gain": torch.tensor([[1.0, 2.0, 3.0]]), "amplifier.colour": torch.zeros(1)}
    torch.save({"net": {f"module.{name}": value for name, value in released.items()}}, tmp_path / "released.pth")
    result = invoke(convert.main, tmp_path / "released.pth", tmp_path / "out.safetensors", *arch)
    assert result.exit_code == 0 and "amplifier.colour" in result.output, result.output
    assert weights_file.load_network(tmp_path / "out.safetensors").state_dict()["gain"].tolist() == [1.0, 2.0, 3.0]


def test_another_architectures_converter_does_not_know_it(tmp_path):
    torch.save({"amplifier.gain": torch.ones(1, 3)}, tmp_path / "released.pth")
    result = invoke(convert.main, tmp_path / "released.pth", tmp_path / "out.safetensors", "--arch", "hdnet")
    assert result.exit_code == 1 and "nothing in it has" in result.output


def test_it_runs_at_any_size_and_depth(weights):
    harmonizer = Harmonizer.load(weights)
    for height, width, dtype in ((1, 1, np.uint8), (7, 11, np.uint16)):
        top = np.iinfo(dtype).max
        composite = np.full((height, width, 3), top, dtype)
        result = harmonizer(composite, np.full((height, width), 255, np.uint8))
        assert (result == np.array([np.rint(top / 2), top, top])).all() and result.dtype == dtype


@pytest.mark.parametrize("workers", [1, 2])
def test_it_runs_in_the_pipeline(weights, tmp_path, monkeypatch, workers):
    # Worker processes are new ones: Python itself imports this module as they start.
    (tmp_path / "sitecustomize.py").write_text("from tests import toy\n\ntoy.register()\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    catalog = write_catalog(tmp_path / "in", good=6, broken=0)
    options = ["--weights", weights, "--workers", workers, "--run-id", "one", "--precision", "float32"]
    result = invoke(run.main, "--input", catalog, "--output", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    rows = table(tmp_path / "out/metrics")
    assert len(rows) == 6 and {row["arch"] for row in rows} == {"toy"}
    (png,) = (row for row in rows if row["composite"].endswith("1.png"))
    before, after = (np.asarray(Image.open(png[name]))[5, 5] for name in ("composite", "output"))
    assert after.tolist() == [128, *before[1:].tolist()]


def test_a_dry_run_describes_it(weights, tmp_path):
    catalog = write_catalog(tmp_path / "in", good=3, broken=0)
    result = invoke(run.main, "--input", catalog, "--output", tmp_path / "out", "--weights", weights, "--dry-run")
    assert result.exit_code == 0 and "a large image needs about 0.3 GB" in result.output, result.output
