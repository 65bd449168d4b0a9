"""The ways to recolour: what each takes, how much it changes, and what it says of itself."""

import numpy as np
import pytest

from hdnet.model.synthesis.methods import Donor, Palette
from hdnet.model.training.composites import colours, illumination, looks
from hdnet.transforms.pixels import lab

PIXELS = np.random.default_rng(0).integers(60, 180, (3, 500), np.uint8)
WARM = np.clip(looks.IDENTITY * np.array([1.0, 0.8, 0.5], np.float32), 0, 1)


def donor(name="other", low=120, high=240):
    photo = np.random.default_rng(1).integers(low, high, (30, 30, 3), np.uint8)
    return Donor.of(name, f"sha-{name}", photo, np.tri(30, dtype=np.bool_))


PALETTE = Palette(
    maps=illumination.load(), tables={"none": looks.IDENTITY, "warm": WARM}, donors=(donor(), donor("own", 0, 60))
)
SHARES = dict.fromkeys(("illumination", "camera", "lab", "histogram", "looks"), 1.0)


def make(name, seed=0, pixels=PIXELS):
    method, _ = PALETTE.methods(SHARES, "sha-own")[name]
    return method(pixels, np.random.default_rng(seed))


@pytest.mark.parametrize("name", SHARES)
def test_a_change_is_useful_repeatable_and_told(name):
    for seed in range(20):
        found, again = make(name, seed), make(name, seed)
        assert found.drawn == again.drawn and found.rejected == again.rejected
        assert found.colours is not None and again.colours is not None and found.drawn
        np.testing.assert_array_equal(found.colours, again.colours)
        assert 5 <= np.sqrt(np.mean((found.colours - PIXELS) ** 2)) <= 90
        assert found.colours.min() >= 0 and found.colours.max() <= 255


def test_a_change_can_be_repeated_from_what_is_told():
    told = dict(make("camera").drawn)
    camera = colours.Camera((told["red"], told["green"], told["blue"]), told["gamma"], told["contrast"],
                            told["saturation"])  # fmt: skip
    np.testing.assert_array_equal(make("camera").colours, np.clip(colours.adjust(PIXELS, camera), 0, 255))
    told = make("looks").drawn
    assert {"look", "strength"} <= set(told) and told["look"] in PALETTE.tables


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_camera_changes_even_a_flat_foreground(level):
    found = make("camera", pixels=np.full((3, 100), level, np.uint8))
    assert found.colours is not None and 4 <= np.sqrt(np.mean((found.colours - level) ** 2)) <= 91


def test_a_foreground_takes_another_photos_statistics_and_never_its_own():
    found = make("lab")
    assert found.drawn == {"donor": "other", "strength": 1.0}
    result, target = (lab.from_rgb(np.rint(x).astype(np.uint8)) for x in (found.colours, donor().pixels))
    np.testing.assert_allclose(result.mean(axis=1), target.mean(axis=1), atol=1)
    alone = Palette(maps=PALETTE.maps, donors=(donor("own"),)).methods(SHARES, "sha-own")
    assert alone["lab"][0](PIXELS, np.random.default_rng(0)) == illumination.Change(None, 0)


def test_a_donor_too_far_away_is_followed_part_of_the_way():
    dark = (PIXELS // 4).astype(np.uint8)
    found = make("lab", pixels=dark)
    assert 0 < found.drawn["strength"] < 1 and found.colours is not None and found.colours.mean() > dark.mean() + 10


def test_a_donor_is_a_sample_of_its_foreground():
    photo = np.arange(256, dtype=np.uint8).repeat(48).reshape(64, 64, 3)
    inside = np.zeros((64, 64), np.bool_)
    inside[32:] = True
    values = Donor.of("a", "b", photo, inside).pixels
    assert values.shape[0] == 3 and 500 < values.shape[1] <= illumination.SAMPLE and values.min() >= 128
