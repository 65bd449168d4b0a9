"""What is left of a seam, and a harmonized object without it."""

import numpy as np
import pytest
from scipy import ndimage

from hdnet.model.harmonizer import Harmonizer
from hdnet.model.seam import correction, places
from hdnet.model.training.composites import compositing
from tests.model.test_seam import example
from tests.training.test_augment import photo


def cut(change):
    """A region of a photo, away from outlines, with other colours: composite, mask, photo."""
    real = example(3)[2]
    inside = np.zeros(real.shape[:2], np.bool_)
    inside[120:320, 180:420] = True
    return np.where(inside[..., None], np.clip(change(real.astype(np.float32)), 0, 255), real), inside, real


def error(result, real, inside):
    return float(np.square(result[inside] - real[inside].astype(np.float32)).mean())


@pytest.mark.parametrize("depth", [1, 257])
def test_a_cut_through_one_material_is_mended(depth):
    composite, inside, real = cut(lambda colours: 0.9 * colours + [8, -4, 3])
    composite = np.rint(composite)
    result = composite.astype(np.float32) * depth  # as a network would leave it that changes nothing
    dtype = np.uint16 if depth > 1 else np.uint8
    correction.correct(result, composite.astype(dtype) * dtype(depth), inside * np.uint8(255))
    assert error(result / depth, real, inside) < 0.2 * error(composite, real, inside)
    np.testing.assert_array_equal(result[~inside], composite[~inside] * depth)


@pytest.mark.parametrize("soften", [
    lambda inside: ndimage.shift(inside.astype(np.float32), 0.6, order=1),
    lambda inside: compositing.blurred(inside, 0.7),
], ids=["antialiased", "blurred"])  # fmt: skip
def test_the_seam_of_a_soft_paste_is_mended(soften):
    changed, inside, real = cut(lambda colours: 0.85 * colours + [10, 0, -6])
    alpha = soften(inside)
    inside = alpha >= 0.5
    composite = compositing.paste(real, np.rint(changed).astype(np.uint8), alpha)
    result = composite.astype(np.float32)
    correction.correct(result, composite, np.rint(255 * alpha).astype(np.uint8))
    assert error(result, real, inside) < 0.5 * error(composite, real, inside)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mixed", [[200], [100], [200, 60], [200, 130, 60], [200, 100, 60]])
def test_places_pass_over_mixed_pixels(mixed, turns):
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :30] = 255
    mask[:, 30 : 30 + len(mixed)] = mixed
    order = np.rot90(np.arange(64 * 64).reshape(64, 64), turns).reshape(-1)  # a place's pixels before the turn
    run = order[places.across_soft(np.rot90(mask, turns))] % 64
    step = len(mixed) + 1
    np.testing.assert_array_equal(run, np.tile(29 + step * np.arange(-places.REACH, places.REACH + 2), (64, 1)))


@pytest.mark.parametrize("period", [2, 3, 4, 5])
def test_places_do_not_jump_over_other_edges(period):
    assert not len(places.across_soft(np.tile(np.arange(240) % period < 1, (240, 1)) * np.uint8(255)))


def test_no_change_is_larger_than_its_bound():
    composite, inside, _ = cut(lambda colours: 0.8 * colours)
    composite = composite.astype(np.uint8)
    result = composite.astype(np.float32)
    correction.correct(result, composite, inside * np.uint8(255))
    size = np.square((result - composite)[inside]).mean() ** 0.5
    assert 0.7 * correction.MOST < size < 1.1 * correction.MOST


@pytest.mark.parametrize("deviation", [0, 0.4, 0.7, 1.5])
@pytest.mark.parametrize("number", range(8))
def test_outlines_photos_and_cut_outs_on_plain_backgrounds_are_left_alone(number, deviation):
    _, mask, reference = example(number)
    alpha = compositing.blurred(mask > 127, deviation) if deviation else (mask > 127).astype(np.float32)
    plain = (compositing.paste(np.full_like(reference, level), reference, alpha) for level in (5, 128, 250))
    for image in (reference, *plain):
        result = image.astype(np.float32)
        correction.correct(result, image, np.rint(255 * alpha).astype(np.uint8))
        np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_without_an_edge_changes_nothing(value):
    result = photo().astype(np.float32)
    correction.correct(result, photo(), np.full((64, 64), value, np.uint8))
    np.testing.assert_array_equal(result, photo())


def test_large_objects_are_changed_block_by_block(monkeypatch):
    composite, inside, _ = cut(lambda colours: 0.9 * colours)
    whole, parts = (np.rint(composite).astype(np.float32) for _ in range(2))
    seen = np.rint(composite).astype(np.uint8), inside * np.uint8(255)
    correction.correct(whole, *seen)
    monkeypatch.setattr(correction, "BLOCK", 1000)
    correction.correct(parts, *seen)
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    assert np.abs(whole - composite).max() > 1


def test_the_fit_finds_the_map_despite_outliers():
    rng = np.random.default_rng(0)
    across = rng.uniform(20, 235, (2000, 2 * places.REACH + 2, 3)).astype(np.float32)
    inner = across[:, places.EDGE]
    across[:, places.EDGE + 1] = 0.95 * inner + 6
    across[:300, places.EDGE + 1] = rng.uniform(0, 255, (300, 3))  # places of an outline
    left = np.abs(across[:, places.EDGE + 1] - inner - correction.change(inner, correction.fit(across)))
    assert left[300:].mean() < 1


def test_a_user_gets_the_mended_object():
    composite, inside, real = cut(lambda colours: 0.85 * colours + [10, 0, -6])
    composite, harmonizer = np.rint(composite).astype(np.uint8), Harmonizer.load("hdnet-lite")
    got, alone = harmonizer(composite, inside), harmonizer.colours(composite, inside * np.uint8(255))
    assert error(got, real, inside) < 0.7 * error(alone, real, inside)
