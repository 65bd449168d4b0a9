"""Pairs by the names of files: the iHarmony4 layout with its lists, and folders with one file for each stem."""

import dataclasses
import logging
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs.table import SUFFIXES
from hdnet.transforms.errors import DatasetError, ManifestError
from hdnet.transforms.storage import local, storage_errors

FOLDERS = ("composites", "masks", "references")

Passed = dict[str, list[str]]
"""Paths of the files that a listing passed over, by the reason."""
UNREAD = "of a kind that is not read"
NAMED = 3
"""The number of files passed over for one reason that are named."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """How the files of a folder form pairs.

    Attributes:
        pattern: Path of a mask below masks/, with {id} in the place of the composite's path without its suffix, such as
            "{id}_mask.png", or "{id}_mask" for any suffix; None where the two have the same name but for the suffix.
        skip_unpaired: Leave out files without a partner instead of refusing the folder.
    """

    pattern: str | None = None
    skip_unpaired: bool = False

    def identity(self, folder: str, path: str) -> str | None:
        """Return the id of the pair that a file belongs to; None for a mask that is not named by the pattern."""
        stem = str(PurePosixPath(path).with_suffix(""))
        if self.pattern is None or folder != "masks":
            return stem
        before, _, after = self.pattern.partition("{id}")
        whole = PurePosixPath(self.pattern).suffix.lower() in SUFFIXES
        found = re.fullmatch(f"{re.escape(before)}(.+){re.escape(after)}", path if whole else stem)
        return found and found[1]


BY_STEM = Names()
"""Files of the same name but for the suffix form a pair, and every file has a partner."""


def read_folder(root: Path | str) -> list[Pair]:
    """Return the pairs of `folder_rows`, in order of id.

    Raises:
        ManifestError: As for `folder_rows`, or a stem is not a valid id.
    """
    passed: Passed = {}
    pairs = [manifest.parse(row, str(root), source) for source, row in folder_rows(str(root), passed=passed)]
    if passed:
        log.warning("%s: %s", root, account(len(pairs), passed))
    return pairs


def account(pairs: int, passed: Mapping[str, Sequence[str]]) -> str:
    """Say how many pairs a listing gave, and what it passed over."""
    reasons = "; ".join(
        f"{len(paths)} {reason} ({', '.join([*paths[:NAMED], *(['...'] if len(paths) > NAMED else [])])})"
        for reason, paths in sorted(passed.items())
    )
    count = sum(map(len, passed.values()))
    one = "1 pair" if pairs == 1 else f"{pairs:,} pairs"
    return f"{one}, {count:,} file{'' if count == 1 else 's'} passed over{': ' if reasons else ''}{reasons}"


def folder_rows(
    root: str, names: Names = BY_STEM, passed: Passed | None = None
) -> Iterator[tuple[str, dict[str, object]]]:
    """Pair the images of ROOT/composites, ROOT/masks and, if it holds any, ROOT/references by their stems.

    The three listings are held in memory, some hundreds of bytes for each file. For more than a million images a table
    is the better choice.

    Args:
        root: The folder that holds the three. The id is the path below composites/ without its suffix: "a/b" for
            composites/a/b.jpg. Hidden files and files without the suffix of an image (see `SUFFIXES`) are passed over.
        names: How files form pairs.
        passed: Takes what is passed over.

    Yields:
        The composite's URI, for messages, and the row, in order of id; without references/ no row has a reference.

    Raises:
        ManifestError: A file has no partner, a stem is in one of the folders twice, or there is no composite.
    """
    passed = {} if passed is None else passed
    images = {name: _images(root, name, names, passed) for name in FOLDERS}
    folders = [name for name in FOLDERS if name != "references" or images[name]]
    stems = sorted(set().union(*images.values()))
    if not stems:
        kinds = " ".join(sorted(SUFFIXES))
        raise ManifestError(f"{root}: no image in {' or '.join(folders)}; images end in {kinds}; {account(0, passed)}")
    needed = FOLDERS[:2] if names.skip_unpaired else folders
    unpaired = {stem for stem in stems if any(stem not in images[name] for name in needed)}
    if unpaired and not names.skip_unpaired:
        lines = [line for stem in sorted(unpaired) for line in _lonely(stem, folders, images, passed)]
        raise ManifestError(
            f"{root}: {len(lines)} file{' is' if len(lines) == 1 else 's are'} missing, {first_ten(lines)}\n  "
            "hdnet-harmonize --pair pairs masks by a pattern, and --skip-unpaired leaves out what has no partner"
        )
    for stem in sorted(unpaired):
        lonely = [f"{name}/{images[name][stem]}" for name in folders if stem in images[name]]
        passed.setdefault("without a partner", []).extend(lonely)
    for stem in (stem for stem in stems if stem not in unpaired):
        files = {name.removesuffix("s"): f"{name}/{images[name][stem]}" for name in folders if stem in images[name]}
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
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the list {path} cannot be read: {storage_errors.reason(error, str(path))}") from error
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
    folders = {str(Path(pair.composite).parents[1]) for pair in pairs}
    present = {f"{folder}/{path}" for folder in folders if os.path.isdir(folder) for path in local.tree(folder)[0]}
    wanted = dict.fromkeys(path for p in pairs for path in (p.composite, p.mask, p.reference or p.composite))
    missing = [path for path in wanted if path not in present]
    if missing:
        raise DatasetError(f"{root}: {len(missing)} of {len(wanted)} listed files are missing, {first_ten(missing)}")


def _images(root: str, folder: str, names: Names, passed: Passed) -> dict[str, str]:
    """Return every image below one of the three folders, by the id of its pair.

    Raises:
        ManifestError: The folder is missing, or two files have the same stem.
    """
    try:
        files, others = storage.list_tree(storage.join(root, folder))
    except FileNotFoundError as error:
        if folder == "references":
            return {}
        raise ManifestError(
            f"{root}/{folder}: no such folder; a catalog has composites/, masks/ and, for scores, references/"
        ) from error
    for reason, path in others:
        passed.setdefault(reason, []).append(f"{folder}/{path}")
    found: dict[str, str] = {}
    for path in files:
        identity = names.identity(folder, path)
        if reason := _reason(path, identity):
            passed.setdefault(reason, []).append(f"{folder}/{path}")
        elif identity is not None:
            if identity in found:
                twin = posixpath.basename(found[identity])
                raise ManifestError(
                    f"{root}/{folder}: {posixpath.basename(path)} and {twin} have the same stem; rename one"
                )
            found[identity] = path
    return found


def _reason(path: str, identity: str | None) -> str:
    """Say why a file is passed over; "" if it is not."""
    if any(part.startswith(".") for part in PurePosixPath(path).parts):
        return "hidden"
    if PurePosixPath(path).suffix.lower() not in SUFFIXES:
        return UNREAD
    return "" if identity else "not named as --pair says"


def _lonely(
    stem: str, folders: Sequence[str], images: Mapping[str, Mapping[str, str]], passed: Passed
) -> Iterator[str]:
    """Yield a line for each folder that lacks the stem."""
    own = next(f"{name}/{images[name][stem]}" for name in folders if stem in images[name])
    composed = unicodedata.normalize("NFC", stem)
    for name in (name for name in folders if stem not in images[name]):
        unread = [path for path in passed.get(UNREAD, ()) if os.path.splitext(path)[0] == f"{name}/{stem}"]
        alike = [path for other, path in images[name].items() if unicodedata.normalize("NFC", other) == composed]
        cased = [path for other, path in images[name].items() if other.casefold() == stem.casefold()]
        if unread:
            yield f"{unread[0]} is {UNREAD}, so {own} has no {name.removesuffix('s')}"
        elif alike:
            yield f"{own} and {name}/{alike[0]} differ only in how the accent is composed (NFC, NFD): rename one"
        elif cased:
            yield f"{own} and {name}/{cased[0]} differ only in upper and lower case: rename one"
        else:
            yield f"{own} has no {name.removesuffix('s')} of its name"
