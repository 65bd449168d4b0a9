"""runs/<run>.json, and what a run prints at its end."""

import json
import re

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.report import closing, run_info
from hdnet.pipeline.steps.summary import Summary
from tests.run_samples import INFO, compared, failed, row, summary, table

TOTALS = {"done": 1, "images": 1, "skipped": 0, "failed": 1}


def test_the_run_file_is_json_with_every_total():
    whole = summary(compared("a", 20, 30), failed())
    content = json.loads(json.dumps(run_info.to_json(INFO, whole), allow_nan=False))
    assert content["totals"] == {"done": 1, "failed": 1, "new": 1, "skipped": 0, "images": 1, "flagged": 0,
                                 "removed": 0, "stale": 0, "pixels": 500_000, "worse": 0, "compared": 1,
                                 "seconds": {"read": 0.1, "network": 1.0, "write": 0.2, "score": 0.1}}  # fmt: skip
    assert content["rates"] == {"images_per_second": 0.1, "megapixels_per_second": 0.05, "failure_share": 0.5,
                                "worse_share": 0.0}  # fmt: skip
    assert content["weights"] == {"name": "hdnet-lite", "sha256": "ab", "arch": "hdnet-lite"}
    assert content["failures"] == {"DecodeError": 1} and content["means"]["psnr"] == 30
    assert sum(content["histograms"]["psnr"]["counts"]) == 1
    assert content["seconds"] == 10 and content["options"] == {"limit": None, "quality": 95}


def test_every_key_of_the_run_file_is_documented():
    assert all(key in str(run_info.to_json.__doc__) for key in run_info.to_json(INFO, Summary()))


def test_the_terminal_table():
    lines = table(summary(compared("a", 20, 30), compared("b", 30, 28), failed("c"))).splitlines()
    assert lines[0] == "Run r1, 10.0 s"
    assert [re.sub(" +", " ", line).strip() for line in lines[2:]] == [
        "total rate", "done 2 0.20 images per second", "megapixels 1.0 0.10 per second",
        "read seconds 0.2 0.100 per image", "network seconds 2.0 1.000 per image",
        "write seconds 0.4 0.200 per image", "score seconds 0.2 0.100 per image",
        "failures 1 33.3%", "new 1 33.3%", "DecodeError 1 33.3%",
        "made worse 1 50.0% of 2", "mean PSNR before in dB 25.00",
        "mean PSNR after in dB 29.00 +4.00",
    ]  # fmt: skip


def test_the_psnr_table_names_images_with_a_reference_and_averages_them():
    lines = closing.psnr_table([compared("b", 20, 22), compared("a", 23.966, 25.364), row("none")]).splitlines()
    assert lines[3].split() == ["a", "23.97", "25.36", "+1.39"]
    assert lines[-1].split() == ["mean", "of", "2", "21.98", "23.68", "+1.70"]


def test_places():
    assert closing.places(Layout("gs://shop/out", "r1"), TOTALS, report=True).split() == [
        "images", "gs://shop/out/images", "metrics", "gs://shop/out/metrics/run_id=r1",
        "failures", "gs://shop/out/failures/run_id=r1", "report", "gs://shop/out/runs/r1.html",
    ]  # fmt: skip
    assert closing.places(Layout("/out", "r1"), {**TOTALS, "failed": 0}, report=False).count("\n") == 2
    assert (
        closing.places(Layout("/out", "r1"), {**TOTALS, "done": 0, "images": 0}, report=False).split()[0] == "failures"
    )


def test_the_terminal_table_of_a_quiet_night_has_no_column_without_a_figure():
    whole = summary(failed("c", known_since="r0"))
    whole.merge(Summary(skipped=3))
    lines = [re.sub(" +", " ", line).strip() for line in table(whole).splitlines()[3:]]
    assert lines == ["done 0", "up to date 3", "failures 1 25.0%", "new 0 0.0%", "DecodeError 1 25.0%"]


def test_the_last_words_name_what_failed_and_what_to_look_at_and_how_to_go_on():
    rows = [*(failed(f"old {i}", known_since="r0") for i in range(3)), *(failed(f"new {i}") for i in range(4))]
    whole = summary(*rows, row("a", flags="clipped"), row("b", flags=""))
    retry = closing.retry_command(["hdnet-harmonize", "--input", "my pairs.csv"], "r1", ["--runner=X"])
    assert closing.last_words(run_info.to_json(INFO, whole), retry).splitlines() == [
        "7 failed (4 of them new):",
        *(f"  new {i}: DecodeError: broken" for i in range(4)),
        "  old 0 (known since r0): DecodeError: broken",
        "  and 2 more",
        "To retry them:",
        "  hdnet-harmonize --input 'my pairs.csv' --retry-failed r1 -- --runner=X",
        "1 flagged, look at it:",
        "  a: many pixels of the object have lost their detail in black or white",
    ]
    assert closing.last_words(run_info.to_json(INFO, Summary()), retry) == ""


def test_a_run_without_work_says_so_in_its_last_words():
    again = summary(row("a"), row("b"))
    again.merge(Summary(done=-2, skipped=2))  # made before the run was started again
    assert closing.last_words(run_info.to_json(INFO, again), "") == "There was nothing to do: 2 images up to date."
    assert "per second" not in table(again) and re.search("\nup to date +2\n", table(again))
    quiet = summary(failed("c", known_since="r0"))
    quiet.merge(Summary(skipped=3))
    assert closing.last_words(run_info.to_json(INFO, quiet), "x").endswith("\nUp to date: 3 images.")
