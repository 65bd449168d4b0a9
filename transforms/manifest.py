"""What a pair is, and how lists of pairs are read: the iHarmony4 layout, and folders that hold one file a stem."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from transforms.errors import DatasetError, ManifestError

FOLDERS = ("composites", "masks", "references")
SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclasses.dataclass(frozen=True)
class Pair:
    """A composite with its mask and, where there is one, the real photo it was made from.

    Attributes:
        id: Unique within its list, such as "HCOCO/c101_204_2".
        composite: Path of the composite.
        mask: Path of the mask.
        reference: Path of the real photo, or None.
    """

    id: str
    composite: str
    mask: str
    reference: str | None = None

    @property
    def group(self) -> str:
        """The sub-dataset: the id's first folder, "" without one."""
        return self.id.rpartition("/")[0].partition("/")[0]


def read_root(root: Path, split: str, subsets: Sequence[str] = ()) -> list[Pair]:
    """Read a folder in either layout: the iHarmony4 one where it has the list, else `read_folder`.

    Raises:
        DatasetError: As for `read_iharmony4`.
        ManifestError: As for `read_folder`.
    """
    listed = (root / f"IHD_{split}.txt").exists() or bool(subsets)
    if not listed and all((root / name).is_dir() for name in FOLDERS[:2]):
        return read_folder(root)
    return read_iharmony4(root, split, subsets)


def read_folder(root: Path) -> list[Pair]:
    """Pair the images of ROOT/composites, ROOT/masks and, where it exists, ROOT/references by their stems.

    Args:
        root: Holds the folders. The id is the path below composites/ without its suffix: "a/b" for composites/a/b.jpg.
            Hidden files and files that are no image by their suffix (see `SUFFIXES`) are passed over.

    Returns:
        The pairs in order of id; `reference` is None without a references folder.

    Raises:
        ManifestError: A stem is not in every folder, or twice in one, or there is no composite.
    """
    folders = [name for name in FOLDERS if name != "references" or (root / name).is_dir()]
    images = {name: _images(root / name) for name in folders}
    stems = sorted(set().union(*images.values()))
    if not stems:
        raise ManifestError(f"{root}: no image in {' or '.join(folders)}; images end in {' '.join(sorted(SUFFIXES))}")
    unpaired = [f"{stem}: not in {name}/" for stem in stems for name in folders if stem not in images[name]]
    if unpaired:
        raise ManifestError(f"{root}: {len(unpaired)} files are missing by their stem, {_first_ten(unpaired)}")
    return [Pair(stem, *(images[name][stem] for name in folders)) for stem in stems]


def read_iharmony4(root: Path, split: str, subsets: Sequence[str] = ()) -> list[Pair]:
    """Read one split of a data set in the iHarmony4 layout and check that its files exist.

    Args:
        root: Holds IHD_<split>.txt and the sub-dataset folders.
        split: "train" or "test".
        subsets: Sub-datasets to read, from <SUB>/<SUB>_<split>.txt; all of IHD_<split>.txt when empty.

    Raises:
        DatasetError: A list or a file of a pair is missing, a line is malformed, or there is no pair.
    """
    names = _read_subsets(root, split, subsets) if subsets else _read_lines(root / f"IHD_{split}.txt")
    pairs = [_pair(root, name) for name in names]
    if not pairs:
        raise DatasetError(f"{root}: the {split} list names no pair; is it the iHarmony4 root?")
    _check_files(root, pairs)
    return pairs


def _read_subsets(root: Path, split: str, subsets: Sequence[str]) -> list[str]:
    return [
        f"{subset}/composite_images/{Path(name).name}"
        for subset in subsets
        for name in _read_lines(root / subset / f"{subset}_{split}.txt")
    ]


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the list {path}: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def _pair(root: Path, name: str) -> Pair:
    # SUB/composite_images/c101_204_2.jpg -> SUB/masks/c101_204.png, SUB/real_images/c101.jpg
    path = Path(name)
    parts = path.stem.rsplit("_", 2)
    if len(path.parts) != 3 or len(parts) != 3 or ".." in path.parts:
        raise DatasetError(f"{root}: a list's line is SUB/composite_images/PHOTO_REGION_N.jpg, not {name!r}")
    folder = root / path.parts[0]
    return Pair(
        id=f"{path.parts[0]}/{path.stem}",
        composite=str(root / path),
        mask=str(folder / "masks" / f"{parts[0]}_{parts[1]}.png"),
        reference=str(folder / "real_images" / f"{parts[0]}{path.suffix}"),
    )


def _check_files(root: Path, pairs: list[Pair]) -> None:
    present = {str(path) for folder in {Path(p.composite).parents[1] for p in pairs} for path in folder.rglob("*")}
    wanted = dict.fromkeys(path for p in pairs for path in (p.composite, p.mask, p.reference or p.composite))
    missing = [path for path in wanted if path not in present]
    if missing:
        raise DatasetError(f"{root}: {len(missing)} of {len(wanted)} listed files are missing, {_first_ten(missing)}")


def _images(folder: Path) -> dict[str, str]:
    """Return the path of every image below the folder by its stem.

    Raises:
        ManifestError: The folder is missing, or two files have one stem.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder; a catalog has composites/ and masks/, and references/ to score")
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in found:
                raise ManifestError(f"{folder}: {path.name} and {Path(found[stem]).name} have one stem; rename one")
            found[stem] = str(path)
    return found


def _first_ten(lines: Sequence[str]) -> str:
    return "\n  ".join(["the first of them:" if len(lines) > 10 else "namely", *lines[:10]])
