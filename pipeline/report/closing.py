"""What a run prints at its end: plain text, for a terminal or a log."""

import logging
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hdnet.model.evaluation.tables import Table
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.report import run_info
from hdnet.pipeline.totals import Totals
from hdnet.transforms import text
from hdnet.transforms.catalog.rows import Record

MOST_IMAGES = 20
"""The largest number of images in a run for which `psnr_table` names each one."""

COMPLETE = "hdnet run complete"
TOO_MANY_FAILURES = "hdnet run has too many failures"
"""Phrases of a job's log that the alerts in deploy/terraform look for."""

LEFT_OUT = {"skipped": "up to date", "removed": "not in the manifest, left as they are"}


def table(content: Mapping[str, Any]) -> str:
    """Return the totals of runs/<run>.json as aligned lines."""
    totals, rates = content["totals"], content["rates"]
    done, failed = totals["done"], totals["failed"]
    rows = [
        ("images", f"{done:,}", _per_second(rates["images_per_second"])),
        ("megapixels", f"{totals['pixels'] / 1e6:,.1f}", _per_second(rates["megapixels_per_second"])),
        *((name, f"{totals[name]:,}", why) for name, why in LEFT_OUT.items() if totals[name]),
        *([("stale", f"{totals['stale']:,}", _stale(content["stale"]))] if totals["stale"] else []),
        ("failures", f"{failed:,}", _percent(failed, done + failed)),
        *((f"  {text.visible(e)}", f"{n:,}", _percent(n, done + failed)) for e, n in content["failures"].items()),
        *((f"{stage} seconds", f"{s:,.1f}", _each(s, done)) for stage, s in totals["seconds"].items()),
        *((f"flagged {text.visible(f)}", f"{n:,}", _percent(n, done)) for f, n in content["flags"].items()),
        *_against_references(content["means"], totals),
    ]
    title = f"Run {text.visible(content['run_id'])}, {text.duration(content['seconds'])}"
    return Table(title, (("", ""), ("total", ">"), ("rate", "")), tuple(rows)).text()


def log_lines(content: Mapping[str, Any], max_failure_rate: float) -> list[tuple[int, str]]:
    """Return the last lines of a job's log, each with its level."""
    totals, run_id = content["totals"], content["run_id"]
    counts = ", ".join(f"{totals[name]} {name}" for name in ("done", "failed", "skipped"))
    lines = [(logging.INFO, f"{COMPLETE}: {run_id}, {counts}")]
    if reason := Totals.of(totals).too_many_failures(max_failure_rate):
        lines.append((logging.ERROR, f"{TOO_MANY_FAILURES}: {run_id}, {reason}"))
    return lines


def psnr_table(rows: Sequence[Record]) -> str:
    """Return the PSNR before and after of each image with a reference, by id, and the means; "" if none has one."""
    ordered = sorted((row for row in rows if row["psnr"] is not None), key=lambda row: str(row["id"]))
    if not ordered:
        return ""
    named = [(text.visible(row["id"]), *_gain(row["input_psnr"], row["psnr"])) for row in ordered]
    means = (statistics.fmean(row[name] for row in ordered) for name in ("input_psnr", "psnr"))
    body = (*named, (f"mean of {len(ordered):,}", *_gain(*means)))
    columns = (("image", ""), ("before", ".2f"), ("after", ".2f"), ("gain", "+.2f"))
    return Table("PSNR against the reference in dB", columns, body).text()


def places(layout: Layout, *, failures: bool, report: bool) -> str:
    """Return lines that say where the images, the metrics and, if there are any, the failures and the report are."""
    found = {"images": layout.images, "metrics": layout.metrics}
    found |= {"failures": layout.failures} if failures else {}
    found |= {"report": layout.report} if report else {}
    return "".join(f"{name:9}{text.visible(place)}\n" for name, place in found.items())


def _stale(examples: Sequence[str]) -> str:
    """Say which images of earlier runs are no longer current."""
    named = text.visible(", ".join(examples))
    return f"images of the same ids with another suffix, left as they are: {named}"


def _per_second(rate: float | None) -> str:
    return f"{_number(rate, '.2f')} per second"


def _each(seconds: float, images: int) -> str:
    return f"{_number(run_info.ratio(seconds, images), '.3f')} per image"


def _percent(part: int, whole: int) -> str:
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
        ("made worse", f"{worse:,}", f"{_percent(worse, compared)} of {compared:,}"),
        ("mean PSNR before in dB", f"{before:.2f}", ""),
        ("mean PSNR after in dB", f"{after:.2f}", f"{after - before:+.2f}"),
    ]
