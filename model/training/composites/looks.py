"""Colour looks as tables: read from files, mixed, weakened, and applied to whole images.

A table tells the new colour of 17 x 17 x 17 colours, those between are interpolated: whatever changes colours alone,
and smoothly, fits into one, and applying it costs the same whatever it was.
"""

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from hdnet.transforms import errors, storage
from hdnet.transforms.pixels.lab import Floats

SIDE = 17
Table = npt.NDArray[np.float32]
"""(17,17,17,3) in 0..1, indexed by blue, green and red; the last axis is red, green and blue."""

_STEPS = np.linspace(0, 1, SIDE, dtype=np.float32)
IDENTITY: Table = np.stack(np.meshgrid(_STEPS, _STEPS, _STEPS, indexing="ij")[::-1], axis=-1)
"""The table that changes nothing."""

HELD_OUT = 0.05
"""Share of the looks, and of the photos, that no training sees."""


def is_held_out(name: str) -> bool:
    """Tell whether a photo or a look is kept back from every training, by a hash of its name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < HELD_OUT * 2**32


def read(place: str | Path) -> dict[str, Table]:
    """Read looks by name: an npz file with `names` and `lut` (N,17,17,17,3), or all .cube files below a folder.

    Args:
        place: A path or a URI.

    Raises:
        DatasetError: There is none, or a file is not what it should be.
        StorageError: It cannot be read.
    """
    uri = str(place)
    if not storage.is_folder(uri):
        return _parse_npz(storage.read(uri), uri)
    names = [name for name in storage.list_files(uri) if name.lower().endswith(".cube")]
    if not names:
        raise errors.DatasetError(f"{uri}: no .cube file in this folder")
    files = ((name, storage.join(uri, name)) for name in names)
    return {str(PurePosixPath(name).with_suffix("")): _parse_cube(storage.read(file), file) for name, file in files}


def apply(image: npt.NDArray[np.uint8], table: Table) -> npt.NDArray[np.uint8]:  # (H,W,3) -> (H,W,3)
    """Give every colour of an image its new one, rounded."""
    lut = ImageFilter.Color3DLUT(SIDE, np.ascontiguousarray(table), _copy_table=False)
    return np.asarray(Image.fromarray(image).filter(lut))


def weaken(table: Table, strength: float) -> Table:
    """Go only a part of the way: 0 changes nothing, 1 is the table itself."""
    return IDENTITY + np.float32(strength) * (table - IDENTITY)


@dataclasses.dataclass(frozen=True)
class Blend:
    """A mean of two looks, weakened.

    Attributes:
        first: Number of a look.
        second: Number of another, or the same.
        share: The weight of the first in the mean; 1 if there is no other.
        strength: As for `weaken`.
    """

    first: int
    second: int
    share: float
    strength: float

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator) -> Self:
        """Draw one of so many looks, or in one of three cases a mean of two, at a strength of 0.3 to 1."""
        first, second, share = int(rng.integers(count)), None, 1.0
        if rng.random() < 1 / 3:
            share, second = rng.random(), int(rng.integers(count))
        return cls(first, first if second is None else second, share, rng.uniform(0.3, 1.0))

    def of(self, tables: Sequence[Table]) -> Table:
        """Blend the tables."""
        table = tables[self.first]
        if self.share != 1:
            share = np.float32(self.share)
            table = share * table + (1 - share) * tables[self.second]
        return weaken(table, self.strength)


def _parse_npz(data: bytes, uri: str) -> dict[str, Table]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            names, tables = file["names"].tolist(), file["lut"].astype(np.float32)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise errors.DatasetError(f"{uri}: no colour looks: {error}; give an npz with `names` and `lut`") from error
    if not names or tables.shape != (len(names), SIDE, SIDE, SIDE, 3):
        raise errors.DatasetError(f"{uri}: `lut` must be ({len(names)},17,17,17,3), not {tables.shape}")
    return dict(zip(names, tables, strict=True))


def _parse_cube(data: bytes, uri: str) -> Table:
    """Parse an Adobe .cube file of any size, and bring it to ours."""
    try:
        lines = [line.split("#")[0].split() for line in data.decode("utf-8-sig").splitlines()]
        side = next(int(words[1]) for words in lines if words[:1] == ["LUT_3D_SIZE"])
        rows = [words for words in lines if len(words) == 3 and words[0][0] in "+-.0123456789"]
        table: Floats = np.array(rows, np.float32).reshape(side, side, side, 3)
    except (ValueError, IndexError, StopIteration) as error:
        raise errors.DatasetError(f"{uri}: not a .cube file with a LUT_3D_SIZE and as many colours") from error
    for axis in range(3):
        table = np.moveaxis(np.tensordot(_resampling(side), table, (1, axis)), 0, axis)
    clipped: Table = np.clip(table, 0, 1)
    return clipped


def _resampling(side: int) -> Floats:
    """Return the matrix (17,side) that interpolates `side` values at our steps."""
    places = _STEPS * (side - 1)
    weights: Floats = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(side, dtype=np.float32)))
    return weights
