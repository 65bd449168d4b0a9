"""The rules that a row must keep."""

import datetime
import pickle
import random
import unicodedata

import pytest

from hdnet.transforms.catalog import manifest
from hdnet.transforms.errors import ManifestError

ROW = {"id": "a", "composite": "c.jpg", "mask": "m.png"}


def parse(**values: object) -> manifest.Pair:
    return manifest.parse({**ROW, **values}, "gs://catalog/in", "pairs.csv, line 7")


def test_a_row_becomes_a_pair_with_full_uris():
    pair = parse(id="x/y/a", mask="../masks/m.png", reference="s3://other/r.png")
    assert (pair.id, pair.group, pair.source) == ("x/y/a", "x", "pairs.csv, line 7")
    assert (pair.composite, pair.mask) == ("gs://catalog/in/c.jpg", "gs://catalog/masks/m.png")
    assert (pair.reference, pair.extra) == ("s3://other/r.png", ())


def test_a_pair_is_a_small_value():
    pair = parse(sku="k1")
    assert pickle.loads(pickle.dumps(pair)) == pair
    assert len({pair, parse(sku="k1"), parse(sku="k2")}) == 2
    assert len(pickle.dumps(pair)) < 400


def test_an_empty_reference_is_none():
    assert parse(reference="").reference is parse(reference=None).reference is parse().reference is None


def test_extra_values_become_text():
    day = datetime.date(2026, 11, 20)
    pair = parse(a="ü", b="", c=None, d=True, e=1.5, f=7, g=["x", {"y": None}], h=day)
    assert dict(pair.extra) == {
        "a": "ü", "b": None, "c": None, "d": "true", "e": "1.5", "f": "7", "g": '["x", {"y": null}]', "h": "2026-11-20",
    }  # fmt: skip


def test_a_number_is_an_id():
    assert parse(id=17).id == "17"


@pytest.mark.parametrize("column", manifest.REQUIRED)
@pytest.mark.parametrize("value", ["", None])
def test_required_values_must_be_there(column, value):
    with pytest.raises(ManifestError, match=rf"^pairs\.csv, line 7: no {column}$"):
        parse(**{column: value})


@pytest.mark.parametrize("wrong", [{"id": True}, {"id": 1.5}, {"mask": 3}, {"composite": b"x"}, {"reference": ["r"]}])
def test_values_must_be_text(wrong):
    with pytest.raises(ManifestError, match=r"must be text, not \w+: "):
        parse(**wrong)


BAD_IDS = {
    "..": "leaves the output", "a/../b": "leaves the output", "/a": "absolute", "C:/a": "absolute", "a\\b": "backslash",
    "a\0": "control", "a\nb": "control", "a\x85b": "control", "a\u2028b": "control", "a//b": "empty name",
    "a/": "empty name", " a": "begins or ends", "a ": "begins or ends", "a /b": "begins or ends", ".": "begins or ends",
    ".a": "begins or ends", "a.": "begins or ends", "a/.b": "begins or ends", "\u00a0a": "begins or ends",
    "con": "Windows", "x/NUL.tar": "Windows", "lpt1/x": "Windows", "a::b": '"::"', "a\udcff": "not UTF-8",
    "a.jpg/b": "folder named like an image", "x/A.TIFF/b": "folder named like an image", "gs://x": "empty name",
    "a" * 201: "name of more than 200 bytes", "x/" + "ü" * 101: "name of more than 200 bytes",
    "/".join(["a" * 100] * 9): "more than 800 bytes",
}  # fmt: skip


@pytest.mark.parametrize("identity", BAD_IDS)
def test_ids_that_are_no_safe_name_are_refused(identity):
    with pytest.raises(ManifestError, match=BAD_IDS[identity]) as caught:
        parse(id=identity)
    assert str(caught.value).startswith("pairs.csv, line 7: id ")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "identity",
    ["a.b", "a.jpg", "console", "com", "x/a-b_c", "ünï/çödé", "👩‍🎨", "=1+2", "<b>", "a:1", "a" * 200, "ü" * 100],
)
def test_ids_that_look_odd_but_are_safe_are_kept(identity):
    assert parse(id=identity).id == identity


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://169.254.169.254/", "neither a path nor one of file://, gs://, https://, memory://, s3://"),
        ("zip://x.jpg::gs://catalog/a.zip", '"::"'),
        ("a\nb.jpg", "control character"),
        (" c.jpg", "begins or ends with a space"),
        ("../../../c.jpg", "leaves the bucket of gs://catalog/in"),
        ("c\udcff.jpg", "not UTF-8"),
        ("c" * 4097, "more than 4096 bytes"),
    ],
)
@pytest.mark.parametrize("column", ["composite", "mask", "reference"])
def test_uris_that_cannot_be_meant_are_refused(column, uri, reason):
    with pytest.raises(ManifestError, match=reason):
        parse(**{column: uri})


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"mse": 1}, "column 'mse' is a column of the metrics"),
        ({"Input_PSNR": 1}, "is a column of the metrics"),
        ({"run_id": 1}, "is a column of the metrics"),
        ({"sku": 1, "SKU": 2}, "column 'SKU' is used twice"),
        ({"Mask": 1}, "column 'Mask' is used twice"),
        ({"": 1}, "column name '' is empty"),
        ({"a\x1b[2J": 1}, r"column name 'a\\x1b\[2J' has a control"),
        ({"x" * 201: 1}, "column name .* more than 200 bytes"),
        ({"sku": "a\udcff"}, "'sku' 'a\\\\udcff' is not UTF-8"),
        ({"thumbnail": b"\xff\xd8"}, "column 'thumbnail' holds bytes"),
    ],
)
def test_extra_columns_that_the_metrics_cannot_hold_are_refused(extra, reason):
    with pytest.raises(ManifestError, match=f"^pairs.csv, line 7: .*{reason}"):
        parse(**extra)


def test_a_header_must_name_the_required_columns():
    manifest.check_header(["mask", "sku", "composite", "id"])
    with pytest.raises(ManifestError, match="^no column composite, mask; it has 'id, image, Mask'$"):
        manifest.check_header(["id", "image", "Mask"])


def test_a_bad_rows_id_can_be_stored():
    assert manifest.failure({"id": "a\udcff"}, "p", "x").id == r"a\udcff"
    assert manifest.failure({"id": 1.5}, "p", "x").id is manifest.failure({}, "p", "x").id is None


def test_ids_fold_together_when_a_disk_would_take_them_for_one():
    composed, decomposed = "Caf\u00e9", unicodedata.normalize("NFD", "caf\u00c9")
    assert manifest.fold(composed) == manifest.fold(decomposed) == manifest.fold("CAF\u00c9")
    assert len({manifest.fold(name) for name in ("a", "a.png", "a/b", "b", "\u00e4")}) == 5


def test_random_ids_are_kept_or_refused_and_kept_ones_stay_inside(tmp_path):
    random.seed(0)
    kept = 0
    for _ in range(5000):
        identity = "".join(random.choices("ab./\\ \0:üC\u0301\udcff\n-", k=random.randint(1, 8)))
        try:
            pair = parse(id=identity)
        except ManifestError as error:
            assert str(error).isprintable()
        else:
            kept += 1
            path = tmp_path / "images" / f"{pair.id}.png"
            assert path.resolve() == path and path.is_relative_to(tmp_path / "images")
    assert kept > 500


@pytest.mark.parametrize("word", ["nan", "NaN", "NULL", "None", "NA", "<NA>"])
def test_words_for_a_missing_value_are_none_where_one_may_be_missing(word):
    pair = parse(reference=word, mask_value=word, invert_mask=word, strength=word, label=word)
    assert (pair.reference, pair.mask_value, pair.invert_mask, pair.strength) == (None, None, None, None)
    assert dict(pair.extra)["label"] == word
    assert parse(mask_value="15.0").mask_value == 15


def test_nan_is_a_missing_value():
    pair = parse(reference=float("nan"), mask_value=float("nan"), price=float("nan"))
    assert (pair.reference, pair.mask_value, pair.extra) == (None, None, (("price", None),))
    with pytest.raises(ManifestError, match="no mask"):
        parse(mask=float("nan"))


@pytest.mark.parametrize("value", [b"x", {"bytes": b"x", "path": None}, [{"a": [b"x"]}]])
def test_bytes_are_refused_wherever_they_are(value):
    with pytest.raises(ManifestError, match="column 'image' holds bytes, which the metrics cannot: b'x'"):
        parse(image=value)


@pytest.mark.parametrize("value, wanted", [("15", 15), (15, 15), (15.0, 15), ("", None), (None, None)])
def test_a_row_may_say_which_value_of_its_mask_counts(value, wanted):
    assert parse(mask_value=value).mask_value == wanted


@pytest.mark.parametrize("value, wanted", [("true", True), (True, True), ("1", True), ("False", False), (0, False)])
def test_a_row_may_say_that_its_mask_is_inverted(value, wanted):
    assert parse(invert_mask=value).invert_mask is wanted and parse().invert_mask is None


@pytest.mark.parametrize("wrong", [{"mask_value": "person"}, {"mask_value": -1}, {"mask_value": 1.5},
                                   {"mask_value": 65536}, {"invert_mask": "maybe"}])  # fmt: skip
def test_what_a_row_says_of_its_mask_is_checked(wrong):
    with pytest.raises(ManifestError, match="must be"):
        parse(**wrong)
