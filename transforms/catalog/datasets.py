"""The pairs of a training or evaluation data set, whichever layout it has."""

from collections.abc import Sequence
from pathlib import Path

from hdnet.transforms.catalog import ccharmony, layouts
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import DatasetError


def read_root(root: Path, split: str, subsets: Sequence[str] = ()) -> list[Pair]:
    """Read a data set: in iHarmony4's layout where it has the list, in ccHarmony's, or else in that of a catalog.

    Args:
        root: The data set's folder.
        split: "train" or "test"; the folders of a catalog are one split.
        subsets: Sub-datasets of iHarmony4's layout to read; all when empty.

    Raises:
        DatasetError: As for `layouts.read_iharmony4` and `ccharmony.read`.
        ManifestError: As for these and `layouts.read_folder`.
    """
    if not (root / f"IHD_{split}.txt").exists() and not subsets:
        if ccharmony.is_root(root):
            return ccharmony.read(root, split)
        if all((root / name).is_dir() for name in layouts.FOLDERS[:2]):
            return layouts.read_folder(root)
        raise DatasetError(
            f"{root} holds no data set for {split}: a list IHD_{split}.txt (iHarmony4), ccHarmony's folders, or "
            "composites/ and masks/ are wanted in it"
        )
    return layouts.read_iharmony4(root, split, subsets)
