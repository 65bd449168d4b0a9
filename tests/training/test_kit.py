"""The kit for machines at hand for minutes: what it holds, and that it trains."""

import json
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hdnet.model import architectures
from hdnet.model.training import dataset, run
from hdnet.model.training.composites import looks, photos
from hdnet.model.training.kit import __main__ as kit
from hdnet.model.training.kit import ring
from hdnet.model.training.kit.recorded import RecordedTrainer
from hdnet.model.training.kit.training import rate_at
from hdnet.model.training.trainer import Trainer
from hdnet.model.weights import weights_file
from hdnet.transforms.catalog import layouts
from hdnet.transforms.errors import HarmonizeError
from tests.samples import write_iharmony4
from tests.training.test_augment import arrays
from tests.training.test_photos import write_photos
from tests.training.test_training import CPU, recipe, same, tensors


def test_too_little_shared_memory_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(ring, "SHARED", tmp_path)
    monkeypatch.setattr(ring, "SLOTS", 1 << 44)
    with pytest.raises(HarmonizeError, match="samples of 16 x 16 take .* bytes of shared memory.*lower --size"):
        ring.Ring(16, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a pool, a data set, weights, the kit of these, and the kit unpacked."""
    folder = tmp_path_factory.mktemp("kit")
    data, pool = write_iharmony4(folder / "data", photos=30), write_photos(folder / "pool", 12)
    first = run.train(recipe(data, epochs=1, val_fraction=0), folder / "first", device=CPU)
    np.savez(folder / "looks.npz", names=np.array(["none"]), lut=looks.IDENTITY[None])
    np.savez(folder / "maps.npz", **arrays())
    options = ["--data", data, "--photos", f"{pool}=2", "--photos", data, "--side", 16, "--init", first]
    options += ["--looks", folder / "looks.npz", "--illumination-maps", folder / "maps.npz"]
    result = CliRunner().invoke(kit.main, ["pack", str(folder / "kit.zip"), *map(str, options)])
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(folder / "kit.zip") as files:
        files.extractall(folder / "there")
    return folder


def test_a_kit_holds_all_photos_and_knows_which_are_held_out(folder):
    for name, origin in (("photos0", "pool"), ("pairs", "data")):
        before, after = photos.read(folder / origin), photos.read(folder / "there" / name)
        assert [(p.id, p.source, p.held_out) for p in after] == [(p.id, p.source, p.held_out) for p in before]
        real, labels = photos.load(after[0])
        assert min(labels.shape) == 16 and real.shape[:2] == labels.shape
    assert json.loads((folder / "there/kit.json").read_text())["photos"] == {"photos0": 2.0, "pairs": 1.0}


def test_a_kit_holds_a_data_sets_own_pairs(folder):
    before, after = (layouts.read_iharmony4(folder / name, "train") for name in ("data", "there/pairs"))
    assert [pair.id for pair in after] == [pair.id for pair in before]
    one, other = (dataset.load_packed(pairs[0], 16).astype(int) for pairs in (before, after))
    assert np.abs(one - other)[..., :6].mean() < 6 and (one == other)[..., 6].mean() > 0.9


def test_a_kit_trains_on_and_leaves_weights(folder, tmp_path):
    options = ["--minutes", "0.02", "--size", "16", "--batch", "2", "--workers", "2", "--device", "cpu"]
    result = CliRunner().invoke(kit.main, ["train", str(folder / "kit.zip"), "--output", str(tmp_path), *options])
    assert result.exit_code == 0, result.output
    made, first = result.stdout.splitlines()[-1], folder / "first/best.safetensors"
    assert made == str(tmp_path / "last.safetensors")
    card = weights_file.read_header(made)
    assert card["config"] == weights_file.read_header(first)["config"] and "gain" in card["metrics"]["validation"]
    assert not same(tensors(made), tensors(first))


def test_a_recorded_trainers_steps_are_a_trainers(folder):
    config = recipe(folder / "data", lr=0.01, milestones=(), ema=0.9, clip=1.0, log_loss=0.015)
    packed = torch.randint(0, 256, (4, 2, 16, 16, 7), dtype=torch.uint8)
    packed[..., 6] = (packed[..., 6] > 99) * 255
    trainers: list[Any] = []
    for kind in (Trainer, RecordedTrainer):
        torch.manual_seed(0)
        network = architectures.build(config.arch, config.network)
        objective = network.architecture.objective(config, network, CPU, lambda module: module)
        trainers.append(kind(config, network, objective, 1, CPU))
    plain, recorded = trainers
    plain.run((batch[..., :3], batch[..., 3:6], batch[..., 6] > 0) for batch in packed)
    recorded.record(packed[0])
    for batch in packed:
        recorded.advance(batch, config.lr)
    torch.testing.assert_close(recorded.network.state_dict(), plain.network.state_dict())
    torch.testing.assert_close(recorded.average, plain.average)


class Constant:
    """Nine samples, each of one colour."""

    def __len__(self):
        return 9

    def __getitem__(self, address):
        image = torch.full((4, 4, 3), address[1], dtype=torch.uint8)
        return image, image, torch.ones(4, 4, dtype=torch.bool)


class Broken(Constant):
    def __getitem__(self, address):
        raise ValueError("no sample")


def test_batches_are_drawn_from_what_all_processes_make():
    with ring.batches(Constant(), size=4, batch=90, processes=2, seed=0) as batches:  # type: ignore[arg-type]
        batch = next(batches)
    assert batch.shape == (90, 4, 4, 7) and (batch[..., 6] == 255).all()
    assert set(batch[:, 0, 0, 0].tolist()) == set(range(9))


def test_a_process_that_breaks_down_ends_the_training():
    with (
        ring.batches(Broken(), size=4, batch=2, processes=1, seed=0) as batches,  # type: ignore[arg-type]
        pytest.raises(HarmonizeError, match="error stands above"),
    ):
        next(batches)


def test_the_rate_rises_stays_and_falls_to_nothing():
    assert [rate_at(step, done, 3.0) for step, done in ((0, 0), (299, 0.1), (9000, 0.7), (9999, 1))] == pytest.approx(
        [0.01, 3, 3, 0]
    )


def test_large_weights_come_in_pieces_that_join(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 10)
    pieces = kit.split(path, largest=1000)
    assert [piece.name for piece in pieces] == ["weights.00", "weights.01", "weights.02"]
    assert b"".join(piece.read_bytes() for piece in pieces) == path.read_bytes()
    assert kit.split(path) == [path]
