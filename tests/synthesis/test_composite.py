"""Synthetic composites: what stays, what changes, and what is tried next."""

import numpy as np
import pytest

from hdnet.model.synthesis import composite
from hdnet.model.training.composites.illumination import Change
from hdnet.transforms.errors import DatasetError

PHOTO = np.random.default_rng(0).integers(60, 180, (40, 50, 3), np.uint8)
INSIDE = np.zeros((40, 50), np.bool_)
INSIDE[10:30, 5:25] = True


def never(pixels, rng):
    return Change(None, 4)


def brighter(pixels, rng):
    return Change(pixels + 9.6, 1, {"by": 9.6})


def make(methods, inside=INSIDE, seed=0):
    return composite.compose(PHOTO, inside, methods, np.random.default_rng(seed))


def test_only_the_foreground_changes_and_the_row_tells_how():
    found = make({"brighter": (brighter, 1.0)})
    np.testing.assert_array_equal(found.pixels[~INSIDE], PHOTO[~INSIDE])
    np.testing.assert_array_equal(found.pixels[INSIDE], PHOTO[INSIDE] + 10)
    assert (found.method, found.drawn, found.rejected) == ("brighter", {"by": 9.6}, 1)
    assert found.change == pytest.approx(10, abs=0.1) and PHOTO.max() < 180


def test_a_method_that_finds_nothing_gives_way_to_the_next():
    found = make({"never": (never, 1.0), "brighter": (brighter, 0.0)})
    assert (found.method, found.rejected) == ("brighter", 3 * 4 + 1)
    with pytest.raises(DatasetError, match=r"12 were rejected \(never\)"):
        make({"never": (never, 1.0)})


def test_methods_are_drawn_by_their_weights():
    methods = {"a": (brighter, 3.0), "b": (brighter, 1.0), "c": (brighter, 0.0)}
    drawn = [make(methods, seed=seed).method for seed in range(400)]
    assert 260 < drawn.count("a") < 340 and "c" not in drawn


@pytest.mark.parametrize("value", [False, True])
def test_a_photo_without_foreground_or_background_is_refused(value):
    with pytest.raises(DatasetError, match=f"has {value * 2000} of 2000 pixels"):
        make({"brighter": (brighter, 1.0)}, np.full_like(INSIDE, value))
