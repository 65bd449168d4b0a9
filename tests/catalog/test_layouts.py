"""Lists of pairs: the iHarmony4 layout and folders of stems."""

from pathlib import Path

import pytest

from hdnet.transforms.catalog import layouts
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import DatasetError, ManifestError
from tests.samples import write_iharmony4


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_iharmony4_names_mask_and_photo_by_the_composites_stem(tmp_path: Path) -> None:
    root = write_iharmony4(tmp_path, photos=1, sub="HCOCO")
    first, second = layouts.read_iharmony4(root, "test")
    assert (first.id, second.id, first.group) == ("HCOCO/p0_1_1", "HCOCO/p0_1_2", "HCOCO")
    assert first.composite == str(root / "HCOCO/composite_images/p0_1_1.png")
    assert first.mask == second.mask == str(root / "HCOCO/masks/p0_1.png")
    assert first.reference == str(root / "HCOCO/real_images/p0.png")


def test_subsets_are_read_from_their_own_lists(tmp_path: Path) -> None:
    write_iharmony4(tmp_path, photos=1, sub="HCOCO")
    write_iharmony4(tmp_path, photos=2, sub="HFlickr")
    pairs = layouts.read_iharmony4(tmp_path, "train", ["HCOCO", "HFlickr"])
    assert [pair.group for pair in pairs] == ["HCOCO"] * 2 + ["HFlickr"] * 4


def test_missing_files_are_listed(tmp_path: Path) -> None:
    root = write_iharmony4(tmp_path, photos=2)
    (root / "HToy/masks/p1_1.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 8 listed files are missing, namely\n.*p1_1\.png"):
        layouts.read_iharmony4(root, "test")


@pytest.mark.parametrize("line", ["p0_1_1.png", "HToy/composite_images/p0.png", "../composite_images/p0_1_1.png"])
def test_a_malformed_line_is_quoted(tmp_path: Path, line: str) -> None:
    (tmp_path / "IHD_test.txt").write_text(f"\n{line}")
    with pytest.raises(ManifestError, match=rf"IHD_test\.txt, line 2: .*{line}"):
        layouts.read_iharmony4(tmp_path, "test")


def test_a_line_that_makes_no_valid_id_is_refused(tmp_path: Path) -> None:
    (tmp_path / "IHD_test.txt").write_text("CON/composite_images/p0_1_1.png")
    with pytest.raises(ManifestError, match=r"IHD_test\.txt, line 1: id 'CON/p0_1_1' has a name that Windows reserves"):
        layouts.read_iharmony4(tmp_path, "test")


def test_lists_that_are_missing_or_empty_are_errors(tmp_path: Path) -> None:
    (tmp_path / "IHD_test.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no pair"):
        layouts.read_iharmony4(tmp_path, "test")
    with pytest.raises(DatasetError, match="IHD_train"):
        layouts.read_iharmony4(tmp_path, "train")


def test_a_folder_is_paired_by_stem_whatever_the_suffix(tmp_path: Path) -> None:
    root = touch(tmp_path, "composites/b.JPG", "masks/b.png", "references/b.tif", "composites/x/a.1.webp",
                 "masks/x/a.1.png", "references/x/a.1.jpeg", "composites/notes.txt", "masks/.b.png",
                 "masks/.cache/c.png")  # fmt: skip
    first, second = layouts.read_folder(root)
    files = (root / "composites/b.JPG", root / "masks/b.png", root / "references/b.tif")
    assert first == Pair("b", str(files[0]), str(files[1]), str(files[2]))
    assert (first.group, second.id, second.group) == ("", "x/a.1", "x")


def test_a_folder_without_references_has_pairs_without_one(tmp_path: Path) -> None:
    (pair,) = layouts.read_folder(touch(tmp_path, "composites/a.jpg", "masks/a.png"))
    assert pair.reference is None


def test_references_may_be_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "references").mkdir()
    (pair,) = layouts.read_folder(touch(tmp_path, "composites/a.jpg", "masks/a.png"))
    assert pair.reference is None


def test_a_file_whose_name_makes_no_valid_id_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"composites/a .jpg: id 'a ' has a name that begins or ends with a space"):
        layouts.read_folder(touch(tmp_path, "composites/a .jpg", "masks/a .png"))


def test_unpaired_stems_are_named_the_first_ten(tmp_path: Path) -> None:
    root = touch(tmp_path, "masks/extra.png", "composites/extra.png", *(f"composites/{i:02}.jpg" for i in range(12)))
    with pytest.raises(ManifestError, match=r"12 files .*first of them:\n  00: not in masks/(\n.*){8}\n  09: [^\n]*$"):
        layouts.read_folder(root)


def test_a_stem_that_appears_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"a\.png and a\.jpg have the same stem"):
        layouts.read_folder(touch(tmp_path, "composites/a.jpg", "composites/a.png", "masks/a.png"))


def test_folders_that_are_missing_or_empty_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="composites: no such folder"):
        layouts.read_folder(tmp_path)
    with pytest.raises(ManifestError, match="no image in composites or masks"):
        layouts.read_folder(touch(tmp_path, "composites/a.txt", "masks/b.txt"))


def test_a_root_is_read_by_its_list_if_it_has_one(tmp_path: Path) -> None:
    root = touch(tmp_path, "composites/a.jpg", "masks/a.png")
    assert [pair.id for pair in layouts.read_root(root, "test")] == ["a"]
    write_iharmony4(root, photos=1)
    assert len(layouts.read_root(root, "test")) == 2
    with pytest.raises(DatasetError, match="HOther_test"):
        layouts.read_root(root, "test", ["HOther"])
    with pytest.raises(DatasetError, match="IHD_test"):
        layouts.read_root(tmp_path / "masks", "test")
