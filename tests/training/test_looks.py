"""Colour tables: files, applying, mixing, and what retouching draws."""

import numpy as np
import pytest

from hdnet.model.training.composites import looks, retouch
from hdnet.transforms.errors import DatasetError, StorageError


def noise(size=24):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


def write_cube(path, table):
    side = len(table)
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in table.reshape(-1, 3))
    path.write_text(f'TITLE "a look"\n# a comment\nLUT_3D_SIZE {side}\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n{rows}\n')


def warm(table):
    return np.clip(table * np.array([1.0, 0.8, 0.5]), 0, 1).astype(np.float32)


def grid(side):
    steps = np.linspace(0, 1, side, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij")[::-1], axis=-1)


def test_the_identity_changes_nothing():
    np.testing.assert_array_equal(looks.apply(noise(), looks.IDENTITY), noise())


def test_channels_keep_their_places():
    changed = looks.apply(noise(), warm(looks.IDENTITY))
    np.testing.assert_allclose(changed, noise() * [1.0, 0.8, 0.5], atol=1)


@pytest.mark.parametrize("side", [2, 17, 33])
def test_cubes_of_any_size_say_the_same(tmp_path, side):
    (tmp_path / "films").mkdir()
    write_cube(tmp_path / "films/warm.cube", warm(grid(side)))
    ((name, table),) = looks.read(tmp_path).items()
    assert name == "films/warm"
    np.testing.assert_allclose(table, warm(looks.IDENTITY), atol=1e-5)


def test_an_npz_holds_looks_by_name(tmp_path):
    tables = np.stack([looks.IDENTITY, warm(looks.IDENTITY)]).astype(np.float16)
    np.savez(tmp_path / "looks.npz", names=np.array(["none", "warm"]), lut=tables)
    found = looks.read(tmp_path / "looks.npz")
    assert list(found) == ["none", "warm"]
    np.testing.assert_allclose(found["warm"], warm(looks.IDENTITY), atol=1e-3)


def test_files_that_hold_no_looks_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no \.cube file"):
        looks.read(tmp_path)
    (tmp_path / "short.cube").write_text("LUT_3D_SIZE 3\n0 0 0\n")
    with pytest.raises(DatasetError, match=r"short\.cube"):
        looks.read(tmp_path)
    with pytest.raises(StorageError, match=r"none\.npz"):
        looks.read(tmp_path / "none.npz")
    np.savez(tmp_path / "odd.npz", names=np.array(["a"]), lut=np.zeros((1, 5, 5, 5, 3)))
    with pytest.raises(DatasetError, match=r"odd\.npz.*17"):
        looks.read(tmp_path / "odd.npz")


def test_what_is_held_out_depends_on_the_name_alone_and_is_a_twentieth():
    names = [f"source/photo{i}" for i in range(4000)]
    held_out = [name for name in names if looks.is_held_out(name)]
    assert 150 <= len(held_out) <= 250
    assert looks.is_held_out(held_out[0]) and looks.is_held_out("source/photo1") != looks.is_held_out(held_out[0])


def test_drawn_looks_lie_between_nothing_and_the_tables():
    tables = [warm(looks.IDENTITY)]
    strengths = []
    for seed in range(40):
        change = looks.Blend.draw(1, np.random.default_rng(seed)).of(tables) - looks.IDENTITY
        full = tables[0] - looks.IDENTITY
        strengths.append(float((change * full).sum() / (full * full).sum()))
    assert 0.29 <= min(strengths) < 0.45 and 0.85 < max(strengths) <= 1.0


@pytest.mark.parametrize("draw", [retouch.retouch, retouch.relight])
def test_retouching_keeps_colours_in_range_and_in_order(draw):
    for seed in range(60):
        table = draw(np.random.default_rng(seed))
        assert table.shape == looks.IDENTITY.shape and table.dtype == np.float32
        assert table.min() >= 0 and table.max() <= 1
        greys = table[range(17), range(17), range(17)].mean(axis=1)
        assert (np.diff(greys) > -0.02).all()  # brighter stays brighter


def test_nights_are_darker_than_retouched_photos():
    def lightness(draw):
        return np.array([draw(np.random.default_rng(seed)).mean() for seed in range(100)])

    assert np.percentile(lightness(retouch.relight), 20) < 0.3 < np.percentile(lightness(retouch.retouch), 20)
