"""What a pair is, and how lists of pairs are read: today the iHarmony4 layout."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from transforms.errors import DatasetError


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
        raise DatasetError(f"{root}: not a line of an iHarmony4 list, SUB/composite_images/PHOTO_REGION_N.jpg: {name!r}")
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
        shown = "\n  ".join(missing[:10])
        raise DatasetError(f"{root}: {len(missing)} of {len(wanted)} listed files are missing, such as\n  {shown}")
