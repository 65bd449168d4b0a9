"""The page of an evaluation."""

import re

import pytest

from hdnet.model.evaluation import contact_sheet, page, tables
from hdnet.model.evaluation.records import Failure, Row
from tests import browser
from tests.evaluation.test_contact_sheet import decoded, row

HOSTILE = "<script>alert(1)</script>"


def rendered(rows: list[Row], failures: list[Failure] | None = None) -> str:
    cards = {
        heading: [page.card(each, decoded(), decoded().real) for each in chosen]
        for heading, chosen in contact_sheet.choose(rows).items()
    }
    made = [tables.by_group(rows, "net"), tables.by_ratio(rows, "net")]
    return page.render("net, native protocol", "net", rows, failures or [], made, cards)


def test_gains_below_zero_are_marked_and_no_gain_is_lost():
    plot = page.gains([row(str(i), gain) for i, gain in enumerate((-2.5, -0.1, 0.0, 0.3, 7.9))])
    filled = [bar for bar in plot.bars if bar.height > 0]
    counts = [round(bar.height / min(each.height for each in filled)) for bar in filled]
    assert list(zip(counts, (bar.minus for bar in filled), strict=True)) == [
        (1, True), (1, True), (2, False), (1, False),
    ]  # fmt: skip


@pytest.mark.parametrize("gains", [(0.0,), (3.0, 3.0), (-1.0,), (1e-9, 2e-9)])
def test_gains_of_any_spread_can_be_drawn(gains):
    rows = [row(str(i), gain) for i, gain in enumerate(gains)]
    assert sum(bar.height > 0 for bar in page.gains(rows).bars) >= 1
    assert all(0 <= dot.y <= page.FRAME.height for dot in page.by_foreground(rows).dots)


def test_a_dot_for_each_image_up_to_a_limit():
    few, many = ([row(str(i), i - 1) for i in range(count)] for count in (3, page.MOST_DOTS + 5))
    assert [dot.minus for dot in page.by_foreground(few).dots] == [True, False, False]
    assert len(page.by_foreground(many).dots) == page.MOST_DOTS


def test_the_page_shows_tables_images_and_failures_and_escapes_them():
    rows = [row(HOSTILE, 2.0), row("b", -1.0), row("c", 0.5)]
    source = rendered(rows, [Failure(HOSTILE, "DecodeError", HOSTILE)] * 12)
    assert HOSTILE not in source and source.count('<article class="card"') == 3
    assert source.count("DecodeError") == page.NAMED and 'href="failures.parquet"' in source
    assert "0.50 dB</b> closer to" in source and re.findall("<h3><bdi>(Table [12])", source) == ["Table 1", "Table 2"]
    assert not re.search(r"https?:|@import|url\(|\bon\w+=", source)


@browser.needed
@pytest.mark.parametrize("width", [1400, 390])
def test_in_a_browser_the_page_fits_and_its_slider_moves(tmp_path, width):
    path = tmp_path / "index.html"
    path.write_text(rendered([row(str(i), i - 1) for i in range(6)]), "utf-8")
    with browser.opened(path, tmp_path, width) as chrome:
        assert chrome.execute_script("return document.documentElement.scrollWidth") == width
        slider = chrome.find_element("css selector", ".compare input")
        slider.send_keys("\ue012" * 10)  # arrow left
        assert chrome.execute_script("return getComputedStyle(document.querySelector('.handle')).left") != "auto"
        assert slider.get_attribute("value") == "40"
        for scheme in ("light", "dark"):
            browser.screenshot(chrome, browser.SCREENSHOTS / f"evaluation-{width}-{scheme}.png", dark=scheme == "dark")
            assert browser.faults(chrome) == []
