"""Illumination transfer: the shipped maps, what is rejected, and what stays in range."""

from pathlib import Path

import numpy as np
import pytest

from hdnet.model.synthesis import checkers, illumination
from hdnet.model.synthesis.illumination import IlluminationMaps
from hdnet.transforms.errors import DatasetError

PIXELS = np.random.default_rng(0).integers(40, 200, (3, 4000), np.uint8)


def linear(*gains, sources=(0, 1)) -> IlluminationMaps:
    """Maps that multiply: photo i has gains[i] times the standard illumination's colours."""
    forward, reverse = np.zeros((2, len(gains), 3, 11))
    for row, gain in enumerate(gains):
        forward[row, :, :3], reverse[row, :, :3] = np.eye(3) / gain, np.eye(3) * gain
    names = tuple("abcdefgh"[: len(gains)])
    return IlluminationMaps(names=names, to_standard=forward, from_standard=reverse, sources=np.array(sources))


def many(maps, count=200, pixels=PIXELS):
    return [illumination.transfer(pixels, np.random.default_rng(seed), maps) for seed in range(count)]


def test_the_shipped_maps_are_ccharmonys_in_its_own_splits():
    training, test = illumination.load(), illumination.load(split="test")
    assert (len(training.names), len(test.names)) == (250, 100) and not set(training.names) & set(test.names)
    stale = set(training.names) - {training.names[row] for row in training.sources}
    assert stale == {"8D5U5599", "IMG_0290"} and len(test.sources) == 100
    assert illumination.SHIPPED.stat().st_size < 200_000


def test_the_shipped_maps_carry_their_licence():
    with np.load(illumination.SHIPPED) as file:
        assert "MIT License" in str(file["notice"]) and "Image-Harmonization-Dataset-ccHarmony" in str(file["notice"])


def test_colours_pass_through_the_standard_illumination():
    found = illumination.transfer(PIXELS, np.random.default_rng(0), linear(1.0, 1.25, sources=(0, 0)))
    assert found.colours is not None and (found.source, found.target) == ("a", "b")
    np.testing.assert_allclose(found.colours, np.clip(PIXELS * 1.25, 0, 255))


def test_half_of_the_darkening_changes_are_rejected():
    darker = many(linear(1.0, 0.8, sources=(0, 0)), 400)
    first = sum(not each.rejected for each in darker)
    assert 160 < first < 240
    assert not any(each.rejected for each in many(linear(1.0, 1.2, sources=(0, 0))))


@pytest.mark.parametrize("gain", [1.001, 1.9, -1.0])
def test_changes_that_are_too_small_too_bright_or_reverse_lightness_are_rejected(gain):
    found = illumination.transfer(PIXELS, np.random.default_rng(0), linear(1.0, gain, sources=(0, 0)))
    assert found == illumination.Change(None, 10)


def test_a_first_map_that_leaves_the_range_is_drawn_again():
    found = many(linear(1.0, 1.15, 0.5, sources=(0, 2)), 50)
    assert all(each.source == "a" for each in found) and any(each.rejected for each in found)
    nowhere = illumination.transfer(PIXELS, np.random.default_rng(0), linear(0.5, 1.0, sources=(0, 0)))
    assert nowhere == illumination.Change(None, 20)


def test_the_same_seed_gives_the_same_colours_and_results_stay_in_range():
    maps = illumination.load()
    first, again = many(maps, 40), many(maps, 40)
    for one, other in zip(first, again, strict=True):
        assert (one.source, one.target, one.rejected) == (other.source, other.target, other.rejected)
        if one.colours is not None:
            np.testing.assert_array_equal(one.colours, other.colours)
            assert one.source != one.target and one.colours.min() >= 0 and one.colours.max() <= 255
            change = one.colours - PIXELS
            assert 4 < np.sqrt(np.mean(change**2)) < 95
    assert len({each.target for each in first}) > 20 and sum(each.colours is None for each in first) < 10


def test_own_checkers_give_maps_of_their_own():
    darker = checkers.CHART * 0.6
    maps = illumination.fitted({"sun": checkers.CHART, "shade": darker})
    assert maps.names == ("sun", "shade")
    found = illumination.transfer(PIXELS, rng(1), IlluminationMaps(**vars(maps) | {"sources": np.array([1])}))
    assert found.colours is None  # the shade's map brightens too many of these colours beyond the range
    dim = (PIXELS * 0.6).astype(np.uint8)
    found = illumination.transfer(dim, rng(2), maps)
    assert found.colours is not None and {found.source, found.target} == {"sun", "shade"}
    factor = 1 / 0.6 if found.source == "shade" else 0.6
    np.testing.assert_allclose(found.colours, dim * factor, atol=1e-6)
    with pytest.raises(DatasetError, match="there is 1"):
        illumination.fitted({"sun": checkers.CHART})


def rng(seed):
    return np.random.default_rng(seed)


def test_files_that_hold_no_maps_are_refused(tmp_path: Path):
    path = tmp_path / "maps.npz"
    whole = {name: value for name, value in np.load(illumination.SHIPPED).items() if name != "notice"}
    for changes, said in (
        ({"split": None}, "lacks an array: split"),
        ({"to_standard": np.zeros((350, 3, 10))}, r"shape \(350,3,11\)"),
        ({"split": np.array(["other"] * 350)}, "fewer than two train photos"),
        ({"name": np.array([None] * 350)}, "cannot be read"),
    ):
        np.savez(path, **{name: value for name, value in (whole | changes).items() if value is not None})
        with pytest.raises(DatasetError, match=f"maps.npz.*{said}.*docs/ccharmony.md"):
            illumination.load(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        illumination.load(tmp_path / "none.npz")
