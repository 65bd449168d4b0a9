"""Pairs by the names of files: the iHarmony4 layout with its lists, and folders with one file for each stem."""

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs.table import SUFFIXES
from hdnet.transforms.errors import DatasetError, ManifestError

FOLDERS = ("composites", "masks", "references")


def read_root(root: Path, split: str, subsets: Sequence[str] = ()) -> list[Pair]:
    """Read a folder in either layout: that of iHarmony4 if it has the list, otherwise that of `read_folder`.

    Raises:
        DatasetError: As for `read_iharmony4`.
        ManifestError: As for `read_iharmony4` and `read_folder`.
    """
    listed = (root / f"IHD_{split}.txt").exists() or bool(subsets)
    if not listed and all((root / name).is_dir() for name in FOLDERS[:2]):
        return read_folder(root)
    return read_iharmony4(root, split, subsets)


def read_folder(root: Path | str) -> list[Pair]:
    """Return the pairs of `folder_rows`, in order of id.

    Raises:
        ManifestError: As for `folder_rows`, or a stem is not a valid id.
    """
    return [manifest.parse(row, str(root), source) for source, row in folder_rows(str(root))]


def folder_rows(root: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Pair the images of ROOT/composites, ROOT/masks and, if it holds any, ROOT/references by their stems.

    The three listings are held in memory, some hundreds of bytes for each file. For more than a million images a table
    is the better choice.

    Args:
        root: The folder that holds the three. The id is the path below composites/ without its suffix: "a/b" for
            composites/a/b.jpg. Hidden files and files without the suffix of an image (see `SUFFIXES`) are ignored.

    Yields:
        The composite's URI, for messages, and the row, in order of id; without references/ no row has a reference.

    Raises:
        ManifestError: A stem is missing in one of the folders, or is in one of them twice, or there is no composite.
    """
    images = {name: _images(storage.join(root, name), optional=name == "references") for name in FOLDERS}
    folders = [name for name in FOLDERS if name != "references" or images[name]]
    stems = sorted(set().union(*images.values()))
    if not stems:
        raise ManifestError(f"{root}: no image in {' or '.join(folders)}; images end in {' '.join(sorted(SUFFIXES))}")
    unpaired = [f"{stem}: not in {name}/" for stem in stems for name in folders if stem not in images[name]]
    if unpaired:
        raise ManifestError(f"{root}: {len(unpaired)} files are missing by their stem, {first_ten(unpaired)}")
    for stem in stems:
        files = {name.removesuffix("s"): f"{name}/{images[name][stem]}" for name in folders}
        yield storage.join(root, files["composite"]), {"id": stem, **files}


def read_iharmony4(root: Path, split: str, subsets: Sequence[str] = ()) -> list[Pair]:
    """Read one split of a data set in the iHarmony4 layout and check that its files exist.

    Args:
        root: The folder that holds IHD_<split>.txt and the sub-datasets' folders.
        split: "train" or "test".
        subsets: Sub-datasets to read from <SUB>/<SUB>_<split>.txt; if empty, all of IHD_<split>.txt is read.

    Raises:
        DatasetError: A list or a file of a pair is missing, or there is no pair.
        ManifestError: A line is malformed.
    """
    lists = [root / name / f"{name}_{split}.txt" for name in subsets] or [root / f"IHD_{split}.txt"]
    pairs = [pair for path in lists for pair in _read_list(path)]
    if not pairs:
        raise DatasetError(f"{root}: the {split} list names no pair; is it the iHarmony4 root?")
    _check_files(root, pairs)
    return pairs


def list_root(uri: str) -> tuple[str, str | None]:
    """Return the root that a list's lines start from, and the sub-dataset if the list is that of one, SUB/SUB_*.txt."""
    folder = storage.parent(uri)
    name = posixpath.basename(folder)
    if name not in ("", "IHD") and posixpath.basename(uri).startswith(f"{name}_"):
        return storage.parent(folder), name
    return folder, None


def list_row(line: str, subset: str | None) -> dict[str, object]:
    """Return the row of a list's line. Lists of sub-datasets may leave out the folders.

    SUB/composite_images/c101_204_2.jpg has the mask SUB/masks/c101_204.png and the real photo SUB/real_images/c101.jpg.

    Raises:
        ManifestError: The line has another form.
    """
    path = PurePosixPath(line.strip())
    if subset:
        path = PurePosixPath(subset, "composite_images", path.name)
    parts = path.stem.rsplit("_", 2)
    if len(path.parts) != 3 or len(parts) != 3 or ".." in path.parts:
        raise ManifestError(f"a list's line is SUB/composite_images/PHOTO_REGION_N.jpg, not {manifest.show(line)}")
    folder = path.parts[0]
    return {
        "id": f"{folder}/{path.stem}",
        "composite": str(path),
        "mask": f"{folder}/masks/{parts[0]}_{parts[1]}.png",
        "reference": f"{folder}/real_images/{parts[0]}{path.suffix}",
    }


def first_ten(lines: Sequence[str]) -> str:
    """Return the end of a message that names up to ten of the lines."""
    return "\n  ".join(["the first of them:" if len(lines) > 10 else "namely", *lines[:10]])


def _read_list(path: Path) -> Iterator[Pair]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the list {path}: {error}") from error
    root, subset = list_root(str(path))
    for number, line in enumerate(lines, 1):
        source = f"{path}, line {number}"
        if line.strip():
            try:
                row = list_row(line, subset)
            except ManifestError as error:
                raise ManifestError(f"{source}: {error}") from error
            yield manifest.parse(row, root, source)


def _check_files(root: Path, pairs: list[Pair]) -> None:
    present = {str(path) for folder in {Path(p.composite).parents[1] for p in pairs} for path in folder.rglob("*")}
    wanted = dict.fromkeys(path for p in pairs for path in (p.composite, p.mask, p.reference or p.composite))
    missing = [path for path in wanted if path not in present]
    if missing:
        raise DatasetError(f"{root}: {len(missing)} of {len(wanted)} listed files are missing, {first_ten(missing)}")


def _images(folder: str, optional: bool) -> dict[str, str]:
    """Return every image below the folder, by its stem.

    Raises:
        ManifestError: The folder is missing, or two files have the same stem.
    """
    try:
        files = storage.list_files(folder)
    except OSError as error:
        if optional:
            return {}
        raise ManifestError(
            f"{folder}: no such folder; a catalog has composites/, masks/ and, for scores, references/"
        ) from error
    found: dict[str, str] = {}
    for name in files:
        path = PurePosixPath(name)
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.parts):
            stem = str(path.with_suffix(""))
            if stem in found:
                twin = posixpath.basename(found[stem])
                raise ManifestError(f"{folder}: {path.name} and {twin} have the same stem; rename one")
            found[stem] = name
    return found
