"""Manifests of every format, read whole and in parts."""

import csv
import dataclasses
import gzip
import io
import json
import random
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hdnet.transforms.catalog import manifest_check, manifest_parts
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import FailureRow
from hdnet.transforms.errors import ManifestError
from tests.samples import write_iharmony4

HEADER = "id,composite,mask"


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def read(uri: str, part_bytes: int | None = None) -> list[Pair | FailureRow]:
    return [row for part in manifest_parts.plan(uri, part_bytes) for row in manifest_parts.read(part)]


def untimed(rows: list[Pair | FailureRow]) -> list[Pair | FailureRow]:
    return [row if isinstance(row, Pair) else dataclasses.replace(row, failed_at=None) for row in rows]


def pairs(uri: str, part_bytes: int | None = None) -> list[Pair]:
    return [row for row in read(uri, part_bytes) if isinstance(row, Pair)]


def problems(uri: str) -> list[str]:
    return [row.message.removeprefix(uri) for row in read(uri) if isinstance(row, FailureRow)]


def test_a_large_csv_in_parts_gives_every_row_once(tmp_path):
    uri = write(tmp_path / "pairs.csv", "\n".join([HEADER, *(f"a{i:05},c{i}.jpg,m.png" for i in range(50_000))]))
    parts = list(manifest_parts.plan(uri, 450_000))
    assert len(parts) == 3
    ids = [str(row.id) for part in reversed(parts) for row in manifest_parts.read(part)]
    assert sorted(ids) == [f"a{i:05}" for i in range(50_000)]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_line_breaks_and_marks_of_any_system_leave_rows_and_lines_as_they_are(tmp_path, newline, bom, end):
    text = "\n".join([HEADER, *(f"a{i},c.jpg,m.png" for i in range(50))]) + end
    uri = write(tmp_path / "pairs.csv", bom + text.replace("\n", newline))
    for size in (1, 15, 100, 999):
        found = pairs(uri, size)
        assert [(pair.id, pair.source) for pair in found] == [(f"a{i}", f"{uri}, line {i + 2}") for i in range(50)]


def test_cells_with_line_breaks_quotes_and_blank_lines_survive_parts_of_any_size(tmp_path):
    random.seed(1)
    notes = ["".join(random.choices('a",\n\r ü', k=random.randint(0, 12))) for _ in range(60)]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([*HEADER.split(","), "note"])
    for i, note in enumerate(notes):
        writer.writerow([f"a{i}", "c.jpg", "m.png", note])
        buffer.write(random.choice(["", "\r\n", "\n"]))
    uri = write(tmp_path / "pairs.csv", buffer.getvalue())
    whole = pairs(uri)
    assert [dict(pair.extra)["note"] for pair in whole] == [note or None for note in notes]
    for size in (1, 7, 64, 300, 5000):
        again = pairs(uri, size)
        assert again == whole and [pair.source for pair in again] == [pair.source for pair in whole]


@pytest.mark.parametrize("size", [1, 40, 10_000])
def test_jsonl_is_read_in_parts(tmp_path, size):
    rows = [{"id": f"ü{i}", "composite": "c.jpg", "mask": "m.png", "n": i} for i in range(20)]
    text = "\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=i % 2 == 0) for i, row in enumerate(rows))
    found = pairs(write(tmp_path / "pairs.jsonl", text), size)
    assert [(pair.id, pair.extra) for pair in found] == [(f"ü{i}", (("n", str(i)),)) for i in range(20)]
    assert found[-1].source.endswith("pairs.jsonl, line 39")


def test_parquet_is_read_by_row_groups(tmp_path):
    table = pa.table({"id": range(10), "composite": ["c.jpg"] * 10, "mask": ["m.png"] * 10, "price": [1.5, None] * 5})
    table = table.set_column(2, "mask", table["mask"].dictionary_encode())
    uri = str(tmp_path / "pairs.parquet")
    pq.write_table(table, uri, row_group_size=4)
    parts = list(manifest_parts.plan(uri))
    assert [(part.start, part.first) for part in parts] == [(0, 1), (1, 5), (2, 9)]
    found = pairs(uri)
    assert [pair.id for pair in found] == [str(i) for i in range(10)]
    assert found[8].extra == (("price", "1.5"),) and found[9].extra == (("price", None),)
    assert (found[9].source, found[9].mask) == (f"{uri}, row 10", str(tmp_path / "m.png"))


def test_parquet_text_that_is_not_utf8_spoils_its_row_only(tmp_path):
    ids = pa.array([b"a", b"b\xff", None, b"c"]).view(pa.string())
    uri = str(tmp_path / "pairs.parquet")
    pq.write_table(pa.table({"id": ids, "composite": ["c.jpg"] * 4, "mask": ["m.png"] * 4}), uri)
    assert [pair.id for pair in pairs(uri)] == ["a", "c"]
    assert problems(uri) == [r", row 2: id 'b\udcff' is not UTF-8: save the manifest as UTF-8", ", row 3: no id"]


@pytest.mark.parametrize(
    "column", [pa.array([1 << 62], pa.timestamp("us")), pa.array([0], pa.timestamp("us", "Nowhere/At_all"))], ids=str
)
def test_values_that_python_lacks_are_text(tmp_path, column):
    pq.write_table(pa.table({"id": ["a"], "composite": ["c"], "mask": ["m"], "x": column}), tmp_path / "pairs.parquet")
    try:
        (pair,) = pairs(str(tmp_path / "pairs.parquet"))
    except ManifestError as error:
        assert "cannot be read" in str(error)
    else:
        assert dict(pair.extra)["x"]


@pytest.mark.parametrize(
    "content, words",
    [(b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"), (b"<html>", "a web page"), (b"", "empty"),
     (b"PARE", "an encrypted one"), (b"\x1f\x8b\x08", "compressed with gzip")],
)  # fmt: skip
def test_what_is_no_parquet_file_is_named(tmp_path, content, words):
    (tmp_path / "pairs.parquet").write_bytes(content)
    with pytest.raises(ManifestError, match=f"pairs.parquet: cannot be read: it is .*{words}"):
        pairs(str(tmp_path / "pairs.parquet"))


def test_bad_rows_of_a_csv_are_named_and_the_others_read(tmp_path):
    rows = ["a,c,m", "b,c", "d,c,m,x", "e\xff,c,m", '"f"x,c,m', ",c,m", "", "g,c,m"]
    uri = write(tmp_path / "pairs.csv", "\n".join([HEADER, *rows]).encode("latin-1"))
    assert [pair.id for pair in pairs(uri)] == ["a", "g"]
    assert problems(uri) == [
        ", line 3: 2 cells where the header has 3: ['b', 'c']",
        ", line 4: 4 cells where the header has 3: ['d', 'c', 'm', 'x']",
        r", line 5: id 'e\udcff' is not UTF-8: save the manifest as UTF-8",
        ", line 6: not CSV: text follows a closing quote: write a quote within a cell as two",
        ", line 7: no id",
    ]


def test_a_quote_that_is_never_closed_is_named(tmp_path):
    uri = write(tmp_path / "pairs.csv", f'{HEADER}\na,c,m\n"b,c,m\nd,c,m')
    assert problems(uri) == [", line 3: not CSV: a quote is opened and never closed"]
    assert untimed(read(uri, 1)) == untimed(read(uri))


def test_bad_rows_of_jsonl_are_named_and_the_others_read(tmp_path):
    rows = ['{"id": "a"', "[1]", '{"id": "b", "mask": "m"}', '{"id": "\\ud800", "composite": "c", "mask": "m"}',
            "[" * 100_000, '{"id": "c", "composite": "c", "mask": "m"}']  # fmt: skip
    uri = write(tmp_path / "pairs.jsonl", "\n".join(rows))
    assert [pair.id for pair in pairs(uri)] == ["c"]
    wanted = [
        "1: not JSON: ",
        "2: not a JSON object, which each line must be: ",
        "3: no composite",
        r"4: id '\ud800' is not",
        "5: not JSON: ",
    ]
    assert all(text.startswith(f", line {start}") for text, start in zip(problems(uri), wanted, strict=True))
    assert max(map(len, problems(uri))) < 300


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.csv", "id,image,mask\n", r"pairs\.csv: no column composite; it has 'id, image, mask'"),
        ("pairs.csv", "id;composite;mask\n", "'id;composite;mask': ';' where commas are wanted"),
        ("pairs.csv", "", "no column id, composite, mask"),
        ("pairs.csv", "id,,composite,mask\n", "column name '' is empty"),
        ("pairs.csv", f"{HEADER},id\n", "column 'id' is used twice"),
        ("pairs.csv", f"{HEADER},psnr\n", "column 'psnr' is a column of the metrics"),
        ("pairs.csv", '"id"x\n', r"line 1: not CSV: text follows a closing quote"),
        ("pairs.csv", HEADER.encode("utf-16"), "pairs.csv is UTF-16: save it as CSV UTF-8"),
        ("pairs.csv", HEADER.encode("utf-16-le"), "pairs.csv is UTF-16, or no text: save it as CSV UTF-8"),
        ("pairs.csv", b"PK\x03\x04\x14\0", "pairs.csv is an Excel workbook"),
        ("pairs.csv", b"PAR1", "pairs.csv is a Parquet file: let its name end in .parquet"),
        ("pairs.jsonl", b"\x1f\x8b\x08", "pairs.jsonl is compressed with gzip: let its name end in .gz"),
        ("pairs.csv", f"{HEADER}\r1,c,m\r", "line 1: not CSV: a line break .* the line ends of old Macs"),
        ("pairs.csv", "id, composite, mask\n", "no column composite, mask; .*: the column names begin with spaces"),
        ("pairs.csv", b"<!DOCTYPE html>", "pairs.csv is a web page or XML"),
        ("pairs.csv", b"version https://git-lfs.github.com/spec/v1\n", "pairs.csv is a Git LFS pointer"),
        ("pairs.csv", b"{\\rtf1", "pairs.csv is a text with formats"),
        ("pairs.csv", b"ARROW1\0\0", "pairs.csv is an Arrow or Feather file"),
        ("pairs.csv", b"\x28\xb5\x2f\xfd\0", "pairs.csv is compressed with Zstandard"),
        ("pairs.csv", f"Table 1\n{HEADER}\n", "'Table 1': its first line must name the columns"),
        ("pairs.csv", f"\ufeff\ufeff{HEADER}\n", "hold characters that cannot be seen, or curly quotes"),
        ("pairs.csv", HEADER.replace(",", "|"), "'|' where commas are wanted"),
        ("pairs.tsv", HEADER, "',' where tabs are wanted"),
        ("pairs.csv.gz", HEADER.encode(), "cannot be read: it is no whole gzip file"),
        ("pairs.csv.gz", gzip.compress(HEADER.encode() * 99)[:-9], "no whole gzip file"),
        ("pairs.csv", f"sep=,\n{HEADER}\n", "'sep=': its first line is Excel's mark of the separator: remove"),
        ("pairs.csv", f",{HEADER}\n", "the first column has no name, as where pandas writes its index"),
        ("pairs.csv.gz", b"\x1f\x8b\x08", "pairs.csv.gz: cannot be read"),
        ("pairs.csv.gz", gzip.compress(HEADER.encode() * 99)[:-9], "pairs.csv.gz: cannot be read"),
        ("pairs.jsonl", "x" * (2 << 20), r"pairs\.jsonl, line 1: longer than 1048576 bytes"),
        ("pairs.parquet", "PAR1", "cannot be read"),
        ("pairs.xlsx", "", r"neither a file \.csv, \.tsv, \.jsonl, \.parquet, \.txt nor a folder"),
    ],
)
def test_files_that_are_no_manifest_are_refused(tmp_path, name, content, message):
    with pytest.raises(ManifestError, match=message):
        read(write(tmp_path / name, content))


def test_parquet_without_the_columns_is_refused(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "pairs.parquet")
    with pytest.raises(ManifestError, match=r"pairs\.parquet: no column composite, mask; it has 'id'"):
        read(str(tmp_path / "pairs.parquet"))


@pytest.mark.parametrize("suffix", manifest_parts.FORMATS)
def test_a_manifest_that_is_not_there_is_named(tmp_path, suffix):
    with pytest.raises(ManifestError, match=rf"gone\{suffix}: cannot be read"):
        read(str(tmp_path / f"gone{suffix}"))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ManifestError, match="gone: there is no such file or folder"):
        read(str(tmp_path / "gone"))


def test_a_folder_gives_pairs_by_stem(tmp_path):
    for name in ("composites/x/a.jpg", "masks/x/a.png", "composites/b .jpg", "masks/b .png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    bad, pair = read(str(tmp_path))
    assert pair == Pair("x/a", str(tmp_path / "composites/x/a.jpg"), str(tmp_path / "masks/x/a.png"))
    assert isinstance(bad, FailureRow) and bad.source == str(tmp_path / "composites/b .jpg")


def test_the_iharmony4_root_its_lists_and_a_subsets_list_give_the_same_pairs(tmp_path):
    root = write_iharmony4(tmp_path, photos=2)
    found = pairs(str(root))
    assert found == pairs(str(root / "IHD_test.txt"), 30) == pairs(str(root / "HToy/HToy_test.txt"))
    assert (found[3].id, found[3].source) == ("HToy/p1_1_2", f"{root}/IHD_test.txt, line 4")
    assert found[3].reference == str(root / "HToy/real_images/p1.png")


def test_a_malformed_line_of_a_list_is_named(tmp_path):
    uri = write(tmp_path / "pairs.txt", "HToy/composite_images/p0_1_1.png\np0.png\n")
    assert len(pairs(uri)) == 1
    assert problems(uri)[0].startswith(", line 2: a list's line is SUB/composite_images/PHOTO_REGION_N.jpg, not 'p0")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_manifests_on_other_file_systems_are_read(suffix):
    uri = f"memory://catalog/in/pairs.{suffix}"
    with fsspec.open(uri, "wb") as file:
        if suffix == "csv":
            file.write(f"{HEADER}\na,c.jpg,../m.png\n".encode())
        else:
            pq.write_table(pa.table({"id": ["a"], "composite": ["c.jpg"], "mask": ["../m.png"]}), file)
    assert pairs(uri) == [Pair("a", "memory://catalog/in/c.jpg", "memory://catalog/m.png")]


def test_rows_without_a_value_are_passed_over(tmp_path):
    uri = write(tmp_path / "pairs.csv", f"{HEADER}\r\na,c,m\r\n,,\r\n,,\r\n")
    assert [pair.id for pair in pairs(uri)] == ["a"] and not problems(uri)


def test_a_cell_that_is_too_long_is_named(tmp_path):
    uri = write(tmp_path / "pairs.csv", f'{HEADER},polygon\na,c,m,"{"[1,2]," * 30_000}"\nb,c,m,\n')
    assert problems(uri) == [
        ", line 2: a cell of 180,000 characters in column 'polygon', more than 131,072: leave the column out"
    ]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("compressed", [False, True])
def test_tables_with_tabs_and_compressed_ones_are_read(tmp_path, suffix, compressed):
    rows = [{"id": f"a{i}", "composite": "x/c,1.jpg", "mask": "m.png"} for i in range(9)]
    buffer = io.StringIO()
    if suffix == ".jsonl":
        buffer.write("\n".join(map(json.dumps, rows)))
    else:
        writer = csv.DictWriter(buffer, list(rows[0]), delimiter="," if suffix == ".csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
    data = buffer.getvalue().encode()
    path = tmp_path / (f"pairs{suffix}.gz" if compressed else f"pairs{suffix}")
    path.write_bytes(gzip.compress(data) if compressed else data)
    found = pairs(str(path), 10)
    assert [pair.id for pair in found] == [row["id"] for row in rows]
    assert found[0].composite == str(tmp_path / "x/c,1.jpg")


@pytest.mark.parametrize("folder", ["pairs", "pairs.parquet"])
def test_a_folder_of_parquet_files_is_one_manifest(tmp_path, folder):
    root = tmp_path / folder
    for name, identity in (("part-1.parquet", "b"), ("part-0.parquet", "a"), ("day=2/part-0.parquet", "c")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [identity], "composite": ["c.jpg"], "mask": ["m.png"]}), root / name)
    (root / "_delta_log").mkdir()
    for name in ("_SUCCESS", "_delta_log/1.parquet"):
        (root / name).touch()
    found = pairs(str(root))
    assert [pair.id for pair in found] == ["c", "a", "b"]
    assert {pair.composite for pair in found} == {str(root / "c.jpg")}
    assert found[0].source == f"{root}/day=2/part-0.parquet, row 1"
    (root / "part-2.csv").write_text(HEADER)
    passed = manifest_check.check(str(root)).passed
    assert passed == {"hidden": ["_SUCCESS", "_delta_log/1.parquet"], "no Parquet": ["part-2.csv"]}


def test_cells_that_spreadsheets_leave_behind_a_table_are_passed_over(tmp_path):
    text = f"{HEADER},,\n1,a,b,,\n2,a,b\n"
    assert [pair.id for pair in pairs(write(tmp_path / "pairs.csv", text))] == ["1", "2"]


def test_json_over_several_lines_is_named(tmp_path):
    uri = write(tmp_path / "pairs.jsonl", json.dumps([{"id": "1", "composite": "a", "mask": "b"}], indent=1))
    assert problems(uri)[0].endswith("line 1: JSON of several lines: write each row as an object on one line")
