"""What a run prints at its end: plain text, for a terminal or a log."""

import logging
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hdnet.model.evaluation.tables import Table
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.report.run_info import stage_name
from hdnet.pipeline.steps import flags
from hdnet.pipeline.totals import Totals, novelty
from hdnet.transforms import text
from hdnet.transforms.catalog.rows import Record

MOST_IMAGES = 20
"""The largest number of images in a run for which `psnr_table` names each one."""

COMPLETE = "hdnet run complete"
TOO_MANY_FAILURES = "hdnet run has too many failures"
NEW_FAILURES = "hdnet run has new failures"
"""Phrases of a job's log that the alerts in deploy/terraform look for."""


Line = tuple[str, str, str]
"""A name, a total, and a rate or a reason; the last is "" where there is none."""


def table(content: Mapping[str, Any]) -> str:
    """Return the totals of runs/<run>.json as aligned lines."""
    totals = content["totals"]
    title = f"Run {text.visible(content['run_id'])}, {text.duration(content['seconds'])}"
    rows = [*_images(content), *_failures(content), *_against_references(content["means"], totals)]
    return Table(title, (("", ""), ("total", ">"), ("rate", "")), tuple(rows)).text()


def _images(content: Mapping[str, Any]) -> list[Line]:
    totals, rates, done = content["totals"], content["rates"], content["totals"]["done"]
    rows = [("done", f"{done:,}", _rate(rates["images_per_second"], ".2f", "images per second") if done else "")]
    if done:
        megapixels = f"{totals['pixels'] / 1e6:,.1f}"
        rows.append(("megapixels", megapixels, _rate(rates["megapixels_per_second"], ".2f", "per second")))
    if totals["skipped"]:
        rows.append(("up to date", f"{totals['skipped']:,}", ""))
    if totals["removed"]:
        rows.append(("removed", f"{totals['removed']:,}", "not in the manifest, left as they are"))
    if totals["stale"]:
        rows.append(("stale", f"{totals['stale']:,}", _stale(content["stale"])))
    seconds = totals["seconds"].items() if done else ()
    arch = content["weights"]["arch"]
    rows += [(f"{stage_name(stage, arch)} seconds", f"{s:,.1f}", f"{s / done:.3f} per image") for stage, s in seconds]
    others = {name: count for name, count in content["flags"].items() if name != "worse"}  # has a row of its own
    return rows + [(f"flagged {text.visible(f)}", f"{n:,}", _percent(n, totals["images"])) for f, n in others.items()]


def _failures(content: Mapping[str, Any]) -> list[Line]:
    totals = content["totals"]
    failed, pairs = totals["failed"], totals["done"] + totals["failed"] + totals["skipped"]
    rows = [("failures", f"{failed:,}", _percent(failed, pairs))]
    if failed:
        rows.append(("  new", f"{totals['new']:,}", _percent(totals["new"], pairs)))
    return rows + [(f"  {text.visible(e)}", f"{n:,}", _percent(n, pairs)) for e, n in content["failures"].items()]


def log_lines(content: Mapping[str, Any], max_failure_rate: float) -> list[tuple[int, str]]:
    """Return the last lines of a job's log, each with its level."""
    totals, run_id = content["totals"], content["run_id"]
    counts = ", ".join(f"{totals[name]} {name}" for name in ("done", "failed", "new", "skipped"))
    lines = [(logging.INFO, f"{COMPLETE}: {run_id}, {counts}")]
    if reason := Totals.of(totals).too_many_failures(max_failure_rate):
        lines.append((logging.ERROR, f"{TOO_MANY_FAILURES}: {run_id}, {reason}"))
    if totals["new"]:
        lines.append((logging.ERROR, f"{NEW_FAILURES}: {run_id}, {totals['new']} of {totals['failed']}"))
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


def places(layout: Layout, totals: Mapping[str, Any], *, report: bool) -> str:
    """Return lines that say where a run's results are; what it has not written is left out."""
    found = {"images": layout.images} if totals["done"] + totals["skipped"] else {}
    found |= {"metrics": layout.metrics} if totals["images"] else {}
    found |= {"failures": layout.failures} if totals["failed"] else {}
    found |= {"report": layout.report} if report else {}
    return "".join(f"{name:9}{text.visible(place)}\n" for name, place in found.items())


def retry_command(words: Sequence[str], run_id: str | None, beam_args: Sequence[str]) -> str:
    """Return the command that does again what failed.

    Args:
        words: The command and the options that the run was given, but for those that name it.
        run_id: Name of the run in which it failed; None to do all that is not up to date.
        beam_args: The options for Beam.
    """
    own = ["--retry-failed", run_id] if run_id else []
    return shlex.join([*words, *own, *(["--", *beam_args] if beam_args else [])])


def last_words(content: Mapping[str, Any], retry: str) -> str:
    """Return lines that name the first failures with their reasons, how to retry them, and the first flagged images.

    Where no image was made because all are up to date, a line says so.

    Args:
        content: Content of runs/<run>.json.
        retry: The command that retries what failed.
    """
    failed, flagged = content["first_failed"], content["first_flagged"]
    lines = []
    if failed:
        total, new = content["totals"]["failed"], content["totals"]["new"]
        lines += [f"{total:,} failed ({novelty(total, new)}):", *failures(failed, total)]
        lines += [f"To retry {them(total)}:", f"  {text.visible(retry)}"]
    if up_to_date := _up_to_date(content["totals"]):
        lines.append(up_to_date)
    if flagged:
        total = content["totals"]["flagged"]
        lines += [f"{total:,} flagged, look at {them(total)}:", *map(_flagged, flagged), *_more(total - len(flagged))]
    return "\n".join(lines)


def failures(rows: Sequence[Mapping[str, Any]], total: int) -> list[str]:
    """Return a line for each of the first failures, and one that counts the others.

    Args:
        rows: With id, error, message and known_since.
        total: The number of all failures.
    """
    return [*map(_failure, rows), *_more(total - len(rows))]


def them(count: int) -> str:
    """Return the pronoun for so many."""
    return "it" if count == 1 else "them"


def _up_to_date(totals: Mapping[str, Any]) -> str:
    """Say that no image was made because those that are there are up to date; "" where one was made."""
    if totals["done"] or not totals["skipped"]:
        return ""
    there = text.plural(totals["skipped"], "image")
    return f"Up to date: {there}." if totals["failed"] else f"There was nothing to do: {there} up to date."


def _stale(examples: Sequence[str]) -> str:
    """Say which images of earlier runs are no longer current."""
    named = text.visible(", ".join(examples))
    return f"images of the same ids with another suffix, left as they are: {named}"


def _failure(row: Mapping[str, Any]) -> str:
    known = f" (known since {row['known_since']})" if row["known_since"] else ""
    return text.visible(f"  {row['id']}{known}: {row['error']}: {row['message']}")


def _flagged(row: Mapping[str, Any]) -> str:
    return text.visible(f"  {row['id']}: {'; '.join(flags.MEANINGS[name] for name in row['flags'].split(','))}")


def _more(count: int) -> list[str]:
    return [f"  and {count:,} more"] if count > 0 else []


def _rate(rate: float | None, spec: str, unit: str) -> str:
    return "" if rate is None else f"{rate:{spec}} {unit}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _gain(before: float, after: float) -> tuple[float, float, float]:
    return before, after, text.difference(before, after)


def _against_references(means: Mapping[str, float], totals: Mapping[str, Any]) -> list[Line]:
    worse, compared = totals["worse"], totals["compared"]
    if not compared:
        return []
    before, after = means["input_psnr"], means["psnr"]
    return [
        ("made worse", f"{worse:,}", f"{_percent(worse, compared)} of {compared:,}"),
        ("mean PSNR before in dB", f"{before:.2f}", ""),
        ("mean PSNR after in dB", f"{after:.2f}", f"{text.difference(before, after):+.2f}"),
    ]
