"""The picture of a training."""

import io

import numpy as np
import pytest
from PIL import Image

from hdnet.model.training import curves

SCORES = {"psnr": 30.0, "gain": 2.0, "fmse": 300.0, "fmse_share": 0.4, "worse": 0.1}


def history(epochs: int, **scores: float) -> curves.History:
    return [{"epoch": i, "step": 10 * i, "lr": 1e-3 / i**2, "loss": 1 / i, **scores} for i in range(1, epochs + 1)]


def drawn(rows: curves.History) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(curves.draw(rows))).convert("RGB"))


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_seven_columns_make_two_rows(epochs):
    height, width, _ = drawn(history(epochs, **SCORES)).shape
    assert 1.5 < width / height < 3


def test_the_best_epoch_is_marked_where_photos_were_held_out():
    green = np.array([0x1B, 0x7F, 0x3B])
    marked, plain = (drawn(history(3, **scores)) for scores in (SCORES, {}))
    assert (marked == green).all(axis=2).sum() > 100 and not (plain == green).all(axis=2).any()


def test_the_best_epoch_is_that_of_the_highest_psnr_and_the_first_of_equals():
    rows = history(4, **SCORES)
    rows[1]["psnr"] = rows[2]["psnr"] = 33.0
    assert curves.best_row(rows) is rows[1] and curves.best_row(history(3)) is None


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_column_without_logarithms_is_drawn_all_the_same(value):
    assert drawn([*history(2, **SCORES), history(3, **SCORES)[-1] | {"loss": value, "fmse": 0.0}]).size
