"""Masks that are a little off the paste's edge."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from hdnet.model.harmonizer import Harmonizer
from hdnet.model.seam import alignment, places
from hdnet.model.training.composites import compositing
from tests.training.test_augment import photo, square

CATALOG = Path(__file__).parents[2] / "examples" / "catalog"


def example(number):
    with open(CATALOG / "manifest.csv", newline="") as file:
        row = list(csv.DictReader(file))[number]
    return [np.asarray(Image.open(CATALOG / row[name])) for name in ("composite", "mask", "reference")]


def pasted():
    """A photo in which a square is half as bright as it was."""
    return np.where(square()[..., None], photo() // 2, photo())


@pytest.mark.parametrize("depth", [1, 257])
@pytest.mark.parametrize("off", [-3, -2, -1, 0, 1, 2, 3])
def test_the_pastes_edge_is_found(off, depth):
    composite, mask, _ = example(0)
    wrong = compositing.grown(mask > 127, off) * np.uint8(255)
    assert alignment.edge_offset(composite.astype(np.uint16) * depth if depth > 1 else composite, wrong) == -off


@pytest.mark.parametrize("corners", [1, 2], ids=["diamond", "square"])
@pytest.mark.parametrize("off", [-2, -1, 1, 2])
def test_the_mask_is_moved_to_it(off, corners):
    change = ndimage.binary_dilation if off > 0 else ndimage.binary_erosion
    wrong = change(square(), ndimage.generate_binary_structure(2, corners), abs(off))
    assert (alignment.seen_mask(pasted(), wrong * np.uint8(255)) == square() * 255).all()


@pytest.mark.parametrize("width", [1, 2, 3])
def test_an_object_keeps_its_frame(width):
    composite, inside = np.where(square()[..., None], np.uint8(30), photo()), square()
    core = ndimage.binary_erosion(inside, iterations=width)
    framed = np.where(core[..., None], photo() // 2 + 120, composite).astype(np.uint8)
    assert alignment.edge_offset(framed, inside * np.uint8(255)) == 0


def test_a_mask_of_which_nothing_would_be_left_is_seen_as_it_is():
    composite, mask = np.full((200, 200, 3), 90, np.uint8), np.zeros((200, 200), np.uint8)
    for left in range(10, 190, 20):
        mask[10:190, left : left + 8] = 255
        composite[10:190, left + 3 : left + 5] = 10
    assert alignment.seen_mask(composite, mask).any()


def test_a_right_mask_is_seen_as_it_is():
    for number in range(8):
        composite, mask, reference = example(number)
        assert alignment.seen_mask(composite, mask) is mask and alignment.edge_offset(reference, mask) == 0


@pytest.mark.parametrize("off", [-2, 0])
def test_a_soft_mask_is_seen_as_it_is(off):
    mask = np.rint(255 * compositing.blurred(compositing.grown(square(), off), 1.5)).astype(np.uint8)
    assert alignment.seen_mask(pasted(), mask) is mask


@pytest.mark.parametrize("inside", [
    np.zeros((64, 64), np.bool_), np.ones((64, 64), np.bool_), np.eye(64, dtype=np.bool_),
    np.indices((64, 64)).sum(0) % 2 == 0,
], ids=["empty", "full", "a line", "every other pixel"])  # fmt: skip
def test_without_an_edge_nothing_is_found(inside):
    assert alignment.edge_offset(pasted(), inside * np.uint8(255)) == 0


def test_flat_and_tiny_images_have_no_paste():
    assert alignment.edge_offset(np.full((64, 64, 3), 90, np.uint8), square() * np.uint8(255)) == 0
    for shape in ((1, 1), (1, 9), (2, 64)):
        mask = np.zeros(shape, np.uint8)
        mask[:, shape[1] // 2 :] = 255
        assert alignment.edge_offset(np.zeros((*shape, 3), np.uint8), mask) == 0


def test_lines_are_left_out_of_large_images(monkeypatch):
    monkeypatch.setattr(places, "LINES", 64)
    composite, mask, _ = example(0)
    assert alignment.edge_offset(composite, compositing.grown(mask > 127, 2) * np.uint8(255)) == -2


@pytest.mark.parametrize("off", [-2, 2])
def test_nothing_outside_the_mask_changes_and_the_object_comes_out_closer(off, monkeypatch):
    composite, mask, reference = example(0)
    wrong = compositing.grown(mask > 127, off)
    harmonizer = Harmonizer.load("hdnet-lite")
    result = harmonizer(composite, wrong)
    assert (result[~wrong] == composite[~wrong]).all()
    ring = wrong & (mask == 0)
    assert (result[ring] == composite[ring]).all(axis=1).sum() >= 0.9 * ring.sum()
    monkeypatch.setattr(alignment, "RATIO", np.inf)
    before = harmonizer(composite, wrong)
    errors = [np.square(image - reference.astype(np.float32))[mask > 127].mean() for image in (result, before)]
    assert errors[0] < 0.8 * errors[1]
