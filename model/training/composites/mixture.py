"""A training set of pairs and of photos whose composites are made afresh, and what of both is held out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from hdnet.model.training import dataset
from hdnet.model.training.composites import looks, photos
from hdnet.model.training.composites.composer import Composer
from hdnet.model.training.composites.illumination import IlluminationMaps
from hdnet.model.training.composites.photos import Album, FreshComposites, Photo
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.dataset import PackedPairs, Sample, TrainingSet
from hdnet.transforms.catalog.manifest import Pair


class Mixture(Dataset[Sample]):
    """Pairs, each once an epoch, and then visits to photos drawn at random, as many an epoch as their weights say.

    Args:
        pairs: The pairs.
        fresh: Makes composites of each folder's photos.
        visits: An epoch, of each folder.
        seed: Decides all randomness, together with the address (epoch, index).
    """

    def __init__(self, pairs: TrainingSet, fresh: Sequence[FreshComposites], visits: Sequence[int], seed: int) -> None:
        self.pairs, self.fresh, self.seed = pairs, fresh, seed
        self.ends = np.cumsum([len(pairs), *visits])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, address: tuple[int, int]) -> Sample:
        epoch, index = address
        part = int(np.searchsorted(self.ends, index, side="right"))
        if part == 0:
            return self.pairs[address]
        rng = np.random.default_rng((self.seed, epoch, index))
        fresh = self.fresh[part - 1]
        composite, target, mask = fresh(int(rng.integers(len(fresh.album))), rng)
        return torch.from_numpy(composite.copy()), torch.from_numpy(target.copy()), torch.from_numpy(mask.copy())


class Sources:
    """The photos of a recipe, divided into those to train on and those held out.

    Args:
        config: The recipe.

    Raises:
        HarmonizeError: As for `photos.read` and `looks.read`.
    """

    def __init__(self, config: TrainConfig) -> None:
        found = {folder: photos.read(Path(folder)) for folder in config.photos}
        self.config = config
        self.training = {folder: [photo for photo in part if not photo.held_out] for folder, part in found.items()}
        self.held_out = [photo for part in found.values() for photo in part if photo.held_out]
        self.visits = [round(config.photos[folder] * len(part)) for folder, part in self.training.items()]

    def split(self, pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
        """Divide pairs into those to train on and those held out.

        With photos in the recipe by the photos' own rule, for one photo may be in both, else by `val_fraction`.
        """
        if not self.config.photos:
            return dataset.split_by_photo(pairs, self.config.val_fraction, self.config.seed)
        held_out = [pair for pair in pairs if photos.of_pair(pair).held_out]
        return [pair for pair in pairs if not photos.of_pair(pair).held_out], held_out

    def digest(self) -> str:
        """Return what tells these photos from others, wherever they lie."""
        names = [photo.id for part in self.training.values() for photo in part]
        return hashlib.sha256("\n".join([*names, *map(str, self.visits)]).encode()).hexdigest()

    def composer(self, maps: IlluminationMaps | None) -> Composer:
        """Return what makes composites, with all looks that are not held out."""
        tables = {name: table for path in self.config.looks for name, table in looks.read(path).items()}
        return Composer(maps=maps, tables=[table for name, table in tables.items() if not looks.is_held_out(name)])

    def mixture(self, pairs: TrainingSet, composer: Composer) -> Mixture:
        """Decode the photos to train on, and join them to the pairs."""
        fresh = [self._fresh(part, composer) for part in self.training.values()]
        return Mixture(pairs, fresh, self.visits, self.config.seed)

    def validation(self, pairs: PackedPairs, composer: Composer) -> PackedPairs:
        """Join one composite of each held-out photo to the held-out pairs."""
        if not self.held_out:
            return pairs
        made = photos.validation_set(self._fresh(self.held_out, composer), self.config.seed)
        assert made.store is not None
        kept = [torch.from_numpy(np.array(pairs[i]))[None] for i in range(len(pairs))]
        return PackedPairs([*pairs.pairs, *made.pairs], pairs.size, store=torch.cat([*kept, made.store]))

    def _fresh(self, part: Sequence[Photo], composer: Composer) -> FreshComposites:
        return FreshComposites(Album.decode(part), composer, self.config.size)
