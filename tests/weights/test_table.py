"""The table of `python -m tests.benchmarks.weights`, on photographs of the example catalog."""

import itertools

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hdnet.model.training.composites import compositing, looks
from tests.benchmarks import weights
from tests.test_packaging import ROOT

SIZE = 96, 64


@pytest.fixture
def pool(tmp_path):
    """Two sources of one held-out photo each; the first has an alpha, its mask blurred."""
    for source, example in (("cats", "cat"), ("cups", "coffee")):
        name = next(f"{example}{i}" for i in itertools.count() if looks.is_held_out(f"{source}/{example}{i}"))
        for folder in ("real_images", "masks", "alphas"):
            (tmp_path / folder / source).mkdir(parents=True)
        photo = next((ROOT / "examples/catalog/references").glob(f"{example}.*"))
        Image.open(photo).convert("RGB").resize(SIZE).save(tmp_path / f"real_images/{source}/{name}.png")
        mask = Image.open(ROOT / f"examples/catalog/masks/{example}.png").convert("L").resize(SIZE)
        inside = np.asarray(mask) >= 128
        Image.fromarray(inside * np.uint8(255)).save(tmp_path / f"masks/{source}/{name}.png")
        if source == "cats":
            alpha = np.rint(255 * compositing.blurred(inside, 0.7)).astype(np.uint8)
            Image.fromarray(alpha).save(tmp_path / f"alphas/{source}/{name}.png")
    return tmp_path


def run(*options):
    return CliRunner().invoke(weights.main, ["hdnet-lite", *map(str, options)])


def rows(result):
    return dict(line.strip("| ").split(" | ") for line in result.output.splitlines() if " | " in line)


def test_alphas_add_a_row_for_the_photos_that_have_one(pool):
    result = run("--photos", pool, "--alphas", pool / "alphas")
    assert "2 photos, 1 of them with an alpha" in result.output
    found = rows(result)
    assert found[weights.SEGMENTED] == found["soft, deviation 0.7: cats"] != found["soft, deviation 0.7: cups"]


def test_alphas_of_other_photos_are_refused(pool):
    result = run("--photos", pool, "--alphas", pool / "masks/cups")
    assert result.exit_code == 2 and "no <source>/<name>.png of any of the 2 photos" in result.output
