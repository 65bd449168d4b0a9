"""Manifests checked before a run."""

import json
from pathlib import Path

import pytest

from hdnet.transforms.catalog import manifest_check
from hdnet.transforms.errors import ManifestError
from tests.samples import write_iharmony4


def write(folder: Path, ids: list[str]) -> str:
    lines = ["id,composite,mask,reference,sku", *(f"{name},c.jpg,m.png,,k" for name in ids)]
    (folder / "pairs.csv").write_text("\n".join(lines))
    return str(folder / "pairs.csv")


def test_a_valid_manifest_is_described(tmp_path):
    info = manifest_check.check(write(tmp_path, ["a", "a.png", "a/b", "ä"]))
    assert (info.format, info.rows, info.with_reference, info.extra) == ("csv", 4, 0, ("sku",))
    assert info.columns == ("id", "composite", "mask", "sku")


def test_an_iharmony4_root_is_described(tmp_path):
    info = manifest_check.check(str(write_iharmony4(tmp_path, photos=2)))
    assert (info.format, info.rows, info.with_reference) == ("list", 4, 4)
    assert info.columns == ("id", "composite", "mask", "reference")


def test_ids_that_are_there_twice_are_named_with_both_lines(tmp_path):
    uri = write(tmp_path, ["a", "b", "c", "a", "a"])
    with pytest.raises(ManifestError) as caught:
        manifest_check.check(uri)
    assert str(caught.value).splitlines() == [
        f"{uri}: the first problems:",
        f"  {uri}, line 5: id 'a' is already used in line 2",
        f"  {uri}, line 6: id 'a' is already used in line 2",
    ]


@pytest.mark.parametrize("other", ["X/A", "x/A"])
def test_ids_that_a_disk_may_take_for_one_are_named_with_both_lines(tmp_path, other):
    with pytest.raises(ManifestError, match=rf"line 4: id '{other}' differs from 'x/a', in line 2, only by case"):
        manifest_check.check(write(tmp_path, ["x/a", "b", other]))


def test_ten_problems_are_shown_of_many(tmp_path):
    with pytest.raises(ManifestError) as caught:
        manifest_check.check(write(tmp_path, ["a", "a", *(f"../{i}" for i in range(20))]))
    first, *lines = str(caught.value).splitlines()
    assert "20 bad rows, the first problems:" in first and len(lines) == 10


def test_bad_rows_and_doubles_are_shown_together(tmp_path):
    with pytest.raises(ManifestError, match=r"line 3: id '\.\.'(.|\n)*line 4: id 'a' is already used in line 2"):
        manifest_check.check(write(tmp_path, ["a", "..", "a"]))


def test_ids_whose_hashes_are_equal_by_chance_are_two_ids(tmp_path):
    uri = write(tmp_path, ["a", "b"])
    assert not list(manifest_check.duplicates(uri, {hash("a"), hash("b")}))


def test_a_manifest_without_rows_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="holds no pair"):
        manifest_check.check(write(tmp_path, []))


def test_columns_of_jsonl_are_those_of_any_row_and_must_go_together(tmp_path):
    uri = tmp_path / "pairs.jsonl"
    rows = [{"id": str(i), "composite": "c", "mask": "m", name: 1} for i, name in enumerate(["sku", "price"])]
    uri.write_text("\n".join(map(json.dumps, rows)))
    assert manifest_check.check(str(uri)).extra == ("sku", "price")
    uri.write_text(uri.read_text().replace("price", "SKU"))
    with pytest.raises(ManifestError, match="column 'SKU' is used twice"):
        manifest_check.check(str(uri))


def test_rows_that_all_have_other_columns_are_refused(tmp_path):
    rows = [{"id": str(i), "composite": "c", "mask": "m", f"x{i}": 1} for i in range(1001)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ManifestError, match=r"line 1001: the rows have more than 1000 different columns"):
        manifest_check.check(str(tmp_path / "pairs.jsonl"))
