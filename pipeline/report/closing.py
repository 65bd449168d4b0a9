"""What a run prints when it is over: plain text, for a terminal or a log."""

import logging
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hdnet.model.evaluation.tables import Table
from hdnet.pipeline import text
from hdnet.pipeline.report import run_info
from hdnet.pipeline.rows import Record
from hdnet.pipeline.totals import Totals
from hdnet.transforms import storage

MOST_IMAGES = 20
"""In a run whose images are all named in `psnr_table`."""

COMPLETE = "hdnet run complete"
TOO_MANY_FAILURES = "hdnet run has too many failures"
"""Of a job's log: what the alerts in deploy/terraform look for."""

LEFT_OUT = {"skipped": "up to date", "removed": "not in the manifest, left as they are"}


def table(content: Mapping[str, Any]) -> str:
    """Return the totals of runs/<run>.json as aligned lines."""
    totals, rates = content["totals"], content["rates"]
    done, failed = totals["done"], totals["failed"]
    rows = [
        ("images", f"{done:,}", f"{_number(rates['images_per_second'], '.2f')} a second"),
        ("megapixels", f"{totals['pixels'] / 1e6:,.1f}", f"{_number(rates['megapixels_per_second'], '.2f')} a second"),
        *((name, f"{totals[name]:,}", why) for name, why in LEFT_OUT.items() if totals[name]),
        ("failures", f"{failed:,}", _share(failed, done + failed)),
        *((f"  {text.visible(e)}", f"{n:,}", _share(n, done + failed)) for e, n in content["failures"].items()),
        *((f"{stage} seconds", f"{s:,.1f}", _each(s, done)) for stage, s in totals["seconds"].items()),
        *((f"flagged {text.visible(f)}", f"{n:,}", _share(n, done)) for f, n in content["flags"].items()),
        *_against_references(content["means"], totals),
    ]
    title = f"Run {text.visible(content['run_id'])}, {text.duration(content['seconds'])}"
    return Table(title, (("", ""), ("total", ">"), ("rate", "")), tuple(rows)).text()


def log_lines(content: Mapping[str, Any], max_failure_rate: float) -> list[tuple[int, str]]:
    """Return what a job's log says at its end, each line with its level."""
    totals, run_id = content["totals"], content["run_id"]
    counts = ", ".join(f"{totals[name]} {name}" for name in ("done", "failed", "skipped"))
    lines = [(logging.INFO, f"{COMPLETE}: {run_id}, {counts}")]
    if reason := Totals.of(totals).too_many_failures(max_failure_rate):
        lines.append((logging.ERROR, f"{TOO_MANY_FAILURES}: {run_id}, {reason}"))
    return lines


def psnr_table(rows: Sequence[Record]) -> str:
    """Return PSNR before and after of the images that have a reference, by id, and their mean; "" where none has."""
    ordered = sorted((row for row in rows if row["psnr"] is not None), key=lambda row: str(row["id"]))
    if not ordered:
        return ""
    named = [(text.visible(row["id"]), *_gain(row["input_psnr"], row["psnr"])) for row in ordered]
    means = (statistics.fmean(row[name] for row in ordered) for name in ("input_psnr", "psnr"))
    body = (*named, (f"mean of {len(ordered):,}", *_gain(*means)))
    columns = (("image", ""), ("before", ".2f"), ("after", ".2f"), ("gain", "+.2f"))
    return Table("PSNR against the reference, dB", columns, body).text()


def places(output: str, run_id: str, *, failures: bool, report: bool) -> str:
    """Return lines that say where images, metrics and, where there are any, failures and report are."""
    names = {
        "images": "images",
        "metrics": f"metrics/run_id={run_id}",
        "failures": f"failures/run_id={run_id}" if failures else "",
        "report": f"runs/{run_id}.html" if report else "",
    }
    return "".join(f"{name:9}{text.visible(storage.join(output, path))}\n" for name, path in names.items() if path)


def _each(seconds: float, images: int) -> str:
    return f"{_number(run_info.ratio(seconds, images), '.3f')} an image"


def _share(part: int, whole: int) -> str:
    return _number(run_info.ratio(part, whole), ".1%")


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _gain(before: float, after: float) -> tuple[float, float, float]:
    return before, after, after - before


def _against_references(means: Mapping[str, float], totals: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    worse, compared = totals["worse"], totals["compared"]
    if not compared:
        return []
    before, after = means["input_psnr"], means["psnr"]
    return [
        ("made worse", f"{worse:,}", f"{_share(worse, compared)} of {compared:,}"),
        ("mean PSNR before, dB", f"{before:.2f}", ""),
        ("mean PSNR after, dB", f"{after:.2f}", f"{after - before:+.2f}"),
    ]
