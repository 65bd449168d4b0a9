"""ccHarmony's released layout in the variants that copies of it have."""

from pathlib import Path

import pytest

from hdnet.transforms.catalog import ccharmony
from hdnet.transforms.errors import DatasetError, ManifestError

FOREGROUNDS = ("8D5U5531_a", "Canon1DsMkIII_0003_a", "Canon1DsMkIII_0003_b")


def write(root: Path, *, nested: bool = False, suffix: str = ".jpg", lines: str = "{0}", name: str = "test_list.txt"):
    """Make a tree of empty files, two composites a foreground; `lines` is formatted with foreground and composite."""
    listed = []
    for foreground in FOREGROUNDS:
        names = [f"composite_images/{foreground}/" if nested else "composite_images/"] * 2
        names = [f"{folder}{foreground}_{number}{suffix}" for number, folder in enumerate(names, 1)]
        names += [f"masks/{foreground}.png", f"real_images/{foreground.rpartition('_')[0]}{suffix}"]
        for path in map(root.joinpath, names):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        listed += [lines.format(foreground, f"{foreground}_{number}") for number in (1, 2)]
    (root / name).write_text("\n".join(dict.fromkeys(listed)) + "\n\n")
    return root


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(
    "lines", ["{0}", "{1}", "{1}.jpg", "{0}/{1}.jpg", "composite_images/{1}.png", "composite_images/{0}/{1}.jpg"]
)
@pytest.mark.parametrize("name", ["test_list.txt", "ccHarmony_test.txt"])
def test_every_variant_gives_the_same_pairs(tmp_path, nested, suffix, lines, name):
    pairs = ccharmony.read(write(tmp_path, nested=nested, suffix=suffix, lines=lines, name=name), "test")
    assert [pair.id for pair in pairs] == [f"ccHarmony/{each}_{number}" for each in FOREGROUNDS for number in (1, 2)]
    assert {pair.group for pair in pairs} == {"ccHarmony"}
    last = pairs[-1]
    folder = tmp_path / "composite_images" / ("Canon1DsMkIII_0003_b" if nested else "")
    assert last.composite == str(folder / f"Canon1DsMkIII_0003_b_2{suffix}")
    assert last.mask == str(tmp_path / "masks/Canon1DsMkIII_0003_b.png")
    assert last.reference == str(tmp_path / f"real_images/Canon1DsMkIII_0003{suffix}")


def test_numbers_are_in_order_and_a_gap_is_missed(tmp_path):
    root = write(tmp_path)
    for number in (3, 10, 9):
        (root / f"composite_images/8D5U5531_a_{number}.jpg").touch()
    with pytest.raises(
        DatasetError, match=r"5 of 19 listed files are missing, namely\n  composite_images/8D5U5531_a_4"
    ):
        ccharmony.read(root, "test")
    for number in range(4, 9):
        (root / f"composite_images/8D5U5531_a_{number}.jpg").touch()
    ids = [pair.id for pair in ccharmony.read(root, "test")]
    assert ids[:10] == [f"ccHarmony/8D5U5531_a_{number}" for number in range(1, 11)]


@pytest.mark.parametrize(
    "lost", ["masks/8D5U5531_a.png", "real_images/8D5U5531.jpg", "composite_images/8D5U5531_a_1.jpg"]
)
def test_missing_files_are_listed(tmp_path, lost):
    root = write(tmp_path)
    (root / lost).unlink()
    with pytest.raises(DatasetError, match=f"1 of 11 listed files are missing, namely\n  {lost.partition('.')[0]}"):
        ccharmony.read(root, "test")


def test_a_foreground_without_a_composite_is_missed(tmp_path):
    root = write(tmp_path)
    (root / "test_list.txt").write_text("IMG_0290_a")
    with pytest.raises(DatasetError, match="3 of 3.*\n  composite_images/IMG_0290_a_1\n  masks/IMG_0290_a\n  real_im"):
        ccharmony.read(root, "test")


@pytest.mark.parametrize("line", ["IMG_0290", "p0_1_1.png", "_a"])
def test_a_malformed_line_is_quoted(tmp_path, line):
    root = write(tmp_path)
    (root / "test_list.txt").write_text(f"\n{line}\n")
    with pytest.raises(ManifestError, match=rf"test_list\.txt, line 2: .*{line}"):
        ccharmony.read(root, "test")


def test_lists_that_are_missing_or_empty_are_errors(tmp_path):
    root = write(tmp_path)
    with pytest.raises(DatasetError, match=r"train_list\.txt or ccHarmony_train\.txt in"):
        ccharmony.read(root, "train")
    (root / "test_list.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no composite"):
        ccharmony.read(root, "test")


def test_two_images_of_one_stem_are_an_error_and_hidden_files_are_none(tmp_path):
    root = write(tmp_path)
    (root / "masks/._8D5U5531_a.png").touch()
    assert len(ccharmony.read(root, "test")) == 6
    (root / "real_images/8D5U5531.png").touch()
    with pytest.raises(ManifestError, match=r"real_images/8D5U5531.jpg and real_images/8D5U5531.png have one stem"):
        ccharmony.read(root, "test")


def test_the_root_is_told_by_its_three_folders(tmp_path):
    assert ccharmony.is_root(write(tmp_path / "cc")) and not ccharmony.is_root(tmp_path)
