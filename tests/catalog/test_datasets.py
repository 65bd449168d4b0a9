"""Data sets: the layout is told by what the root holds."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from hdnet.model.evaluation import evaluate
from hdnet.model.training import train
from hdnet.transforms.catalog import datasets
from hdnet.transforms.errors import DatasetError
from tests.catalog.test_ccharmony import write as write_ccharmony
from tests.catalog.test_layouts import touch
from tests.samples import write_iharmony4


def test_a_root_is_read_by_its_list_if_it_has_one(tmp_path: Path) -> None:
    root = touch(tmp_path, "composites/a.jpg", "masks/a.png")
    assert [pair.id for pair in datasets.read_root(root, "test")] == ["a"]
    write_iharmony4(root, photos=1)
    assert len(datasets.read_root(root, "test")) == 2
    with pytest.raises(DatasetError, match="HOther_test"):
        datasets.read_root(root, "test", ["HOther"])
    with pytest.raises(DatasetError, match="IHD_test"):
        datasets.read_root(tmp_path / "masks", "test")


def test_ccharmony_is_told_by_its_folders(tmp_path: Path) -> None:
    root = write_ccharmony(tmp_path)
    assert {pair.group for pair in datasets.read_root(root, "test")} == {"ccHarmony"}
    (root / "IHD_test.txt").write_text("composite_images/none/a_1_1.jpg")
    with pytest.raises(DatasetError, match="none"):
        datasets.read_root(root, "test")


def test_both_commands_read_ccharmony(tmp_path: Path) -> None:
    root = write_ccharmony(tmp_path / "data", nested=True, suffix=".png")
    (root / "test_list.txt").rename(root / "train_list.txt")
    write_ccharmony(root, nested=True, suffix=".png", lines="{1}")
    for path in root.rglob("*.png"):
        level = 255 if path.parent.name == "masks" else len(path.stem) * 7
        picture = Image.new("L" if path.parent.name == "masks" else "RGB", (16, 16))
        picture.paste(level if picture.mode == "L" else (level, 90, 120), (2, 2, 12, 12))
        picture.save(path)
    options = ["--data", root, "--arch", "hdnet-lite", "--network", "width=1", "--size", "16", "--epochs", "1"]
    options += ["--batch", "2", "--workers", "0", "--output", tmp_path / "run"]
    trained = CliRunner().invoke(train.main, list(map(str, options)))
    assert trained.exit_code == 0, trained.output
    options = ["--data", root, "--weights", tmp_path / "run/best.safetensors", "--output", tmp_path / "eval"]
    measured = CliRunner().invoke(evaluate.main, list(map(str, options)))
    assert measured.exit_code == 0 and "ccHarmony       6  composite" in measured.output
    assert "Table 3. Means and medians (paper protocol, 6 images)" in measured.output
