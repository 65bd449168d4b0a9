"""Lists of pairs: the iHarmony4 layout and folders of stems."""

import re
from pathlib import Path
from typing import Any

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
    words = r"12 files .*first of them:\n  composites/00.jpg has no mask of its name(\n.*){8}\n  composites/09"
    with pytest.raises(ManifestError, match=words):
        layouts.read_folder(root)


def test_a_stem_that_appears_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"a\.png and a\.jpg have the same stem"):
        layouts.read_folder(touch(tmp_path, "composites/a.jpg", "composites/a.png", "masks/a.png"))


def test_folders_that_are_missing_or_empty_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="composites: no such folder"):
        layouts.read_folder(tmp_path)
    with pytest.raises(ManifestError, match="no image in composites or masks"):
        layouts.read_folder(touch(tmp_path, "composites/a.txt", "masks/b.txt"))


def rows(root: Path, **names: Any) -> tuple[list[dict[str, object]], layouts.Passed]:
    passed: layouts.Passed = {}
    return [row for _, row in layouts.folder_rows(str(root), layouts.Names(**names), passed)], passed


def test_links_are_followed_and_loops_noticed(tmp_path: Path) -> None:
    touch(tmp_path, "store/c/s1.jpg", "store/m/s1.png", "composites/a.jpg", "masks/a.png")
    for name, target in (("composites", "c"), ("masks", "m")):
        (tmp_path / name / "shoes").symlink_to(tmp_path / "store" / target)
        (tmp_path / name / "again").symlink_to(tmp_path / name)
    (tmp_path / "composites" / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found, passed = rows(tmp_path)
    assert [row["id"] for row in found] == ["a", "shoes/s1"]
    assert passed == {
        "links to a folder that they lie in": ["composites/again", "masks/again"],
        "links that lead nowhere": ["composites/b.jpg"],
    }


def test_what_is_passed_over_is_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "composites/a.jpg", "masks/a.png", "masks/.DS_Store")
    touch(tmp_path, *(f"{folder}/{name}.jfif" for folder in ("composites", "masks") for name in "bc"))
    assert layouts.account(1, rows(tmp_path)[1]) == (
        "1 pair, 5 files passed over: 1 hidden (masks/.DS_Store); "
        "4 of a kind that is not read (composites/b.jfif, composites/c.jfif, masks/b.jfif, ...)"
    )
    assert layouts.account(2, {}) == "2 pairs, 0 files passed over"


@pytest.mark.parametrize("files, words", [
    (("composites/b.jfif", "masks/b.png"), "composites/b.jfif is of a kind that is not read, so masks/b.png has no"),
    (("composites/IMG.JPG", "masks/img.png"), "IMG.JPG and masks/img.png differ only in upper and lower case"),
    (("composites/x.jpg", "masks/x_mask.gif"), "masks/x_mask.gif has no composite of its name"),
    (("composites/cafe\u0301.jpg", "masks/caf\u00e9.png"), "differ only in how the accent is composed (NFC, NFD)"),
])  # fmt: skip
def test_a_file_without_partner_is_named_as_it_is(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(words)):
        rows(touch(tmp_path, *files))


@pytest.mark.parametrize("pattern", ["{id}.out.png", "{id}.out"])
def test_masks_are_paired_by_a_pattern(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "composites/a.jpg", "composites/x/b.png", "masks/a.out.png", "masks/x/b.out.png", "masks/a.png")
    found, passed = rows(tmp_path, pattern=pattern)
    assert [(row["id"], row["mask"]) for row in found] == [("a", "masks/a.out.png"), ("x/b", "masks/x/b.out.png")]
    assert passed == {"not named as --pair says": ["masks/a.png"]}


def test_files_without_partner_are_left_out_on_request(tmp_path: Path) -> None:
    touch(tmp_path, "composites/a.jpg", "composites/b.jpg", "masks/a.png", "masks/c.png", "references/b.png")
    found, passed = rows(tmp_path, skip_unpaired=True)
    assert found == [{"id": "a", "composite": "composites/a.jpg", "mask": "masks/a.png"}]
    assert passed == {"without a partner": ["composites/b.jpg", "references/b.png", "masks/c.png"]}


def test_lists_and_folders_of_a_training_set_as_people_have_them(tmp_path: Path) -> None:
    root = write_iharmony4(tmp_path / "data", photos=2)
    (root / "HToy" / "composite_images").rename(tmp_path / "store")
    (root / "HToy" / "composite_images").symlink_to(tmp_path / "store")
    names = (root / "IHD_test.txt").read_text().split()
    (root / "IHD_test.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(names).encode())
    assert len(layouts.read_iharmony4(root, "test")) == 4
