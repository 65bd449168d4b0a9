"""Recolouring, flips and crops: what stays, what changes and by how much."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdnet.model.training.composites import augment, colours, illumination
from hdnet.model.training.composites.illumination import IlluminationMaps

# Photo to standard light and back, as plain gains with a little of the higher terms.
GAINS = ((1.0, 1.0, 1.0), (1.15, 0.9, 0.75), (0.8, 1.0, 1.2), (0.7, 0.75, 0.8))


def photo(size: int = 64, phase: float = 0.0) -> augment.RGB:
    y, x = np.mgrid[:size, :size] / size
    channels = (np.sin(9 * x + phase), np.cos(12 * y + phase), np.sin(6 * x + 7 * y))
    return (110 + 60 * np.stack(channels, axis=-1)).astype(np.uint8)


def square(size: int = 64) -> augment.Mask:
    mask = np.zeros((size, size), np.bool_)
    mask[size // 4 : size // 2, size // 4 : 3 * size // 4] = True
    return mask


def arrays() -> dict[str, Any]:
    forward = np.zeros((len(GAINS), 3, 11))
    reverse = np.zeros((len(GAINS), 3, 11))
    for row, gains in enumerate(GAINS):
        forward[row, :, :3], reverse[row, :, :3] = np.diag(1 / np.array(gains)), np.diag(gains)
        forward[row, 0, 3], reverse[row, 1, 8] = 1e-5, 1e-5
    names = np.array(["one", "two", "8D5U5599", "test"])
    split = np.array(["train", "train", "train", "test"])
    return {"name": names, "split": split, "to_standard": forward, "from_standard": reverse}


def load(folder: Path, **changes: Any) -> IlluminationMaps:
    kept = {key: value for key, value in (arrays() | changes).items() if value is not None}
    np.savez(folder / "maps.npz", **kept)
    return illumination.load(folder / "maps.npz", dtype=np.float32)


def recolour(recolor: augment.Recolor, seed: int, real: augment.RGB | None = None) -> augment.RGB:
    real = photo() if real is None else real
    return recolor(real, square(), photo(phase=1.0), square(), np.random.default_rng(seed))


def fmse(composite: augment.RGB, real: augment.RGB) -> float:
    return float(np.mean((composite[square()].astype(float) - real[square()]) ** 2))


@pytest.mark.parametrize("method", augment.METHOD_WEIGHTS)
def test_each_method_changes_the_foreground_by_an_accepted_amount_only(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(augment, "_shifted")  # the fallback must not be what keeps the promise
    recolor = augment.Recolor(load(tmp_path), {method: 1.0})
    for seed in range(20):
        composite = recolour(recolor, seed)
        assert 80 <= fmse(composite, photo()) <= 5000
        np.testing.assert_array_equal(composite[~square()], photo()[~square()])


def test_every_method_is_drawn_in_proportion_to_its_weight(tmp_path: Path) -> None:
    recolor, rng = augment.Recolor(load(tmp_path)), np.random.default_rng(0)
    drawn = [recolor._draw(rng) for _ in range(4000)]
    for method, weight in augment.METHOD_WEIGHTS.items():
        assert drawn.count(method) / 4000 == pytest.approx(weight, abs=0.03)


def test_without_maps_the_other_methods_share_their_weight() -> None:
    recolor, rng = augment.Recolor(), np.random.default_rng(0)
    drawn = [recolor._draw(rng) for _ in range(4000)]
    assert drawn.count("maps") == 0
    assert drawn.count("mix") / 4000 == pytest.approx(0.25 / 0.55, abs=0.03)


@pytest.mark.parametrize("weights", [{"magic": 1.0}, {"maps": 1.0}, {"lab": 0.0}, {"lab": 2.0, "mix": -1.0}])
def test_unusable_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights must name methods"):
        augment.Recolor(None, weights)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    recolor = augment.Recolor(load(tmp_path))
    assert recolour(recolor, 3).tobytes() == recolour(recolor, 3).tobytes()
    assert len({recolour(recolor, seed).tobytes() for seed in range(24)}) > 8


def test_the_real_image_is_not_written_to() -> None:
    real = photo()
    recolour(augment.Recolor(), 0, real)
    np.testing.assert_array_equal(real, photo())


@pytest.mark.parametrize("pixels", [0, augment.MIN_PIXELS - 1])
def test_an_empty_or_tiny_foreground_stays_as_it_is(pixels: int) -> None:
    mask = np.arange(64 * 64).reshape(64, 64) < pixels
    composite = augment.Recolor()(photo(), mask, photo(phase=1.0), square(), np.random.default_rng(0))
    np.testing.assert_array_equal(composite, photo())


@pytest.mark.parametrize("level", [0, 255])
def test_a_flat_foreground_and_no_donor_still_change_by_an_accepted_amount(level: int, tmp_path: Path) -> None:
    real, nobody = np.full((64, 64, 3), level, np.uint8), np.zeros((64, 64), np.bool_)
    recolor = augment.Recolor(load(tmp_path), {"maps": 1.0, "lab": 1.0})
    composite = recolor(real, square(), photo(), nobody, np.random.default_rng(0))
    assert fmse(composite, real) == 400


def test_a_donor_too_far_away_is_followed_part_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(augment, "_shifted")
    real, donor = (photo() // 4).astype(np.uint8), (200 + photo() // 5).astype(np.uint8)
    recolor = augment.Recolor(None, {"lab": 1.0})
    composite = recolor(real, square(), donor, square(), np.random.default_rng(0))
    assert composite[square()].mean() > real[square()].mean() + 10
    assert 300 <= fmse(composite, real) <= 3000


def test_a_change_that_is_too_strong_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colours, "adjust", lambda pixels, _: pixels.astype(np.float32) + 75)
    assert fmse(recolour(augment.Recolor(None, {"mix": 1.0}), 0), photo()) == 400


def as_image(mask: augment.Mask) -> augment.RGB:
    return np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255


def test_a_flip_mirrors_images_and_mask_together_half_of_the_time() -> None:
    mask = np.zeros((8, 6), np.bool_)
    mask[:, :2] = True
    flipped = 0
    for seed in range(200):
        (image, again), turned = augment.random_flip(
            (as_image(mask), as_image(mask)), mask, np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(image, as_image(turned))
        np.testing.assert_array_equal(image, again)
        flipped += int(turned[0, -1])
    assert 70 <= flipped <= 130


def test_a_crop_keeps_images_and_mask_aligned() -> None:
    mask = square(48)[:, :32]
    for seed in range(20):
        (image, again), cut = augment.random_crop((as_image(mask), as_image(mask)), mask, np.random.default_rng(seed))
        assert image.shape == (48, 32, 3) and cut.shape == (48, 32) and cut.dtype == np.bool_
        np.testing.assert_array_equal(image, again)
        assert np.mean((image[..., 0] > 127) != cut) < 0.03  # half a pixel of the edge at most
        assert cut.any() and not cut.all()


def test_a_crop_keeps_half_of_a_foreground_at_the_edge() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[:12, :12] = True
    for seed in range(20):
        _, cut = augment.random_crop((), mask, np.random.default_rng(seed))
        assert cut.sum() >= 0.45 * mask.sum()


def test_crops_differ_and_repeat_with_their_seed() -> None:
    crops = [augment.random_crop((photo(),), square(), np.random.default_rng(seed))[0][0] for seed in (0, 0, 1, 2)]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert len({crop.tobytes() for crop in crops}) == 3


def test_a_crop_box_has_half_to_all_of_the_area_and_lies_inside() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([augment._crop_box(100, 100, rng) for _ in range(300)])
    sides = boxes[:, 2:] - boxes[:, :2]
    assert boxes.min() >= 0 and boxes.max() <= 100
    assert 0.42 <= sides.prod(axis=1).min() / 1e4 < 0.6  # a clipped side can cost a little area
    assert 0.74 <= (sides[:, 1] / sides[:, 0]).min() < 0.85


def test_no_crop_where_none_would_leave_background() -> None:
    mask = np.ones((16, 16), np.bool_)
    (image,), same = augment.random_crop((photo(16),), mask, np.random.default_rng(0))
    np.testing.assert_array_equal(image, photo(16))
    assert same.all()
