"""iHarmony4 pairs as training samples: decoded once, resized, recomposed, augmented."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from hdnet.model.training.composites import augment, compositing
from hdnet.model.training.composites.illumination import IlluminationMaps
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs import decode, header
from hdnet.transforms.codecs import mask as masks
from hdnet.transforms.codecs.picture import Header
from hdnet.transforms.errors import DatasetError, HarmonizeError, StorageError
from hdnet.transforms.pixels import image, resize

Sample = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Composite and real, (H,W,3) uint8, and mask, (H,W) bool; the trainer scales them on its device."""

Packed = npt.NDArray[np.uint8]
"""(H,W,7): composite, real, and the mask as 0 or 255."""

Cache = Literal["ram", "disk", "none"]


def split_by_photo(pairs: Sequence[Pair], fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Hold out a share of the photos: (training pairs, validation pairs), never one photo in both."""
    photos = sorted({_photo(pair) for pair in pairs})
    order = np.random.default_rng(seed).permutation(len(photos))
    held_out = {photos[i] for i in order[: round(fraction * len(photos))]}
    validation = [pair for pair in pairs if _photo(pair) in held_out]
    return [pair for pair in pairs if _photo(pair) not in held_out], validation


def check_sizes(pairs: Sequence[Pair]) -> None:
    """Read the header of every file, so that what cannot be trained on shows before the first step.

    Raises:
        DatasetError: Files cannot be read, or the files of a pair differ in size; it counts them and shows ten.
    """
    paths = list(dict.fromkeys(path for pair in pairs for path in _files(pair)))
    with ThreadPoolExecutor() as threads:
        sizes = dict(zip(paths, threads.map(_read_size, paths), strict=True))
    broken = [str(size) for size in sizes.values() if isinstance(size, Exception)]
    known = {path: size for path, size in sizes.items() if isinstance(size, Header)}
    unequal = [] if broken else [_sizes(pair, known) for pair in pairs if _differ(pair, known)]
    problems = broken or unequal
    if problems:
        kind = "files cannot be read" if broken else "pairs have files of different sizes (width, height)"
        raise DatasetError("\n  ".join([f"{len(problems)} {kind}, such as", *problems[:10]]))


def load_packed(pair: Pair, size: int) -> Packed:
    """Decode a pair at size x size; the composite's background becomes the real photo's, as in the paper.

    Raises:
        DecodeError: A file is no image, or broken.
        DatasetError: The three files have different sizes.
        StorageError: A file cannot be read.
    """
    composite, real, mask = load_pair(pair)
    composite, real = (resize.resize_image(image.to_8_bit(x), size, size) for x in (composite, real))
    inside = image.threshold(resize.resize_hard_mask(mask, size, size))[..., None]
    return np.concatenate([np.where(inside, composite, real), real, inside * np.uint8(255)], axis=2)


def load_pair(pair: Pair) -> tuple[image.Pixels, image.Pixels, image.Mask]:
    """Decode a pair as its files are: composite (H,W,3), real (H,W,3), mask (H,W).

    Raises:
        DecodeError: A file is no image, or broken.
        DatasetError: The three files have different sizes, or there is no real photo.
        StorageError: A file cannot be read.
    """
    if pair.reference is None:
        raise DatasetError(f"{pair.id}: there is no real photo beside the composite; put it in references/")
    try:
        files = [Path(path).read_bytes() for path in (pair.composite, pair.reference, pair.mask)]
    except OSError as error:
        raise StorageError(f"{pair.id}: {error}") from error
    composite, real = decode.decode_image(files[0], pair.composite), decode.decode_image(files[1], pair.reference)
    mask = masks.decode_mask(files[2], pair.mask)
    if not composite.shape[:2] == real.shape[:2] == mask.shape:
        sizes = f"composite {composite.shape[:2]}, real {real.shape[:2]}, mask {mask.shape}"
        raise DatasetError(f"{pair.id}: the three files must have one size (height, width): {sizes}")
    return composite, real, mask


def pack(pairs: Sequence[Pair], size: int, cache: Cache, folder: Path) -> "PackedPairs":
    """Decode every pair once into memory or a file, or (`none`) leave it to each access.

    Args:
        pairs: What to decode.
        size: Height and width.
        cache: "ram" (size * size * 7 bytes a pair, shared with loader processes), "disk" or "none".
        folder: Where the file of "disk" goes; one that is there for the same files is used again.

    Raises:
        HarmonizeError: As for `load_packed`, of the first pair that cannot be decoded.
    """
    shape = (len(pairs), size, size, 7)
    if cache == "none" or not pairs:
        return PackedPairs(list(pairs), size)
    if cache == "ram":
        store = torch.empty(shape, dtype=torch.uint8).share_memory_()
        _fill(store.numpy(), pairs, size)
        return PackedPairs(list(pairs), size, store=store)
    path = folder / f"cache-{_fingerprint(pairs, size)}.bin"
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        mapped = np.memmap(temporary, np.uint8, "w+", shape=shape)
        _fill(mapped, pairs, size)
        mapped.flush()
        temporary.replace(path)
    return PackedPairs(list(pairs), size, path=path)


@dataclasses.dataclass(frozen=True)
class PackedPairs:
    """Pairs at one size, decoded beforehand (into `store` or the file at `path`) or on access."""

    pairs: list[Pair]
    size: int
    store: torch.Tensor | None = None
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Packed:
        if self.store is not None:
            return self.store[index].numpy()
        if self.path is None:
            return load_packed(self.pairs[index], self.size)
        shape = (self.size, self.size, 7)
        # Mapped anew each time: a map that is kept would be copied whole into every loader process.
        return np.memmap(self.path, np.uint8, "r", offset=index * int(np.prod(shape)), shape=shape)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a sample beyond the paper, which does nothing.

    Attributes:
        flip: Mirror half of the samples.
        crop: Cut and resize a random part.
        recolor: Share of samples whose composite is made afresh from the real photo.
        illumination_maps: Measured colour maps for recolouring, or None.
        blur_edges: Share of samples whose foreground fades at its edge, and whose mask is a little off.
    """

    flip: bool = False
    crop: bool = False
    recolor: float = 0.0
    illumination_maps: IlluminationMaps | None = None
    blur_edges: float = 0.0


class TrainingSet(Dataset[Sample]):
    """Samples addressed by (epoch, index): all randomness comes from the seed and that address.

    Args:
        packed: The pairs.
        augmentation: What to do to them.
        seed: Decides the augmentation.
    """

    def __init__(self, packed: PackedPairs, augmentation: Augmentation, seed: int) -> None:
        self.packed = packed
        self.augmentation = augmentation
        self.seed = seed
        self.recolor = augment.Recolor(augmentation.illumination_maps)

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, address: tuple[int, int]) -> Sample:
        epoch, index = address
        rng = np.random.default_rng((self.seed, epoch, index))
        composite, real, mask = unpack(self.packed[index])
        fresh = rng.random() < self.augmentation.recolor
        (composite, real), mask = self._move((composite, real), mask, rng)
        if fresh:
            _, other, other_mask = unpack(self.packed[int(rng.integers(len(self)))])
            composite = self.recolor(real, mask, other, other_mask, rng)
        # Resampling mixes foreground and background at the edge: the background is the real one's again.
        composite = np.where(mask[..., None], composite, real)
        if self.augmentation.blur_edges and rng.random() < self.augmentation.blur_edges:
            composite, mask = compositing.blur_edge(composite, real, mask, rng)
        return torch.from_numpy(composite), torch.from_numpy(real.copy()), torch.from_numpy(mask.copy())

    def _move(
        self, images: tuple[augment.RGB, ...], mask: augment.Mask, rng: np.random.Generator
    ) -> tuple[tuple[augment.RGB, ...], augment.Mask]:
        if self.augmentation.flip:
            images, mask = augment.random_flip(images, mask, rng)
        if self.augmentation.crop:
            images, mask = augment.random_crop(images, mask, rng)
        return images, mask


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) from any step on, so that a resumed run sees what an unbroken one would.

    Every epoch is a permutation of its own; an incomplete last batch is dropped. With several
    processes each takes its share of every batch.

    Args:
        count: Samples in the set.
        batch: Samples a batch, over all processes; a multiple of `world`.
        epochs: Epochs in all.
        seed: Decides the permutations.
        start: Steps already done.
        rank: This process.
        world: Processes.
    """

    def __init__(
        self, *, count: int, batch: int, epochs: int, seed: int, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.count, self.batch, self.epochs, self.seed = count, batch, epochs, seed
        self.start, self.rank, self.world = start, rank, world

    @property
    def steps_per_epoch(self) -> int:
        return self.count // self.batch

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.start, self.epochs * self.steps_per_epoch):
            epoch, place = divmod(step, self.steps_per_epoch)
            if place == 0 or step == self.start:
                order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
            chosen = order[place * self.batch : (place + 1) * self.batch]
            yield [(epoch, int(i)) for i in chosen[self.rank :: self.world]]


def unpack(packed: Packed) -> tuple[augment.RGB, augment.RGB, augment.Mask]:
    """Return composite (H,W,3), real (H,W,3) and mask (H,W) of a packed pair."""
    return packed[..., :3], packed[..., 3:6], packed[..., 6] > 0


def _fill(store: npt.NDArray[np.uint8], pairs: Sequence[Pair], size: int) -> None:
    with ThreadPoolExecutor() as threads:
        for i, packed in enumerate(threads.map(lambda pair: load_packed(pair, size), pairs)):
            store[i] = packed


def _fingerprint(pairs: Sequence[Pair], size: int) -> str:
    """Return a name for these files at this size, another one as soon as a file changes."""
    digest = hashlib.sha256(str(size).encode())
    for pair in pairs:
        for path in _files(pair):
            stat = Path(path).stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(pair: Pair) -> tuple[str, str, str]:
    return pair.composite, pair.mask, pair.reference or pair.composite


def _read_size(path: str) -> Header | Exception:
    try:
        with open(path, "rb") as file:
            return header.read(file, path)
    except (HarmonizeError, OSError) as error:
        return error


def _differ(pair: Pair, known: Mapping[str, Header]) -> bool:
    return len({(known[path].width, known[path].height) for path in _files(pair)}) > 1


def _sizes(pair: Pair, known: Mapping[str, Header]) -> str:
    sizes = ", ".join(f"{Path(path).name} {(known[path].width, known[path].height)}" for path in _files(pair))
    composite, mask = known[pair.composite], known[pair.mask]
    is_as_stored = composite.orientation >= 5 and (mask.width, mask.height) == composite.stored_size
    return f"{pair.id}: {sizes}" + (f": {masks.AS_STORED.format(composite.orientation)}" if is_as_stored else "")


def _photo(pair: Pair) -> str:
    return pair.reference or pair.id
