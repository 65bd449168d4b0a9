"""deploy/scale.py computes what deploy/scale.md says."""

import itertools

import pytest
from click.testing import CliRunner

from deploy import scale
from hdnet.pipeline.steps import journal
from tests.test_packaging import ROOT


def test_the_page_holds_what_follows_from_the_measurements():
    done = CliRunner().invoke(scale.main, ["table"], catch_exceptions=False)
    tables = done.output.strip().split("\n\n")
    assert len(tables) == 2 and all(each in (ROOT / "deploy" / "scale.md").read_text() for each in tables)


def test_time_and_cost_add_up():
    prices = scale.Prices(vcpu_hour=0.05, gb_hour=0.005, shuffled_gb=0.01, write=5e-6, read=4e-7)
    assert scale.dollars(1, 1000, 2, 1000, prices) == pytest.approx(50 + 10 + 0.01 + 5 + 1.2)
    measured = {"seconds_per_megapixel": {"lite float32": {"read": 0.3, "network": 1.45}}, "bytes_shuffled": 1000}
    row = scale.table(measured, 0.1, 2, prices).splitlines()[2]
    assert row == "| 1 million | lite | float32 | 3.60 | 1,000 | 125 | 66 |"
    assert scale.load(measured, 0.1).splitlines()[2].startswith("| 1 million | 35 | 104 | 1.0 | ")


def test_journals_are_counted_as_they_are_written(monkeypatch):
    seconds, writes = itertools.count(), []
    monkeypatch.setattr("hdnet.pipeline.steps.journal.time.monotonic", lambda: next(seconds))
    monkeypatch.setattr("hdnet.pipeline.steps.journal.storage.write", lambda name, _: writes.append(name))
    monkeypatch.setattr(journal, "to_parquet", lambda *_: b"")
    written = journal.Journal("folder", None)
    for _ in range(3600):
        written.add({})
    assert len(writes) == pytest.approx(scale.journal_files(3600), rel=0.2)
