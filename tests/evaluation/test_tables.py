"""Tables: what they average and how they are rendered."""

import dataclasses

import pytest

from hdnet.model.evaluation import tables
from hdnet.model.evaluation.records import Row
from hdnet.transforms.scores.metrics import Scores

SCORES = Scores(mse=4.0, fmse=16.0, psnr=30.0, fpsnr=20.0, ssim=0.9, fssim=0.5)


def row(name: str, psnr: float, ratio: float = 0.1, baseline_psnr: float = 30.0) -> Row:
    network, reinhard = (dataclasses.replace(SCORES, psnr=value) for value in (psnr, baseline_psnr))
    return Row(name, name.rpartition("/")[0], "paper", 256, 256, ratio, network, SCORES, reinhard, 0.5)


def cells(table: tables.Table) -> dict[tuple[object, object], dict[str, object]]:
    names = [name for name, _ in table.columns]
    return {(line[0], line[2]): dict(zip(names, line, strict=True)) for line in table.rows}


TABLE = tables.Table("Two images", (("set", ""), ("PSNR", ".2f")), (("HCOCO", 31.256), ("all", None)))


def test_text_aligns_words_left_and_numbers_right() -> None:
    assert TABLE.text() == "Two images\n------------\nset     PSNR\nHCOCO  31.26\nall        -\n"


def test_markdown_is_a_pipe_table() -> None:
    expected = "| set   |  PSNR |\n|-------|------:|\n| HCOCO | 31.26 |\n| all   |     - |\n"
    assert TABLE.markdown() == "**Two images**\n\n" + expected


def test_csv_keeps_every_digit() -> None:
    assert TABLE.csv() == "set,PSNR\nHCOCO,31.256\nall,\n"


def test_table_1_averages_each_set_and_all() -> None:
    table = cells(tables.by_group([row("A/1", 32), row("A/2", 34), row("B/1", 29)], "net"))
    assert [key[0] for key in table] == ["A"] * 3 + ["B"] * 3 + ["all"] * 3
    assert [table[name, "net"]["PSNR"] for name in ("A", "B", "all")] == pytest.approx([33, 29, 95 / 3])
    assert table["all", "net"]["images"] == 3
    assert table["all", "composite"]["fSSIM"] == 0.5


def test_table_1_counts_images_worse_than_their_composite() -> None:
    table = cells(tables.by_group([row("A/1", 29.9, baseline_psnr=20), row("A/2", 30.0, baseline_psnr=20)], "net"))
    assert [table["A", method]["worse %"] for method in ("composite", "Reinhard", "net")] == [None, 100, 50]


@pytest.mark.parametrize("name, label", [("a", "all"), ("A/a", "A")])
def test_a_single_set_is_not_repeated_as_all(name: str, label: str) -> None:
    assert {key[0] for key in cells(tables.by_group([row(name, 31)], "net"))} == {label}


def test_missing_scores_are_left_out_of_the_mean() -> None:
    blind = dataclasses.replace(row("a", 31), network=dataclasses.replace(SCORES, fmse=None, ssim=None, fssim=None))
    table = cells(tables.by_group([blind, row("b", 31)], "net"))
    assert table["all", "net"]["fMSE"] == 16
    assert cells(tables.by_group([blind], "net"))["all", "net"]["fMSE"] is None


def test_table_2_puts_every_ratio_into_one_class() -> None:
    ratios = [0.0, 0.049, 0.05, 0.149, 0.15, 1.0]
    table = tables.by_ratio([row("a", 31, ratio) for ratio in ratios], "net")
    assert [line[:2] for line in table.rows[::3]] == [("0% to 5%", 2), ("5% to 15%", 2), ("15% to 100%", 2)]
    assert table.title == "Table 2. By foreground ratio (paper protocol, 6 images)"


def test_table_3_puts_medians_beside_means() -> None:
    table = tables.medians([row("A/1", 30), row("A/2", 31), row("B/1", 41)], "net")
    composite, _, net = table.rows
    assert [name for name, _ in table.columns[:5]] == ["method", "MSE", "median", "fMSE", "median"]
    assert composite[1:] == (4, 4, 16, 16, 30, 30, 0.5, 0.5)
    assert net[5:7] == (34, 31)


def test_an_empty_class_shows_dashes() -> None:
    assert "0% to 5%          0  net           -" in tables.by_ratio([row("a", 31, 0.3)], "net").text()
