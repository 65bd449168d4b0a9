"""Pastes whose seams tell nothing, and masks that are a little off."""

import numpy as np
import pytest

from hdnet.model.training.composites import compositing
from hdnet.model.training.composites.composer import Composer
from tests.training.test_augment import photo, square

OBJECT = (200, 40, 40)


def with_object(size=64):
    real = photo(size)
    real[square(size)] = OBJECT
    return real


def draws(count=60):
    return [np.random.default_rng(seed) for seed in range(count)]


def test_growing_and_shrinking_are_by_pixels():
    rows = [np.flatnonzero(compositing.grown(square(), pixels).any(axis=1)) for pixels in (-2, -1, 0, 1, 2.5)]
    assert [(r[0], r[-1]) for r in rows] == [(18, 29), (17, 30), (16, 31), (15, 32), (14, 33)]
    assert not compositing.grown(np.zeros((8, 8), bool), 3).any() and compositing.grown(np.ones((8, 8), bool), -3).all()


def test_a_refilled_hole_holds_the_background_around_it_only():
    hole = compositing.grown(square(), 2)
    filled = compositing.refilled(with_object(), hole)
    np.testing.assert_array_equal(filled[~hole], with_object()[~hole])
    assert not (filled == OBJECT).all(axis=-1).any()
    background = {tuple(pixel) for pixel in photo()[~hole]}
    assert all(tuple(pixel) in background for pixel in filled[hole])


def test_pastes_are_hard_soft_or_cut_out():
    kinds = dict.fromkeys(compositing.EDGES, 0)
    for rng in draws(200):
        base, alpha = compositing.draw_paste(with_object(), square().astype(np.float32), rng)
        assert alpha.min() >= 0 and alpha.max() == 1 and not alpha[0].any()
        if not np.array_equal(base, with_object()):
            kinds["cut out"] += 1
            assert not (base[alpha > 0] == OBJECT).all(axis=-1).any()  # nothing of the old object shines through
        else:
            kinds["hard" if set(np.unique(alpha)) == {0, 1} else "soft"] += 1
    assert all(abs(count / 200 - compositing.EDGES[name]) < 0.1 for name, count in kinds.items())


def test_half_of_the_seen_masks_are_off_by_up_to_three_pixels():
    alpha = square().astype(np.float32)
    seen = [compositing.seen_mask(alpha, rng) for rng in draws(200)]
    off = [mask for mask in seen if not np.array_equal(mask, square())]
    assert 60 <= len(off) <= 110
    assert all(compositing.grown(square(), 4.3)[mask].all() for mask in off)
    assert all(mask[compositing.grown(square(), -4.3)].all() for mask in off)


def test_a_tiny_mask_is_seen_at_all():
    alpha = np.zeros((32, 32), np.float32)
    alpha[10:14, 10:14] = 1
    assert all(np.count_nonzero(compositing.seen_mask(alpha, rng)) >= 10 for rng in draws())


def test_a_paste_leaves_what_is_not_covered():
    alpha = compositing.blurred(square(), 1.5)
    result = compositing.paste(photo(), np.zeros_like(photo()), alpha)
    np.testing.assert_array_equal(result[alpha == 0], photo()[alpha == 0])
    np.testing.assert_array_equal(result[alpha == 1], 0)


def test_blurred_edges_fade_inwards_and_masks_move_both_ways_by_a_few_pixels():
    real, moves = photo(), []
    composite = np.where(square()[..., None], real + 50, real).astype(np.uint8)
    for seed in range(40):
        faded, mask = compositing.blur_edge(composite, real, square(), np.random.default_rng(seed))
        change = faded.astype(int) - real
        assert not change[~square()].any() and change.max() == 50 and change.min() >= 0
        rows = np.flatnonzero(mask.any(axis=1))
        moves.append(16 - rows[0])
        assert abs(16 - rows[0]) <= 4 and abs(31 - rows[-1]) <= 4
    assert min(moves) < 0 < max(moves)


def test_a_mask_is_never_blurred_away():
    mask = np.zeros((64, 64), np.bool_)
    mask[20:24, 20:24] = True
    for seed in range(40):
        _, moved = compositing.blur_edge(photo(), photo(), mask, np.random.default_rng(seed))
        assert np.count_nonzero(moved) >= 10


def test_a_gain_field_is_smooth_and_within_a_stop():
    grey = np.full((64, 64, 3), 100, np.uint8)
    for rng in draws(20):
        field = compositing.gain_field(grey, rng).astype(int)
        assert field.min() >= 70 and field.max() <= 140 and np.ptp(field) > 0
        assert np.abs(np.diff(field, axis=0)).max() <= 12


@pytest.fixture(scope="module")
def composed():
    composer, rng = Composer(), np.random.default_rng(1)
    return [composer(with_object(), square().astype(np.float32), photo(phase=1.0), square(), rng) for _ in range(150)]


def test_composite_and_target_differ_inside_the_mask_alone(composed):
    for composite, target, mask in composed:
        assert composite.shape == target.shape == (64, 64, 3) and composite.dtype == target.dtype == np.uint8
        assert mask.shape == (64, 64) and mask.dtype == np.bool_ and mask.any()
        np.testing.assert_array_equal(composite[~mask], target[~mask])


def test_some_composites_are_right_already_and_none_is_beyond_repair(composed):
    errors = np.array([np.mean((c[m].astype(float) - t[m]) ** 2) for c, t, m in composed])
    assert 0.04 <= np.mean(errors < 5) <= 0.3
    assert np.percentile(errors, 60) > 150 and errors.max() < 12000


def test_the_same_generator_composes_the_same_bytes():
    one, two = (
        Composer()(with_object(), square().astype(np.float32), photo(), square(), np.random.default_rng(5))
        for _ in range(2)
    )
    assert all(x.tobytes() == y.tobytes() for x, y in zip(one, two, strict=True))
