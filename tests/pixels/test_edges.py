"""Soft edges."""

import time

import numpy as np

from hdnet.transforms.pixels import edges, tensor


def soft_disc(size=40):
    rows, columns = np.mgrid[:size, :size] - size / 2
    return (np.clip((12 - np.hypot(rows, columns)) / 6, 0, 1) * 255).astype(np.uint8)


def test_a_soft_edge_blends_as_if_the_layers_had_been_kept():
    mask = soft_disc()
    share = mask[..., None] / 255
    old, new, back = 80.0, 140.0, 200.0
    composite = np.rint(share * old + (1 - share) * back).repeat(3, 2).astype(np.uint8)
    result = composite.astype(np.float32)
    result[mask >= 128] += new - old
    edges.carry_outward(result, composite, mask)
    blended = tensor.blend(composite, result, mask)
    assert np.abs(blended - (share * new + (1 - share) * back)).max() <= 1


def test_only_soft_pixels_are_written_and_none_is_left_out():
    mask = soft_disc()
    composite = np.full((40, 40, 3), 100, np.uint8)
    result = np.where(mask[..., None] >= 128, np.float32(130), np.float32(100)).repeat(3, 2)
    before = result.copy()
    edges.carry_outward(result, composite, mask)
    outside = (mask == 0) | (mask >= 128)
    assert np.array_equal(result[outside], before[outside])
    assert np.allclose(result[~outside], 130)


def test_soft_parts_away_from_any_foreground_keep_their_colours():
    mask = np.full((9, 9), 60, np.uint8)
    composite, result = np.full((9, 9, 3), 50, np.uint8), np.full((9, 9, 3), 50, np.float32)
    edges.carry_outward(result, composite, mask)
    assert (result == 50).all()


def test_the_cost_does_not_grow_with_the_width_of_the_soft_part():
    mask = np.full((1024, 1024), 100, np.uint8)
    mask[:8, :8] = 255
    composite, result = np.full((1024, 1024, 3), 50, np.uint8), np.full((1024, 1024, 3), 50, np.float32)
    result[:8, :8] = 70
    began = time.process_time()
    edges.carry_outward(result, composite, mask)
    assert time.process_time() - began < 5  # ring by ring over all soft pixels it would be minutes
    assert (result[: 8 + edges.REACH, : 8 + edges.REACH] == 70).all() and (result[200:] == 50).all()
