"""Training runs: what they write, how they resume, what they refuse."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hdnet.model import architectures
from hdnet.model.training import checkpoint, dataset, recorder, run
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.loss import foreground_mse
from hdnet.model.training.train import main
from hdnet.model.training.trainer import Trainer, learned, lr_at
from hdnet.model.weights import weights_file
from hdnet.transforms.catalog import layouts
from hdnet.transforms.errors import DatasetError, HarmonizeError, WeightsError
from tests import pictures
from tests.samples import write_iharmony4

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path):
    return write_iharmony4(tmp_path / "data")


def recipe(data, **fields):
    tiny = {"network": {"width": 1}, "size": 16, "epochs": 3, "batch": 2, "workers": 0, "val_fraction": 0.34}
    return TrainConfig(data=str(data), arch="hdnet-lite", **{"checkpoint_steps": 1, **tiny, **fields})


def tensors(path):
    return weights_file.load_network(path).state_dict()


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def read_csv(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def tiny_trainer(**fields) -> Any:
    config, network = TrainConfig(data="", **fields), architectures.build("hdnet", {"width": 1})
    objective = network.architecture.objective(config, network, CPU, lambda module: module)
    return Trainer(config, network, objective, 1, CPU)


class Stop(Exception):
    pass


def train_until(monkeypatch, config, output, step, **options):
    """Run a training that breaks down in the middle of a step."""
    descend = Trainer.descend

    def breaking(self, *arguments):
        if self.step == step:
            raise Stop
        descend(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "descend", breaking)
        with pytest.raises(Stop):
            run.train(config, output, device=CPU, **options)


def test_ctrl_c_saves_the_step_under_way_and_says_how_to_go_on(data, tmp_path, monkeypatch):
    descend = Trainer.descend

    def pressing(self, *arguments):
        if self.step == 1:
            signal.raise_signal(signal.SIGINT)
        descend(self, *arguments)

    arguments = ["--data", data, "--output", tmp_path / "run", "--arch", "hdnet-lite", "--network", "width=1",
                 "--size", 16, "--epochs", 2, "--batch", 2, "--workers", 0, "--milestones", "1,2"]  # fmt: skip
    words = [str(each) for each in arguments]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "descend", pressing)
        result = CliRunner().invoke(main, words)
    assert result.exit_code == 130, result.output
    command = result.stderr.splitlines()[-1].split()
    assert command[0] == "hdnet-train" and command[-1] == "--resume"
    assert torch.load(tmp_path / "run/last.pt", weights_only=True)["step"] == 2
    result = CliRunner().invoke(main, command[1:])
    assert result.exit_code == 0, result.output


def test_a_run_leaves_everything_a_person_needs(data, tmp_path):
    best = run.train(recipe(data, ema=0.9), tmp_path / "run", device=CPU)
    rows = read_csv(tmp_path / "run/metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert json.loads((tmp_path / "run/config.json").read_text())["ema"] == 0.9
    assert (tmp_path / "run/curves.png").read_bytes().startswith(b"\x89PNG")
    card = weights_file.read_header(best)
    assert card["metrics"]["validation"]["psnr"] == pytest.approx(max(float(row["psnr"]) for row in rows))


def test_a_library_for_curves_that_cannot_be_imported_costs_the_curves_alone(tmp_path, monkeypatch, caplog):
    (tmp_path / "curving").mkdir()
    (tmp_path / "curving/__init__.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    monkeypatch.syspath_prepend(tmp_path)
    assert not recorder._importable("curving.agg", "curves.png") and not recorder._importable(
        "curving.agg", "curves.png"
    )
    assert [record.getMessage() for record in caplog.records] == [
        "curves.png is not written: curving.agg is installed but cannot be imported"
        " (numpy.core.multiarray failed to import)"
    ]
    assert not recorder._importable("no_such_library", "curves.png")


@pytest.fixture(
    scope="module", params=[{}, {"ema": 0.9, "precision": "bfloat16", "clip": 1.0, "crop": True, "recolor": 0.5}]
)
def unbroken(request, tmp_path_factory):
    """A recipe, and the folder of its run."""
    folder = tmp_path_factory.mktemp("unbroken")
    config = recipe(write_iharmony4(folder / "data"), checkpoint_steps=2, **request.param)
    run.train(config, folder / "whole", device=CPU)
    return config, folder / "whole"


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_resumed_run_gives_the_numbers_of_an_unbroken_one(monkeypatch, unbroken, tmp_path, step):
    config, whole = unbroken
    train_until(monkeypatch, config, tmp_path / "broken", step)
    run.train(config, tmp_path / "broken", device=CPU, resume=True)
    assert same(tensors(whole / "best.safetensors"), tensors(tmp_path / "broken/best.safetensors"))
    assert (whole / "metrics.csv").read_text() == (tmp_path / "broken/metrics.csv").read_text()
    states = [torch.load(run / "last.pt", weights_only=True) for run in (whole, tmp_path / "broken")]
    assert same(*(state["network"] for state in states)) and states[0]["step"] == states[1]["step"]


def test_kill_9_at_any_moment_then_resume_gives_bit_equal_weights(tmp_path):
    data = write_iharmony4(tmp_path / "data", photos=32)  # few epochs of many steps: each draws its curves
    options = ["--data", data, "--arch", "hdnet-lite", "--network", "width=1", "--size", "16", "--epochs", "3"]
    options += ["--batch", "2", "--workers", "0", "--checkpoint-steps", "1", "--val-fraction", "0", "--ema", "0.9"]
    arguments = [*map(str, options), "--resume", "--output"]
    assert CliRunner().invoke(main, [*arguments, str(tmp_path / "whole")]).exit_code == 0
    moments = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "hdnet.model.training.train", *arguments, tmp_path / "killed"]
        )
        deadline = time.monotonic() + 600
        before = read_step(tmp_path / "killed")
        while read_step(tmp_path / "killed") == before and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert 3 <= read_step(tmp_path / "killed") < 96
    assert CliRunner().invoke(main, [*arguments, str(tmp_path / "killed")]).exit_code == 0
    assert same(tensors(tmp_path / "whole/best.safetensors"), tensors(tmp_path / "killed/best.safetensors"))


def read_step(run):
    path = run / checkpoint.LAST
    return torch.load(path, weights_only=True)["step"] if path.exists() else 0


def test_two_processes_train_as_one(data, tmp_path):
    config = recipe(data, epochs=2)
    run.train(config, tmp_path / "one", device=CPU)
    options = ["--data", data, "--arch", "hdnet-lite", "--network", "width=1", "--size", "16", "--epochs", "2"]
    options += ["--batch", "2", "--workers", "0", "--val-fraction", "0.34", "--output", tmp_path / "two"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run([*launcher, "-m", "hdnet.model.training.train", *map(str, options)], check=True, env=environment)
    one, two = (tensors(tmp_path / run / "best.safetensors") for run in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=2e-4) for name in one)


def test_a_checkpoint_is_replaced_whole(data, tmp_path, monkeypatch):
    train_until(monkeypatch, recipe(data), tmp_path / "run", 3)
    (tmp_path / "run/last.pt.tmp").write_bytes(b"half a checkpoint")
    run.train(recipe(data), tmp_path / "run", device=CPU, resume=True)
    assert read_step(tmp_path / "run") == 12


def test_a_broken_checkpoint_is_named(data, tmp_path, monkeypatch):
    train_until(monkeypatch, recipe(data), tmp_path / "run", 3)
    (tmp_path / "run/last.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(WeightsError, match=r"last\.pt"):
        run.train(recipe(data), tmp_path / "run", device=CPU, resume=True)


def test_a_folder_holds_one_run(data, tmp_path):
    run.train(recipe(data, epochs=1), tmp_path / "run", device=CPU)
    with pytest.raises(HarmonizeError, match="--resume"):
        run.train(recipe(data, epochs=1), tmp_path / "run", device=CPU)
    with pytest.raises(HarmonizeError, match=r"lr was 0\.001, now 0\.01"):
        run.train(recipe(data, epochs=1, lr=0.01), tmp_path / "run", device=CPU, resume=True)


def test_training_starts_from_given_weights(data, tmp_path):
    first = run.train(recipe(data, epochs=1, val_fraction=0), tmp_path / "one", device=CPU)
    second = run.train(recipe(data, epochs=1, val_fraction=0, init=str(first), lr=1e-9), tmp_path / "two", device=CPU)
    one, two = tensors(first), tensors(second)
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


@pytest.mark.parametrize("cache", ["ram", "disk", "none"])
def test_every_cache_and_loader_processes_give_the_same_weights(data, tmp_path, cache):
    best = run.train(recipe(data, epochs=1, cache=cache, workers=1, val_fraction=0), tmp_path / cache, device=CPU)
    alone = run.train(recipe(data, epochs=1, val_fraction=0), tmp_path / "alone", device=CPU)
    assert same(tensors(best), tensors(alone))


def test_it_learns(data, tmp_path):
    config = recipe(data, network={"width": 2}, epochs=16, lr=1e-2, val_fraction=0, validate_epochs=4)
    run.train(config, tmp_path / "run", device=CPU)
    rows = read_csv(tmp_path / "run/metrics.csv")
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])


def test_the_average_follows_the_weights():
    trainer = tiny_trainer(ema=0.5)
    bias = trainer.network.out.bias
    before = bias.detach().clone()
    with torch.no_grad():
        bias += 1
    trainer.step = 1000
    trainer._update_average()
    assert trainer.average is not None and torch.allclose(trainer.average[-1], before + 0.5)


def test_the_average_covers_what_normalisations_have_gathered():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    assert len(learned(network)) == 6  # two parameters each, mean and variance; not the count of batches


def test_a_checkpoint_whose_average_covers_less_is_refused(tmp_path):
    trainer = tiny_trainer(ema=0.5)
    checkpoint.save(tmp_path / "last.pt", trainer, checkpoint.Progress())
    assert trainer.average is not None
    trainer.average.append(torch.zeros(3))
    with pytest.raises(WeightsError, match="moving average"):
        checkpoint.restore(tmp_path / "last.pt", trainer)


def test_the_papers_learning_rate_falls_after_epochs_100_and_110():
    config = TrainConfig(data="")
    rates = [lr_at(epoch * 10, 10, config) for epoch in (0, 99, 100, 109, 110, 119)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_a_cosine_ends_at_its_share_and_warms_up():
    config = TrainConfig(data="", schedule="cosine", epochs=10, final_lr=0.1, warmup=2)
    rates = [lr_at(step, 5, config) for step in (0, 9, 25, 50)]
    assert rates[0] == pytest.approx(1e-4) and rates[3] == pytest.approx(1e-4)
    assert rates[1] == pytest.approx(1e-3 * (0.1 + 0.9 * 0.9222), rel=1e-3) and rates[2] == pytest.approx(5.5e-4)


def test_the_loss_is_normalised_by_the_foreground():
    result, real = torch.zeros(2, 3, 20, 20), torch.zeros(2, 3, 20, 20)
    mask = torch.zeros(2, 1, 20, 20)
    mask[0, 0, :5, :5], mask[1, 0, :10, :20] = 1, 1
    result[0, :, :5, :5], result[1, :, :10, :20] = 1.0, 0.5
    assert foreground_mse(result, real, mask).tolist() == pytest.approx([25 / 100, 0.25])


def test_a_mask_of_the_pixels_as_stored_is_named(data, tmp_path):
    for photo in ("composite_images/p3_1_1.png", "real_images/p3.png"):
        Image.new("RGB", (24, 16)).save(data / "HToy" / photo, exif=pictures.exif(6))
    Image.new("L", (24, 16)).save(data / "HToy/masks/p3_1.png")
    with pytest.raises(DatasetError, match=r"p3_1_1.*\(16, 24\).*: the composite is turned by its EXIF orientation 6"):
        run.train(recipe(data), tmp_path / "run", device=CPU)


def test_a_mask_of_another_size_shows_before_the_first_step(data, tmp_path):
    Image.new("L", (8, 8)).save(data / "HToy/masks/p3_1.png")
    with pytest.raises(DatasetError, match=r"2 pairs have files of different sizes[^$]*p3_1_1.*\(8, 8\)"):
        run.train(recipe(data), tmp_path / "run", device=CPU)
    assert not (tmp_path / "run").exists()


def test_a_broken_file_shows_before_the_first_step(data, tmp_path):
    (data / "HToy/real_images/p3.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"1 files cannot be read[^$]*p3\.png"):
        run.train(recipe(data), tmp_path / "run", device=CPU)


def test_a_resumed_run_needs_the_same_data(data, tmp_path):
    run.train(recipe(data, epochs=1), tmp_path / "run", device=CPU)
    other = write_iharmony4(tmp_path / "other", photos=7)
    with pytest.raises(HarmonizeError, match="pairs_sha256"):
        run.train(recipe(other, epochs=1), tmp_path / "run", device=CPU, resume=True)
    moved = data.rename(tmp_path / "moved")
    run.train(recipe(moved, epochs=1), tmp_path / "run", device=CPU, resume=True)


def test_a_run_that_could_not_start_leaves_its_folder_free(data, tmp_path):
    with pytest.raises(HarmonizeError, match="depth"):
        run.train(recipe(data, network={"depth": 3}), tmp_path / "run", device=CPU)
    run.train(recipe(data, epochs=1), tmp_path / "run", device=CPU)


def test_a_loss_that_is_not_finite_stops_the_run(data, tmp_path):
    with pytest.raises(HarmonizeError, match="nan"):
        run.train(recipe(data, lr=1e30), tmp_path / "run", device=CPU)


def test_no_photo_is_on_both_sides_of_the_split(data):
    pairs = layouts.read_iharmony4(data, "train")
    training_pairs, held_out = dataset.split_by_photo(pairs, 0.34, seed=3)
    assert len(held_out) == 4 and not {p.reference for p in training_pairs} & {p.reference for p in held_out}
    assert sorted(p.id for p in [*training_pairs, *held_out]) == sorted(p.id for p in pairs)
    assert dataset.split_by_photo(pairs, 0.34, seed=3) == (training_pairs, held_out)


def test_every_missing_file_is_counted(data):
    (data / "HToy/masks/p1_1.png").unlink()
    (data / "HToy/real_images/p2.png").unlink()
    with pytest.raises(DatasetError, match=r"(?s)2 of .*p1_1\.png.*p2\.png"):
        run.train(recipe(data), data / "run", device=CPU)


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--data", "nowhere"], 1, r"IHD_train.txt"),
        (["--arch", "rainnet"], 2, "unknown architecture 'rainnet'; known: hdnet, hdnet-lite"),
        (["--batch", "0"], 2, "--batch must be above 0: 0"),
        (["--size", "30"], 2, "multiple of 8"),
        (["--lr", "inf"], 2, "lr must be"),
        (["--ema", "1"], 2, "ema must be"),
        (["--batch", "64"], 1, "less than one batch of 64"),
        (["--network", "depth=3"], 1, "depth"),
        (["--network", "width"], 2, "NAME=VALUE"),
        (["--network", "width=--3"], 1, "--3"),
        (["--milestones", "a"], 2, "'a'"),
        (["--device", "cuda:7x"], 2, "cuda:7x"),
        (["--illumination-maps", "no.npz"], 2, "recolor"),
        (["--illumination-maps", "no.npz", "--recolor", "1"], 1, "no.npz"),
        (["--init", "no.safetensors"], 1, "no.safetensors"),
        (["--subset", "HNone"], 1, "HNone_train.txt"),
        (["--epoch", "3"], 2, "--epochs"),
    ],
)
def test_the_command_says_what_is_wrong(data, tmp_path, arguments, code, said):
    base = ["--data", str(data), "--output", str(tmp_path / "run"), "--arch", "hdnet-lite"]
    result = CliRunner().invoke(main, [*base, *arguments])
    assert result.exit_code == code and said in result.output


def test_the_commands_defaults_are_the_papers():
    default = {parameter.name: parameter.default for parameter in main.params}
    paper = {"size": 256, "batch": 12, "epochs": 120, "lr": 1e-3, "schedule": "step", "milestones": "100,110"}
    paper |= {"drop": 0.1, "smallest_foreground": 100, "warmup": 0, "clip": 0, "ema": 0, "log_loss": 0}
    paper |= {"flip": False, "crop": False, "recolor": 0, "precision": "float32", "arch": "hdnet"}
    assert {name: default[name] for name in paper} == paper
    adam = tiny_trainer().objective.optimizer
    assert isinstance(adam, torch.optim.Adam) and adam.defaults["betas"] == (0.9, 0.999)
    assert adam.defaults["weight_decay"] == 0
