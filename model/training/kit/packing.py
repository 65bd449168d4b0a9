"""Writes a kit: one small file with all that a training needs beside this program."""

import dataclasses
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from hdnet.model.training.composites import photos
from hdnet.model.training.composites.photos import LIST, Photo
from hdnet.model.weights import weights_file
from hdnet.transforms.catalog import layouts
from hdnet.transforms.catalog.manifest import Pair

INIT, LOOKS, MAPS, RECIPE, PAIRS = "init.safetensors", "looks.npz", "maps.npz", "kit.json", "pairs"


def write(
    out: Path,
    visits: dict[str, float],
    data: Path | None,
    looks: Path,
    illumination_maps: Path,
    init: str,
    side: int,
    quality: int,
) -> int:
    """Write a kit and return its size in bytes.

    Args:
        out: The kit.
        visits: Folders of photos, each with its weight.
        data: Root of a data set in iHarmony4's layout, whose own pairs are trained on, or None. It may be one of the
            folders.
        looks: An .npz of colour tables.
        illumination_maps: An .npz of maps.
        init: Weights to go on from.
        side: Pixels of the images' shorter side, at most.
        quality: Quality of the images, as WebP.

    Raises:
        HarmonizeError: Photos, pairs or weights cannot be used.
    """
    names = {PAIRS if data and Path(folder) == data else f"photos{i}": folder for i, folder in enumerate(visits)}
    with zipfile.ZipFile(out, "w") as kit:
        if data:
            _add_pairs(kit, data, side, quality)
        for name, folder in names.items():
            if name != PAIRS:
                _add_photos(kit, name, photos.read(Path(folder)), side, quality)
        for name, path in ((LOOKS, looks), (MAPS, illumination_maps)):
            kit.write(path, name)
        with weights_file.local_copy(init) as path:
            kit.write(path, INIT)
        weights = {name: visits[folder] for name, folder in names.items()}
        arch = weights_file.read_header(init)["architecture"]
        kit.writestr(RECIPE, json.dumps({"data": PAIRS if data else None, "photos": weights, "arch": arch}))
    return out.stat().st_size


def _add_photos(kit: zipfile.ZipFile, folder: str, found: list[Photo], side: int, quality: int) -> None:
    """Write the photos, each once however many masks it has, their masks, and the list of both."""
    listed: list[dict[str, Any]] = []
    with ThreadPoolExecutor() as threads:
        files = threads.map(lambda photo: _shrunk(photo, side, quality), found)
        for number, (photo, (real, mask)) in enumerate(zip(found, files, strict=True)):
            name = f"real_images/{photo.source}/{Path(photo.real).stem}.webp"
            _put(kit, f"{folder}/{name}", real)
            _put(kit, f"{folder}/masks/{number}.png", mask)
            listed.append({**dataclasses.asdict(photo), "real": name, "mask": f"masks/{number}.png"})
    kit.writestr(f"{folder}/{LIST}", json.dumps(listed), zipfile.ZIP_DEFLATED)


def _add_pairs(kit: zipfile.ZipFile, data: Path, side: int, quality: int) -> None:
    """Write a data set's pairs in its own layout, each photo and mask once."""
    pairs, lines = layouts.read_iharmony4(data, "train"), []
    with ThreadPoolExecutor() as threads:
        found = threads.map(lambda pair: _shrunk_pair(pair, side, quality), pairs)
        for pair, files in zip(pairs, found, strict=True):
            lines.append(f"{pair.group}/composite_images/{PurePath(pair.id).name}.webp")
            row = layouts.list_row(lines[-1], None)
            for kind, content in files.items():
                _put(kit, f"{PAIRS}/{row[kind]}", content)
    kit.writestr(f"{PAIRS}/IHD_train.txt", "\n".join(lines))


def _put(kit: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Write a file that may be there already."""
    if name not in kit.NameToInfo:
        kit.writestr(name, content)


def _shrunk_pair(pair: Pair, side: int, quality: int) -> dict[str, bytes]:
    """Return a pair's files by their names in `layouts.list_row`."""
    photo = photos.of_pair(pair)
    reference, mask = _shrunk(photo, side, quality)
    composite, _ = _shrunk(dataclasses.replace(photo, real=pair.composite), side, quality)
    return {"composite": composite, "mask": mask, "reference": reference}


def _shrunk(photo: Photo, side: int, quality: int) -> tuple[bytes, bytes]:
    real, labels = photos.load(photo, side)
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.fromarray(real).save(picture, "WEBP", quality=quality, method=4)
    Image.fromarray(np.ascontiguousarray(labels)).save(mask, "PNG", optimize=True)
    return picture.getvalue(), mask.getvalue()
