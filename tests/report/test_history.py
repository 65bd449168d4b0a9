"""The page of all runs."""

import dataclasses
import json
import re
from datetime import UTC, datetime

import pytest

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.report import history, run_info
from tests import browser
from tests.run_samples import INFO, compared, failed, row, summary

HOSTILE = "<script>alert(1)</script>"


def stored(folder, *runs, report=True):
    """Store the summaries of runs, each of a name and rows, on successive days."""
    (folder / "runs").mkdir()
    for day, (name, rows) in enumerate(runs, 1):
        start, end = (datetime(2026, 11, day, 7, 30, second, tzinfo=UTC) for second in (0, 10))
        info = dataclasses.replace(INFO, run_id=name, output=str(folder), started=start, finished=end)
        (folder / f"runs/{name}.json").write_text(json.dumps(run_info.to_json(info, summary(*rows))))
        if report:
            (folder / f"runs/{name}.html").write_text("")
    return Layout(str(folder), "any")


def test_runs_come_in_the_order_of_time_with_their_figures(tmp_path):
    layout = stored(tmp_path, ("z", [compared("a", 20, 21), failed()]), ("a", [row(flags="clipped"), row("b")]))
    (first, second), unread = history.read(layout)
    assert (first.run_id, first.done, first.failed, first.flagged, first.gain) == ("z", 1, 1, 0, 1.0)
    assert (second.run_id, second.done, second.flagged, second.gain) == ("a", 2, 1, None)
    assert (second.gap_before, second.gap_after, second.seconds, second.link) == (30.0, 10.0, 10.0, "a.html")
    assert round(second.work or 0, 6) == 1.4 and unread == []


def test_the_page_links_reports_and_draws_what_two_runs_have(tmp_path):
    layout = stored(tmp_path, ("one", [row()]), ("two", [row(), compared("b", 9, 8)]), ("three", [failed()]))
    history.write(layout)
    source = (tmp_path / "runs/index.html").read_text()
    assert re.findall('href="([^"]*)"', source) == ["three.html", "two.html", "one.html"]
    assert [trend.title for trend in history.trends(history.read(layout)[0])] == [
        "Done", "Failed", "Flagged", "Gap to the background", "Work",
    ]  # fmt: skip
    assert source.count('<circle class="dot"') == 3 * 3 + 2 + 2


def test_a_run_without_a_report_has_no_link_and_other_files_are_named(tmp_path):
    layout = stored(tmp_path, ("one", [row()]), report=False)
    for name, content in (("broken", "{"), ("list", "[]"), (HOSTILE.replace("/", ""), "{}")):
        (tmp_path / f"runs/{name}.json").write_text(content)
    runs, unread = history.read(layout)
    source = history.render(runs, unread)
    assert [run.link for run in runs] == [None] and len(unread) == 3 and "broken.json" in source
    assert "<script>alert" not in source and "circle" not in source


def test_runs_of_one_day_are_told_apart_by_the_hour(tmp_path):
    (one, two), _ = history.read(stored(tmp_path, ("a", [row()]), ("b", [row()])))
    for started, texts in ((two.started, ["2026-11-01", "2026-11-02"]), ("2026-11-01T09:15:00Z", ["07:30", "09:15"])):
        trend = history.trends([one, dataclasses.replace(two, started=started)])[0]
        assert [tick.text for tick in trend.plot.across] == texts


def test_hostile_figures_stay_text(tmp_path):
    layout = stored(tmp_path, ("one", [row()]), ("two", [row()]))
    content = json.loads((tmp_path / "runs/two.json").read_text()) | {"run_id": HOSTILE, "started": HOSTILE}
    (tmp_path / "runs/two.json").write_text(json.dumps(content))
    assert HOSTILE not in history.render(*history.read(layout))


def test_one_run_is_a_page_without_plots(tmp_path):
    source = history.render(*history.read(stored(tmp_path, ("one", [row()]))))
    assert "<svg" not in source and "the only run so far" in source


@browser.needed
@pytest.mark.parametrize("width", [1400, 390])
def test_in_a_browser_the_page_fits(tmp_path, width):
    history.write(stored(tmp_path, *((f"2026-11-{day:02}T01-00-00Z", [row(), failed()]) for day in range(1, 10))))
    with browser.opened(tmp_path / "runs/index.html", tmp_path, width) as chrome:
        assert chrome.execute_script("return document.documentElement.scrollWidth") == width
        assert chrome.find_element("css selector", "tbody a").size["height"] < 30  # a run's name is in one line
        for scheme in ("light", "dark"):
            browser.screenshot(chrome, browser.SCREENSHOTS / f"history-{width}-{scheme}.png", dark=scheme == "dark")
            assert browser.faults(chrome) == []
