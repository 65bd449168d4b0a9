"""Illumination transfer: the shipped maps, what is rejected, and what stays in range."""

from pathlib import Path

import numpy as np
import pytest

from hdnet.model.synthesis import checkers
from hdnet.model.training.composites import illumination
from hdnet.model.training.composites.illumination import IlluminationMaps
from hdnet.transforms.errors import DatasetError
from hdnet.transforms.pixels import polynomial
from tests.training.test_augment import GAINS, arrays, load, photo, square

PIXELS = np.random.default_rng(0).integers(40, 200, (3, 4000), np.uint8)


def linear(*gains, sources=(0, 1)) -> IlluminationMaps:
    """Maps that multiply: photo i has gains[i] times the standard illumination's colours."""
    forward, reverse = np.zeros((2, len(gains), 3, 11))
    for row, gain in enumerate(gains):
        forward[row, :, :3], reverse[row, :, :3] = np.eye(3) / gain, np.eye(3) * gain
    names = tuple("abcdefgh"[: len(gains)])
    return IlluminationMaps(names=names, to_standard=forward, from_standard=reverse, sources=np.array(sources))


def many(maps, count=200, pixels=PIXELS, **options):
    return [illumination.transfer(pixels, np.random.default_rng(seed), maps, **options) for seed in range(count)]


def drawn(source, target):
    return {"illumination_from": source, "illumination_to": target}


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
    assert found.colours is not None and found.drawn == drawn("a", "b")
    np.testing.assert_allclose(found.colours, np.clip(PIXELS * 1.25, 0, 255))


def test_half_of_the_darkening_changes_are_rejected():
    darker = many(linear(1.0, 0.8, sources=(0, 0)), 400, darker=0.5)
    first = sum(not each.rejected for each in darker)
    assert 160 < first < 240
    assert not any(each.rejected for each in many(linear(1.0, 1.2, sources=(0, 0)), darker=0.5))
    assert not any(each.rejected for each in many(linear(1.0, 0.8, sources=(0, 0))))


@pytest.mark.parametrize("gain", [1.001, 1.9, -1.0])
def test_changes_that_are_too_small_too_bright_or_reverse_lightness_are_rejected(gain):
    found = illumination.transfer(PIXELS, np.random.default_rng(0), linear(1.0, gain, sources=(0, 0)))
    assert found == illumination.Change(None, 10)


def test_a_first_map_that_leaves_the_range_is_drawn_again():
    found = many(linear(1.0, 1.15, 0.5, sources=(0, 2)), 50)
    assert all(each.drawn.get("illumination_from", "a") == "a" for each in found) and any(
        each.rejected for each in found
    )
    nowhere = illumination.transfer(PIXELS, np.random.default_rng(0), linear(0.5, 1.0, sources=(0, 0)))
    assert nowhere == illumination.Change(None, 20)


def test_the_same_seed_gives_the_same_colours_and_results_stay_in_range():
    maps = illumination.load()
    first, again = many(maps, 40), many(maps, 40)
    for one, other in zip(first, again, strict=True):
        assert (one.drawn, one.rejected) == (other.drawn, other.rejected)
        if one.colours is not None:
            np.testing.assert_array_equal(one.colours, other.colours)
            assert len(set(one.drawn.values())) == 2 and one.colours.min() >= 0 and one.colours.max() <= 255
            change = one.colours - PIXELS
            assert 4 < np.sqrt(np.mean(change**2)) < 95
    assert (
        len({each.drawn.get("illumination_to") for each in first}) > 20
        and sum(each.colours is None for each in first) < 10
    )


def test_own_checkers_give_maps_of_their_own():
    darker = checkers.CHART * 0.6
    maps = checkers.maps({"sun": checkers.CHART, "shade": darker})
    assert maps.names == ("sun", "shade")
    found = illumination.transfer(PIXELS, rng(1), IlluminationMaps(**vars(maps) | {"sources": np.array([1])}))
    assert found.colours is None  # the shade's map brightens too many of these colours beyond the range
    dim = (PIXELS * 0.6).astype(np.uint8)
    found = illumination.transfer(dim, rng(2), maps)
    assert found.colours is not None and set(found.drawn.values()) == {"sun", "shade"}
    factor = 1 / 0.6 if found.drawn["illumination_from"] == "shade" else 0.6
    np.testing.assert_allclose(found.colours, dim * factor, atol=1e-6)
    with pytest.raises(DatasetError, match="there is 1"):
        checkers.maps({"sun": checkers.CHART})


def rng(seed):
    return np.random.default_rng(seed)


def test_illumination_goes_through_a_to_b_with_a_and_b_distinct(tmp_path: Path) -> None:
    maps = load(tmp_path)
    values = photo()[square()].T.astype(np.float32)
    values[:, :20] = 254  # a few pixels leave the range on the way
    terms = polynomial.terms(values)
    possible = [
        np.clip(maps.from_standard[b] @ polynomial.terms(np.clip(maps.to_standard[a] @ terms, 0, 255)), 0, 255)
        for a in (0, 1)
        for b in (0, 1, 2)
        if a != b
    ]
    for seed in range(10):
        result = illumination.transfer(values, np.random.default_rng(seed), maps).colours
        assert result is not None
        assert min(float(np.abs(result - other).max()) for other in possible) < 1e-3


@pytest.mark.parametrize("gain", [-1.0, 0.0, 30.0])
@pytest.mark.parametrize("key", ["to_standard", "from_standard"])
def test_maps_that_invert_erase_or_overshoot_are_never_used(key: str, gain: float, tmp_path: Path) -> None:
    bad = np.zeros((len(GAINS), 3, 11))
    bad[:, :, :3] = gain * np.eye(3)
    bad[:, :, 10] = 255 if gain < 0 else 0
    values = photo()[square()].T.astype(np.float32)
    assert illumination.transfer(values, np.random.default_rng(0), load(tmp_path, **{key: bad})).colours is None


def test_only_training_maps_are_kept_and_a_stale_one_is_no_source(tmp_path: Path) -> None:
    maps = load(tmp_path)
    assert maps.to_standard.shape == maps.from_standard.shape == (3, 3, 11)
    assert maps.names == ("one", "two", "8D5U5599") and maps.sources.tolist() == [0, 1]
    np.testing.assert_allclose(maps.from_standard[1], arrays()["from_standard"][1], rtol=1e-6)
    np.testing.assert_allclose(maps.to_standard[2], arrays()["to_standard"][2], rtol=1e-6)


@pytest.mark.parametrize("key", ["name", "split", "to_standard", "from_standard"])
def test_a_missing_array_is_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"maps.npz.*{key}.*ccharmony_maps.npz"):
        load(tmp_path, **{key: None})


def test_wrong_shapes_and_too_few_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="shape"):
        load(tmp_path, to_standard=np.zeros((4, 3, 10)))
    with pytest.raises(DatasetError, match="fewer than two"):
        load(tmp_path, split=np.array(["test"] * 4))


def test_missing_broken_and_pickled_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.npz"):
        illumination.load(tmp_path / "none.npz")
    for name, content in (("text.npz", b"text"), ("empty.npz", b""), ("cut.npz", b"PK\x03\x04cut")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DatasetError, match=name):
            illumination.load(tmp_path / name)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DatasetError, match=r"array\.npy"):
        illumination.load(tmp_path / "array.npy")
    with pytest.raises(DatasetError, match="cannot be read"):
        load(tmp_path, name=np.array(["a", "b", "c", "d"], object))
