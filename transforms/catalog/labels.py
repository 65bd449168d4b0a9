"""Labels: the class of each foreground, by name or number, for the networks that take one."""

from collections.abc import Sequence

from hdnet.transforms.errors import LabelError

COLUMN = "label"
"""The manifest's column of labels."""


def number_of(label: str | int | None, classes: Sequence[str]) -> int | None:
    """Return a class's number.

    Args:
        label: Its name or number; None or "" where none is given.
        classes: Their names in order; empty for a network that takes no label.

    Returns:
        The number; None for a network that takes no label, whatever is given.

    Raises:
        LabelError: The network takes a label, and none is given or there is no such class.
    """
    if not classes:
        return None
    known = ", ".join(f"{name} ({number})" for number, name in enumerate(classes))
    if label in (None, ""):
        raise LabelError(f"no label, but these weights need each foreground's class: {known}")
    text = str(label).casefold()
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise LabelError(f"label {label!r} is not a class that these weights know: {known}")
