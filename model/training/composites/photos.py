"""Photos with masks and no composites as training samples: every visit makes a fresh composite.

Three layouts are read: `real_images/<source>/<name>.<suffix>` beside `masks/<source>/<name>.png` (see
`region_masks.Labels`); iHarmony4's, of which the train list's photos and masks are taken; and a list, photos.json, as
`hdnet.model.training.kit` writes it. Some photos are held out from every training by a hash of their source and name.
"""

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hdnet.model.training import dataset
from hdnet.model.training.composites import looks, region_masks
from hdnet.model.training.composites.augment import RGB, Mask
from hdnet.model.training.composites.composer import Composer
from hdnet.model.training.composites.region_masks import OBJECT, Labels
from hdnet.transforms.catalog import layouts
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs import decode
from hdnet.transforms.codecs import mask as masks
from hdnet.transforms.errors import DatasetError, StorageError
from hdnet.transforms.pixels import image, resize
from hdnet.transforms.pixels.lab import Floats

LIST = "photos.json"
STORED = 256
"""Pixels of the shorter side at most, of photos in memory."""
SMALLEST_CROP = 0.5
"""Share of a photo's shorter side that a crop has at least; it also has three quarters of the pixels shown."""
MAX_TRIES = 10
SHRUNK, SCALES = 0.2, (0.4, 0.9)
"""Share of the composites that are made larger and then scaled, and by how much."""


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo's files.

    Attributes:
        id: Source, name and, where a photo has several masks, which of them.
        source: Kind of photo, such as the data set it comes from.
        real: Path of the photo.
        mask: Path of the mask or the segment map.
        segments: Whether the mask's values are numbers of segments.
    """

    id: str
    source: str
    real: str
    mask: str
    segments: bool

    @property
    def held_out(self) -> bool:
        """Whether no training may see it."""
        return looks.is_held_out(f"{self.source}/{Path(self.real).stem}")


def read(root: Path) -> list[Photo]:
    """List a folder's photos, held out or not, in any of the layouts.

    Raises:
        DatasetError: There is no photo, or one has no mask.
        ManifestError: As for `layouts.read_iharmony4`.
    """
    if (root / LIST).exists():
        listed = (Photo(**fields) for fields in json.loads((root / LIST).read_text()))
        return [
            dataclasses.replace(photo, real=str(root / photo.real), mask=str(root / photo.mask)) for photo in listed
        ]
    if (root / "IHD_train.txt").exists():
        pairs = {(pair.reference, pair.mask): pair for pair in layouts.read_iharmony4(root, "train")}
        return [of_pair(pair) for pair in pairs.values()]
    found = []
    for path in sorted((root / "real_images").rglob("[!.]*.*")):
        name = path.relative_to(root / "real_images").with_suffix("")
        mask = root / "masks" / f"{name}.png"
        if not mask.exists():
            raise DatasetError(f"{root}: {path.name} has no mask: {mask} is missing")
        found.append(Photo(name.as_posix(), name.parent.as_posix(), str(path), str(mask), True))
    if not found:
        raise DatasetError(f"{root}: neither {LIST} nor IHD_train.txt nor photos in real_images/<source>/")
    return found


def of_pair(pair: Pair) -> Photo:
    """Take the real photo and the mask of a pair."""
    if pair.reference is None:
        raise DatasetError(f"{pair.id}: there is no real photo beside the composite")
    return Photo(pair.id.rpartition("_")[0], pair.group, pair.reference, pair.mask, False)


def load(photo: Photo, largest: int = STORED) -> tuple[RGB, Labels]:
    """Decode a photo and its mask, the shorter side at most `largest`.

    Raises:
        DecodeError: A file is no image, or broken.
        DatasetError: The two have different sizes.
        StorageError: A file cannot be read.
    """
    try:
        files = Path(photo.real).read_bytes(), Path(photo.mask).read_bytes()
    except OSError as error:
        raise StorageError(f"{photo.id}: {error}") from error
    real = image.to_8_bit(decode.decode_image(files[0], photo.real))
    # Labels are no soft mask: the reader of masks refuses them.
    read = _read_labels if photo.segments else masks.decode_mask
    labels = read(files[1], photo.mask)
    if real.shape[:2] != labels.shape:
        raise DatasetError(f"{photo.id}: the photo is {real.shape[:2]} (height, width), its mask {labels.shape}")
    if not photo.segments:
        labels = image.threshold(labels) * np.uint8(OBJECT)
    scale = largest / min(labels.shape)
    if scale < 1:
        height, width = (round(side * scale) for side in labels.shape)
        real, labels = resize.resize_image(real, height, width), resize.resize_hard_mask(labels, height, width)
    return real, labels


def _read_labels(data: bytes, name: str) -> Labels:
    return image.to_8_bit(decode.decode_image(data, name)[..., 0])


@dataclasses.dataclass(frozen=True)
class Album:
    """Decoded photos with their labels, in one piece of memory that loader processes share.

    Attributes:
        photos: Which they are.
        values: uint8, all photos' (H,W,4) one after the other.
        places: (N,3) offset, height and width of each.
    """

    photos: list[Photo]
    values: torch.Tensor
    places: torch.Tensor

    @classmethod
    def decode(cls, photos: Sequence[Photo], largest: int = STORED) -> "Album":
        """Decode photos.

        Raises:
            HarmonizeError: As for `load`, of the first photo that cannot be decoded.
        """
        with ThreadPoolExecutor() as threads:
            decoded = [np.dstack(parts) for parts in threads.map(lambda photo: load(photo, largest), photos)]
        ends = np.cumsum([0, *(part.size for part in decoded)])
        values = torch.empty(int(ends[-1]), dtype=torch.uint8).share_memory_()
        for part, start in zip(decoded, ends, strict=False):
            values[start : start + part.size] = torch.from_numpy(part).flatten()
        places = torch.tensor([[start, *part.shape[:2]] for start, part in zip(ends, decoded, strict=False)])
        return cls(list(photos), values, places.reshape(-1, 3))

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[RGB, Labels]:  # (H,W,3), (H,W)
        start, height, width = self.places[index].tolist()
        part = self.values[start : start + height * width * 4].view(height, width, 4).numpy()
        return part[..., :3], part[..., 3]


@dataclasses.dataclass(frozen=True)
class FreshComposites:
    """Draws samples from photos.

    Attributes:
        album: The photos.
        composer: Makes the composites.
        size: Height and width of the samples.
    """

    album: Album
    composer: Composer
    size: int

    def __call__(self, index: int, rng: np.random.Generator) -> tuple[RGB, RGB, Mask]:
        """Return composite (S,S,3), target (S,S,3) and mask (S,S) of a photo."""
        real, labels = self.album[index]
        size = self._working_size(min(labels.shape), rng)
        photo, mask = draw_view(real, region_masks.draw(labels, rng), size, rng)
        donor, donor_labels = self.album[int(rng.integers(len(self.album)))]
        parts = self.composer(photo, mask, donor, donor_labels == _first_label(donor_labels), rng)
        if size == self.size:
            return parts
        composite, target = (resize.resize_image(part, self.size, self.size) for part in parts[:2])
        seen = np.asarray(Image.fromarray(parts[2]).convert("L").resize((self.size,) * 2, Image.Resampling.BOX)) >= 128
        return composite, np.where(seen[..., None], target, composite), seen

    def _working_size(self, available: int, rng: np.random.Generator) -> int:
        """Return the size at which to paste, larger than the sample's where it is scaled afterwards."""
        if rng.random() >= SHRUNK:
            return self.size
        return max(self.size, min(available, round(self.size / rng.uniform(*SCALES))))


def draw_view(real: RGB, mask: Mask, size: int, rng: np.random.Generator) -> tuple[RGB, Floats]:
    """Cut a random part out of a photo and its mask, show it at size x size, and mirror half of them.

    A part keeps at least half of the foreground, and background too; where ten draws find none, it is all.

    Returns:
        (size,size,3), and the mask (size,size) in [0, 1].
    """
    height, width = mask.shape
    count = np.count_nonzero(mask)
    box = (0, 0, width, height)
    for _ in range(MAX_TRIES):
        left, top, right, bottom = _draw_box(height, width, size, rng)
        part = mask[top:bottom, left:right]
        inside = np.count_nonzero(part)
        if 2 * inside >= count and inside <= region_masks.LARGEST * part.size:
            box = (left, top, right, bottom)
            break
    photo = np.asarray(Image.fromarray(real).resize((size, size), Image.Resampling.BICUBIC, box))
    picture = Image.fromarray(mask).convert("L").resize((size, size), Image.Resampling.BILINEAR, box)
    shown = np.asarray(picture, np.float32) / np.float32(255)
    if rng.random() < 0.5:
        photo, shown = np.ascontiguousarray(photo[:, ::-1]), np.ascontiguousarray(shown[:, ::-1])
    return photo, shown


def _draw_box(height: int, width: int, size: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    shorter = min(height, width)
    side = shorter * rng.uniform(min(1.0, max(SMALLEST_CROP, 0.75 * size / shorter)), 1.0)
    stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
    rows, columns = min(height, round(side / stretch)), min(width, round(side * stretch))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    return left, top, left + columns, top + rows


def _first_label(labels: Labels) -> int:
    """Return the lowest label there is, of which a donor's statistics are taken."""
    return int(np.flatnonzero(np.bincount(labels[::4, ::4].ravel(), minlength=2)[1:])[:1].sum()) + 1


def validation_set(fresh: FreshComposites, seed: int) -> dataset.PackedPairs:
    """Make one composite of every photo, the same for every run with this seed."""
    composer = dataclasses.replace(fresh.composer, untouched=0.0, slight=0.0)
    always = dataclasses.replace(fresh, composer=composer)
    store = torch.empty((len(fresh.album), fresh.size, fresh.size, 7), dtype=torch.uint8)
    for i in range(len(fresh.album)):
        composite, target, mask = always(i, np.random.default_rng((seed, i)))
        store[i] = torch.from_numpy(np.dstack((composite, target, mask * np.uint8(255))))
    pairs = [Pair(photo.id, "", photo.mask, photo.real) for photo in fresh.album.photos]
    return dataset.PackedPairs(pairs, fresh.size, store=store)
