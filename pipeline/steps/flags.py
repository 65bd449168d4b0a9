"""Marks on results that look wrong, so that a person looks at ten images and not at a million."""

from hdnet.transforms.catalog.rows import Record

CLIPPED = 0.02
"""Fraction of the foreground's pixels that may be newly clipped."""
INVERTED = 0.5
"""Fraction of all pixels, and of the border's, above which a foreground looks like a background."""
MEANINGS = {
    "clipped": "many pixels of the object have lost their detail in black or white",
    "shift": "the change of colour is among the largest of the run",
    "mask": "the mask is all background or all object",
    "inverted": "the mask may be inverted: white is the object, and it covers most of the image and of its border",
    "worse": "farther from its reference than the composite was",
}
"""What each flag says, in a few words; docs/nights.md gives the limits."""


def flagged(row: Record, largest: float) -> Record:
    """Return the row with its flags: comma-separated names of `MEANINGS`, "" where nothing looks wrong.

    Args:
        row: A row of the metrics.
        largest: The change of colour above which an image is an outlier.
    """
    whole = row["foreground_ratio"] in (0, 1)
    marks = {
        "clipped": (row["newly_clipped_ratio"] or 0) > CLIPPED,
        "shift": (row["delta_e"] or 0) > largest,
        "mask": whole,
        "inverted": not whole and min(row["foreground_ratio"], row["border_ratio"] or 0) > INVERTED,
        "worse": row["psnr"] is not None and row["psnr"] < row["input_psnr"],
    }
    return {**row, "flags": ",".join(name for name, on in marks.items() if on)}
