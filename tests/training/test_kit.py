"""The kit for machines at hand for minutes: what it holds, and that it trains."""

import json
import zipfile

import numpy as np
from click.testing import CliRunner

from hdnet.model.training import kit, run
from hdnet.model.training.composites import looks, photos
from hdnet.model.weights import weights_file
from tests.samples import write_iharmony4
from tests.training.test_augment import arrays
from tests.training.test_photos import write_photos
from tests.training.test_training import CPU, recipe, tensors


def write_kit(folder, **fields):
    data = write_iharmony4(folder / "data", photos=30)
    first = run.train(recipe(data, epochs=1, val_fraction=0, **fields), folder / "first", device=CPU)
    np.savez(folder / "looks.npz", names=np.array(["none"]), lut=looks.IDENTITY[None])
    np.savez(folder / "maps.npz", **arrays())
    options = ["--photos", f"{write_photos(folder / 'pool', 12)}=2", "--photos", data, "--side", 24, "--init", first]
    options += ["--looks", folder / "looks.npz", "--illumination-maps", folder / "maps.npz"]
    result = CliRunner().invoke(kit.main, ["pack", str(folder / "kit.zip"), *map(str, options)])
    assert result.exit_code == 0, result.output
    return folder / "kit.zip", first


def test_a_kit_holds_all_photos_and_knows_which_are_held_out(tmp_path):
    packed, _ = write_kit(tmp_path)
    with zipfile.ZipFile(packed) as files:
        files.extractall(tmp_path / "there")
    for name, origin in (("photos0", tmp_path / "pool"), ("photos1", tmp_path / "data")):
        before, after = photos.read(origin), photos.read(tmp_path / "there" / name)
        assert [(p.id, p.source, p.held_out) for p in after] == [(p.id, p.source, p.held_out) for p in before]
        real, labels = photos.load(after[0])
        assert min(labels.shape) == 24 and real.shape[:2] == labels.shape
    recipe = json.loads((tmp_path / "there/kit.json").read_text())
    assert recipe["photos"] == {"photos0": 2.0, "photos1": 1.0}


def test_a_kit_trains_on_and_leaves_weights(tmp_path):
    packed, first = write_kit(tmp_path)
    options = ["--minutes", "1.05", "--size", "16", "--batch", "2", "--workers", "0", "--device", "cpu"]
    result = CliRunner().invoke(kit.main, ["train", str(packed), "--output", str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    made = result.output.splitlines()[-1]
    assert made == str(tmp_path / "out/finish/last.safetensors")
    assert weights_file.read_header(made)["config"] == weights_file.read_header(first)["config"]
    changed, before = tensors(made), tensors(first)
    assert any((changed[name] != before[name]).any() for name in before)


def test_large_weights_come_in_pieces_that_join(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 10)
    pieces = kit.split(path, largest=1000)
    assert [piece.name for piece in pieces] == ["weights.00", "weights.01", "weights.02"]
    assert b"".join(piece.read_bytes() for piece in pieces) == path.read_bytes()
    assert kit.split(path) == [path]
