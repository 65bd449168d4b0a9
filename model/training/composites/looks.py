"""Colour looks as tables: read from files, mixed, weakened, and applied to whole images.

A table tells the new colour of 17 x 17 x 17 colours, those between are interpolated: whatever changes colours alone,
and smoothly, fits into one, and applying it costs the same whatever it was.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from hdnet.transforms import errors
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


def read(path: Path) -> dict[str, Table]:
    """Read looks by name: an npz file with `names` and `lut` (N,17,17,17,3), or all .cube files below a folder.

    Raises:
        DatasetError: There is none, or a file cannot be read.
    """
    found = _read_cubes(path) if path.is_dir() else _read_npz(path)
    if not found:
        raise errors.DatasetError(f"{path}: no .cube file in this folder")
    return found


def apply(image: npt.NDArray[np.uint8], table: Table) -> npt.NDArray[np.uint8]:  # (H,W,3) -> (H,W,3)
    """Give every colour of an image its new one, rounded."""
    lut = ImageFilter.Color3DLUT(SIDE, np.ascontiguousarray(table), _copy_table=False)
    return np.asarray(Image.fromarray(image).filter(lut))


def weaken(table: Table, strength: float) -> Table:
    """Go only a part of the way: 0 changes nothing, 1 is the table itself."""
    return IDENTITY + np.float32(strength) * (table - IDENTITY)


def draw(tables: Sequence[Table], rng: np.random.Generator) -> Table:
    """Take a table, or in one of three cases a mean of two, at a strength of 0.3 to 1."""
    table = tables[int(rng.integers(len(tables)))]
    if rng.random() < 1 / 3:
        share = np.float32(rng.random())
        table = share * table + (1 - share) * tables[int(rng.integers(len(tables)))]
    return weaken(table, rng.uniform(0.3, 1.0))


def _read_npz(path: Path) -> dict[str, Table]:
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            names, tables = file["names"].tolist(), file["lut"].astype(np.float32)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise errors.DatasetError(f"{path}: no colour looks: {error}; give an npz with `names` and `lut`") from error
    if tables.shape != (len(names), SIDE, SIDE, SIDE, 3):
        raise errors.DatasetError(f"{path}: `lut` must be ({len(names)},17,17,17,3), not {tables.shape}")
    return dict(zip(names, tables, strict=True))


def _read_cubes(folder: Path) -> dict[str, Table]:
    paths = sorted(folder.rglob("*.cube"))
    return {path.relative_to(folder).with_suffix("").as_posix(): _read_cube(path) for path in paths}


def _read_cube(path: Path) -> Table:
    """Read an Adobe .cube file of any size, and bring it to ours."""
    try:
        lines = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        side = next(int(words[1]) for words in lines if words[:1] == ["LUT_3D_SIZE"])
        rows = [words for words in lines if len(words) == 3 and words[0][0] in "+-.0123456789"]
        table: Floats = np.array(rows, np.float32).reshape(side, side, side, 3)
    except (OSError, ValueError, StopIteration) as error:
        raise errors.DatasetError(f"{path}: not a .cube file with a LUT_3D_SIZE and as many colours") from error
    for axis in range(3):
        table = np.moveaxis(np.tensordot(_resampling(side), table, (1, axis)), 0, axis)
    clipped: Table = np.clip(table, 0, 1)
    return clipped


def _resampling(side: int) -> Floats:
    """Return the matrix (17,side) that interpolates `side` values at our steps."""
    places = _STEPS * (side - 1)
    weights: Floats = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(side, dtype=np.float32)))
    return weights
