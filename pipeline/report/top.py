"""What stands at the top of the report: a verdict in one sentence, and the counts behind it."""

import dataclasses

from hdnet.pipeline.report import run_info
from hdnet.pipeline.steps.summary import Summary
from hdnet.pipeline.totals import novelty
from hdnet.transforms import text


@dataclasses.dataclass(frozen=True)
class Tile:
    """A count in large type.

    Attributes:
        label, value, note: What is counted, the count, and its share of the whole.
        href: Link to the part of the page that shows what was counted, None where there is none.
        bad: Whether somebody should look at it.
    """

    label: str
    value: str
    note: str = ""
    href: str | None = None
    bad: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """A part of the verdict: what somebody should look at, and a link to it."""

    words: str
    href: str


def verdict(summary: Summary) -> str:
    """Return the sentence, or its beginning where `findings` go on."""
    found = findings(summary)
    if summary.done and not found:
        return f"It went well: {text.plural(summary.done, 'image')} done, none failed, none flagged."
    look = f"Look at {'this' if summary.failed + summary.flagged == 1 else 'these'}: "
    if summary.done or summary.failed:
        return look
    idle = f"There was nothing to do: {text.plural(summary.skipped, 'image')} up to date."
    if found:  # in images that the run had made before it was started again
        return f"{idle} {look}"
    return idle if summary.skipped else "There were no pairs to do."


def findings(summary: Summary) -> list[Finding]:
    """Return what somebody should look at, the gravest first."""
    counted = (
        (
            f"{text.plural(summary.failed, 'pair')} failed ({novelty(summary.failed, summary.new)})",
            "#failures",
            summary.failed,
        ),
        (_flagged(summary), _flagged_href(summary), summary.flagged),
    )
    return [Finding(words, href) for words, href, count in counted if count]


def _flagged(summary: Summary) -> str:
    """Say how many images are flagged; one that was made worse always is."""
    if summary.worse == summary.flagged:
        return f"{text.plural(summary.worse, 'image')} made worse"
    worse = f" ({summary.worse:,} of them made worse)" if summary.worse else ""
    return f"{text.plural(summary.flagged, 'image')} flagged{worse}"


def _flagged_href(summary: Summary) -> str:
    return "#worse" if summary.worse == summary.flagged else "#flagged"


def tiles(summary: Summary) -> list[Tile]:
    """Return the counts; "made worse" is left out where no image has a reference."""
    done, compared = summary.done, run_info.compared(summary)
    shown = [
        Tile("Done", f"{done:,}", _megapixels(summary), "#pictures" if done else None),
        _problem("Failed", summary.failed, done + summary.failed + summary.skipped, "#failures"),
        _problem("New failures", summary.new, summary.failed, "#failures"),
        _problem("Flagged", summary.flagged, summary.images, _flagged_href(summary)),
    ]
    if compared:
        shown.append(_problem("Made worse", summary.worse, compared, "#worse", " with a reference; flagged, too"))
    return [*shown, Tile("Up to date", f"{summary.skipped:,}", "made before", "#how")]


def _problem(label: str, count: int, whole: int, href: str, which: str = "") -> Tile:
    note = f"{count / whole:.1%} of {whole:,}{which}" if whole else ""
    return Tile(label, f"{count:,}", note, href if count else None, count > 0)


def _megapixels(summary: Summary) -> str:
    return f"{summary.pixels / 1e6:,.1f} megapixels" if summary.done else ""
