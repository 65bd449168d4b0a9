"""Text and numbers as the report and the terminal show them."""

import re

DASH = "–"

# Controls would break lines, move a terminal's cursor or end a file; the directional ones reorder what follows them;
# a lone surrogate cannot be written as UTF-8 at all.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(value: object) -> str:
    """Return a value as one line of text that UTF-8 can hold, with control characters written as Python would."""
    return _INVISIBLE.sub(lambda match: match[0].encode("unicode_escape").decode(), str(value))


def number(value: float | None, spec: str) -> str:
    """Format a number; a dash stands for a missing one."""
    return DASH if value is None else format(value, spec)


def difference(before: float, after: float, digits: int = 2) -> float:
    """Return the difference of two numbers as they are shown, so that it agrees with them."""
    return round(after, digits) - round(before, digits)


def duration(seconds: float) -> str:
    """Write a time in its two largest units, such as "3 min 5 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(time: str) -> str:
    """Write a time in UTC and ISO 8601, such as "2026-11-20T07:30:10Z", as people do, to the minute."""
    return f"{time[:16].replace('T', ' ')} UTC"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 image" and "2,000 images"."""
    return f"{count:,} {noun}" + "s" * (count != 1)
