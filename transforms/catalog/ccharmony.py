"""ccHarmony as released (Niu et al., 2022): one set whose lists name foregrounds, or composites.

    ROOT/real_images/NAME.jpg
    ROOT/masks/NAME_x.png                             x is a, or b for a second foreground of the same photo
    ROOT/composite_images/[NAME_x/]NAME_x_K.jpg       K counts a foreground's composites from 1 on; ten in the release
    ROOT/train_list.txt, or ROOT/ccHarmony_train.txt  one NAME_x, or one NAME_x_K, a line; likewise for test

Copies differ: composites lie in one folder or in one for each foreground, images are JPEG or PNG, and lines may have
folders and suffixes. NAME has underscores of its own, so names are taken apart from their end.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from hdnet.transforms.catalog import manifest
from hdnet.transforms.catalog.layouts import first_ten
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs.table import SUFFIXES
from hdnet.transforms.errors import DatasetError, ManifestError
from hdnet.transforms.storage import storage_errors

GROUP = "ccHarmony"
"""First folder of the ids: the sub-dataset's name in tables."""
FOLDERS = ("composite_images", "masks", "real_images")

_NAME = re.compile(r"(?P<foreground>(?P<photo>.+)_[a-z])(_(?P<number>[1-9]\d*))?")


def is_root(root: Path) -> bool:
    """Tell whether a folder is the data set's: it holds the three folders itself, not a sub-dataset that has them."""
    return all((root / name).is_dir() for name in FOLDERS)


def read(root: Path, split: str) -> list[Pair]:
    """Read one split.

    Args:
        root: Holds the folders and the lists.
        split: "train" or "test".

    Raises:
        DatasetError: There is no list, it names no composite, or a file that it asks for is missing.
        ManifestError: A line is malformed, or two images of a folder have one stem.
    """
    files = {folder: _images(root, folder) for folder in FOLDERS}
    counts = _counts(files["composite_images"])
    rows = [(source, stems) for source, line in _lines(root, split) for stems in _stems(line, source, counts)]
    if not rows:
        raise DatasetError(f"{root}: the {split} list names no composite")
    wanted = dict.fromkeys(place for _, stems in rows for place in zip(FOLDERS, stems, strict=True))
    missing = [f"{folder}/{stem}" for folder, stem in wanted if stem not in files[folder]]
    if missing:
        raise DatasetError(f"{root}: {len(missing)} of {len(wanted)} listed files are missing, {first_ten(missing)}")
    return [_pair(root, source, stems, files) for source, stems in rows]


def _images(root: Path, folder: str) -> dict[str, str]:
    """Return the images below a folder by their stem, each by its path from the root."""
    found: dict[str, str] = {}
    for path in sorted((root / folder).rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            name = path.relative_to(root).as_posix()
            if path.stem in found:
                raise ManifestError(f"{root}: {found[path.stem]} and {name} have one stem; remove one")
            found[path.stem] = name
    return found


def _counts(composites: Iterable[str]) -> dict[str, int]:
    """Return the highest number among each foreground's composites."""
    counts: dict[str, int] = {}
    for match in filter(None, map(_NAME.fullmatch, composites)):
        counts[match["foreground"]] = max(counts.get(match["foreground"], 1), int(match["number"] or 1))
    return counts


def _lines(root: Path, split: str) -> Iterator[tuple[str, str]]:
    """Give each line of the split's list that is not empty, after its source for messages."""
    names = (f"{split}_list.txt", f"{GROUP}_{split}.txt")
    path = next((root / name for name in names if (root / name).exists()), root / names[0])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = storage_errors.reason(error, str(path))
        raise DatasetError(f"the {split} list, {' or '.join(names)} in {root}, cannot be read: {reason}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def _stems(line: str, source: str, counts: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """Give the stems of composite, mask and photo, of the composite that a line names or all of its foreground's."""
    path = PurePosixPath(line)
    match = _NAME.fullmatch(path.stem if path.suffix.lower() in SUFFIXES else path.name)
    if match is None:
        raise ManifestError(f"{source}: a line is NAME_x or NAME_x_K, as in IMG_0290_a, not {manifest.show(line)}")
    foreground = match["foreground"]
    # From 1 on without a gap: a composite that was lost is to be missed.
    numbers = [match["number"]] if match["number"] else range(1, 1 + counts.get(foreground, 1))
    for number in numbers:
        yield f"{foreground}_{number}", foreground, match["photo"]


def _pair(root: Path, source: str, stems: tuple[str, str, str], files: Mapping[str, Mapping[str, str]]) -> Pair:
    composite, mask, real = (files[folder][stem] for folder, stem in zip(FOLDERS, stems, strict=True))
    row = {"id": f"{GROUP}/{stems[0]}", "composite": composite, "mask": mask, "reference": real}
    return manifest.parse(row, str(root), source)
