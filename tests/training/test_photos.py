"""Photos without composites: reading, masks, views, and trainings that use them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdnet.model.training import dataset, run
from hdnet.model.training.composites import looks, photos, region_masks
from hdnet.model.training.composites.composer import Composer
from hdnet.model.training.composites.mixture import Sources
from hdnet.model.training.composites.photos import Album, FreshComposites
from hdnet.model.training.config import TrainConfig, without_folders
from hdnet.model.weights import weights_file
from hdnet.transforms.catalog import layouts
from hdnet.transforms.errors import DatasetError, HarmonizeError
from tests.samples import write_iharmony4
from tests.training.test_training import recipe, same, tensors, train_until

CPU = torch.device("cpu")
SIZE = 40, 56


def segments(height=SIZE[0], width=SIZE[1]):
    """Four quarters, numbered 1 to 4, beside a strip that is none of them."""
    labels = np.zeros((height, width), np.uint8)
    labels[: height // 2, : width // 2], labels[: height // 2, width // 2 : -6] = 1, 2
    labels[height // 2 :, : width // 2], labels[height // 2 :, width // 2 : -6] = 3, 4
    return labels


def write_photos(root, count=24):
    rng = np.random.default_rng(0)
    for source in ("objects", "regions"):
        for folder in ("real_images", "masks"):
            (root / folder / source).mkdir(parents=True)
        for i in range(count):
            real = np.clip(rng.normal(128, 50, (5, 7, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(real).resize(SIZE[::-1]).save(root / f"real_images/{source}/p{i}.webp", lossless=True)
            labels = segments() if source == "regions" else (segments() == 1) * np.uint8(255)
            Image.fromarray(labels).save(root / f"masks/{source}/p{i}.png")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos") / "pool")


@pytest.fixture(scope="module")
def fresh(folder):
    return FreshComposites(Album.decode(photos.read(folder)), Composer(), 32)


@pytest.fixture
def mixed(folder, tmp_path):
    data = write_iharmony4(tmp_path / "data")
    return recipe(data, photos={str(folder): 0.2}, epochs=1, val_fraction=0.34)


def test_photos_are_listed_with_source_and_held_out_by_name(folder):
    found = photos.read(folder)
    assert len(found) == 48 and {photo.source for photo in found} == {"objects", "regions"}
    assert 1 <= sum(photo.held_out for photo in found) <= 8
    assert {photo.id: photo.held_out for photo in found} == {photo.id: photo.held_out for photo in photos.read(folder)}


def test_the_photos_of_pairs_are_held_out_with_the_pairs(tmp_path):
    data = write_iharmony4(tmp_path / "data", photos=40)
    found = photos.read(data)
    assert len(found) == 40 and any(photo.held_out for photo in found)
    sources = Sources(recipe(data, photos={str(data): 1.0}))
    kept, held_out = sources.split(layouts.read_iharmony4(data, "train"))
    assert len(held_out) == 2 * sum(photo.held_out for photo in found) and len(kept) == 80 - len(held_out)
    assert sources.visits == [len(kept) // 2]
    trained_on = {photo.real for photo in sources.training[str(data)]}
    assert trained_on == {pair.reference for pair in kept} and not trained_on & {p.reference for p in held_out}


def test_what_is_missing_or_does_not_fit_is_named(folder, tmp_path):
    with pytest.raises(DatasetError, match="real_images"):
        photos.read(tmp_path)
    write_photos(tmp_path, 1)
    (tmp_path / "masks/regions/p0.png").unlink()
    with pytest.raises(DatasetError, match=r"p0\.png is missing"):
        photos.read(tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "masks/regions/p0.png")
    with pytest.raises(DatasetError, match=r"regions/p0: the photo is \(40, 56\)"):
        Album.decode(photos.read(tmp_path))


def test_an_album_gives_back_what_was_decoded_and_shrinks_large_photos(folder):
    found = photos.read(folder)
    album = Album.decode(found)
    for i in (0, 30, 47):
        real, labels = album[i]
        np.testing.assert_array_equal(real, np.asarray(Image.open(found[i].real)))
        np.testing.assert_array_equal(labels, np.asarray(Image.open(found[i].mask)))
    assert Album.decode(found, largest=20)[30][0].shape == (20, 28, 3)
    assert set(np.unique(Album.decode(found, largest=20)[30][1])) <= {0, 1, 2, 3, 4}


def test_masks_are_the_object_or_a_union_of_neighbours_and_a_few_are_shapes():
    draws = [region_masks.draw(segments(), np.random.default_rng(seed)) for seed in range(200)]
    counts = [len(np.unique(segments()[mask])) for mask in draws]
    whole = [np.isin(segments(), np.unique(segments()[mask])).sum() == mask.sum() for mask in draws]
    assert 0.85 <= np.mean(whole) <= 0.97
    assert {count for count, is_whole in zip(counts, whole, strict=True) if is_whole} == {1, 2, 3}
    object_only = segments() // 4 * np.uint8(255)
    masks = [region_masks.draw(object_only, np.random.default_rng(seed)) for seed in range(50)]
    assert np.mean([np.array_equal(mask, object_only > 0) for mask in masks]) > 0.8


def test_a_photo_without_a_segment_gets_a_shape():
    for seed in range(20):
        mask = region_masks.draw(np.zeros(SIZE, np.uint8), np.random.default_rng(seed))
        assert mask.dtype == np.bool_ and 0.005 < mask.mean() < 0.9


def test_views_keep_photo_and_mask_together():
    mask = segments() == 2
    real = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    mirrored = 0
    for seed in range(60):
        photo, shown = photos.draw_view(real, mask, 32, np.random.default_rng(seed))
        assert photo.shape == (32, 32, 3) and shown.shape == (32, 32)
        assert np.mean((photo[..., 0] >= 128) != (shown >= 0.5)) < 0.05
        assert 0 < np.mean(shown >= 0.5) <= 0.75
        mirrored += int(np.argmax(shown.sum(axis=0)) < 8)
    assert mirrored  # the right half's mask is on the left in some


def test_samples_differ_by_visit_and_repeat_by_address(fresh):
    one, again, other = (fresh(3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(x.tobytes() == y.tobytes() for x, y in zip(one, again, strict=True))
    assert one[0].tobytes() != other[0].tobytes()
    for index in range(40):
        composite, target, mask = fresh(index, np.random.default_rng(index))
        assert composite.shape == target.shape == (32, 32, 3) and mask.shape == (32, 32)
        np.testing.assert_array_equal(composite[~mask], target[~mask])


def test_an_epoch_has_every_pair_and_as_many_visits_as_the_weights_say(mixed):
    sources = Sources(mixed)
    pairs, _ = dataset.split_by_photo(layouts.read_iharmony4(Path(mixed.data), "train"), 0.0, 0)
    packed = dataset.pack(pairs, 16, "ram", Path(mixed.data))
    mixture = sources.mixture(dataset.TrainingSet(packed, dataset.Augmentation(), 0), sources.composer(None))
    assert len(mixture) == len(pairs) + round(0.2 * len(sources.training[next(iter(mixed.photos))]))
    np.testing.assert_array_equal(mixture[0, 2][0], packed[2][..., :3])
    first, second = (mixture[epoch, len(mixture) - 1] for epoch in (0, 1))
    assert first[0].shape == (16, 16, 3) and not torch.equal(first[0], second[0])


def test_a_resumed_mixture_gives_the_numbers_of_an_unbroken_one(mixed, tmp_path, monkeypatch):
    run.train(mixed, tmp_path / "whole", device=CPU)
    train_until(monkeypatch, mixed, tmp_path / "broken", 5)
    run.train(mixed, tmp_path / "broken", device=CPU, resume=True)
    assert same(*(tensors(tmp_path / run / "best.safetensors") for run in ("whole", "broken")))
    assert (tmp_path / "whole/metrics.csv").read_text() == (tmp_path / "broken/metrics.csv").read_text()


def test_a_loader_process_makes_the_same_composites(mixed, tmp_path):
    alone = run.train(dataclasses.replace(mixed, epochs=1), tmp_path / "alone", device=CPU)
    loaded = run.train(dataclasses.replace(mixed, epochs=1, workers=1), tmp_path / "loaded", device=CPU)
    assert same(tensors(alone), tensors(loaded))


def test_other_photos_are_another_run(mixed, tmp_path):
    run.train(mixed, tmp_path / "run", device=CPU)
    fewer = write_photos(tmp_path / "fewer", 12)
    mixed.photos.clear()
    mixed.photos[str(fewer)] = 0.2
    with pytest.raises(HarmonizeError, match="photos_sha256"):
        run.train(mixed, tmp_path / "run", device=CPU, resume=True)


def test_validation_has_one_composite_a_held_out_photo_the_same_every_time(fresh):
    one, two = (photos.validation_set(fresh, 7) for _ in range(2))
    assert len(one) == 48 and one.size == 32
    assert all(one[i].tobytes() == two[i].tobytes() for i in range(48))
    for i in range(48):
        composite, target, mask = dataset.unpack(one[i])
        np.testing.assert_array_equal(composite[~mask], target[~mask])


def test_photos_alone_are_enough_to_train_on(folder, tmp_path):
    config = recipe(None, photos={str(folder): 0.2}, epochs=1)
    config = dataclasses.replace(config, data=None)
    run.train(config, tmp_path / "run", device=CPU)
    assert weights_file.read_header(tmp_path / "run/best.safetensors")["training_data"]["pairs"] == 9


def test_nothing_to_train_on_is_refused(folder):
    with pytest.raises(ValueError, match="nothing to train on"):
        TrainConfig()
    with pytest.raises(ValueError, match="looks"):
        TrainConfig(data="", looks=("film.npz",))
    with pytest.raises(ValueError, match="weights above 0"):
        TrainConfig(photos={str(folder): 0.0})


def test_a_card_names_no_folders(folder, tmp_path):
    np.savez(tmp_path / "film.npz", names=np.array(["none"]), lut=looks.IDENTITY[None])
    config = TrainConfig(data=None, photos={str(folder): 2.0}, looks=(str(tmp_path / "film.npz"),))
    plain = without_folders(config.to_json())
    assert plain["photos"] == {"pool": 2.0} and plain["looks"] == ["film.npz"] and str(tmp_path) not in str(plain)
