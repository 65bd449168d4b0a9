"""The picture of a training: how the loss, the learning rate and the scores went, and which epoch is the best."""

import dataclasses
import io
from typing import TYPE_CHECKING

from hdnet.transforms import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = list[dict[str, float]]
"""One row for each validation: "epoch", "step", and the columns that are drawn."""

BLUE, GREEN, GREY = "#3f74b5", "#1b7f3b", "#666660"
COLUMNS = 4
"""Panels in a row."""

FACTOR = 3
"""Values that fall by less are read more easily on a linear scale."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """How a column of the history is drawn.

    Attributes:
        title, unit: What it is, and what its axis says.
        log: Draw it on a logarithmic scale if it falls by more than `FACTOR`.
        percent: Its values are shares of 1.
        zero: Its axis holds 0, because its sign means something.
    """

    title: str
    unit: str
    log: bool = False
    percent: bool = False
    zero: bool = False


PANELS = {
    "loss": Panel("Training loss", "mean since the last validation", log=True),
    "psnr": Panel("PSNR", "dB, held-out photos"),
    "gain": Panel("Gain in PSNR", "dB over the composites", zero=True),
    "fmse": Panel("Foreground error (fMSE)", "squared levels of 255", log=True),
    "fmse_share": Panel("Remaining error", "% of the composites' fMSE", percent=True),
    "worse": Panel("Made worse", "% of the images", percent=True, zero=True),
    "lr": Panel("Learning rate", "per step", log=True),
}
"""Columns in the order of the panels; others follow under their own names."""


def draw(history: History) -> bytes:
    """Return a PNG with a panel for each column, in two rows; needs matplotlib.

    Args:
        history: At least one row; all rows have the same columns.
    """
    from matplotlib.figure import Figure

    names = [name for name in history[0] if name not in ("epoch", "step")]
    names.sort(key=[*PANELS, *names].index)
    columns, rows = min(COLUMNS, len(names)), -(-len(names) // COLUMNS)
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows + 0.5), dpi=110, layout="constrained", facecolor="#fafaf8")
    best = best_row(history)
    figure.suptitle(_heading(history, best), x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.subplots(rows, columns)
    for axes, name in zip(figure.axes, names, strict=False):
        _draw_panel(axes, history, name, PANELS.get(name, Panel(name, "")), best)
    for axes in figure.axes[len(names) :]:
        axes.remove()
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def best_row(history: History) -> dict[str, float] | None:
    """Return the validation whose weights were kept, None where there are no held-out photos."""
    return max(history, key=lambda row: row["psnr"]) if "psnr" in history[0] else None


def _heading(history: History, best: dict[str, float] | None) -> str:
    last = ", ".join(text.plural(int(history[-1][name]), name) for name in ("epoch", "step"))
    return last if best is None else f"{last}; best at epoch {best['epoch']:.0f}: {best['psnr']:.2f} dB"


def _draw_panel(axes: "Axes", history: History, name: str, panel: Panel, best: dict[str, float] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs, values = [row["epoch"] for row in history], [row[name] for row in history]
    axes.plot(epochs, values, color=BLUE, linewidth=1.6, marker="." if len(history) < 40 else "", markersize=6)
    if best is not None:
        axes.axvline(best["epoch"], color=GREEN, linewidth=1, linestyle=":")
        axes.plot([best["epoch"]], [best[name]], "o", color=GREEN, markersize=6)
    if panel.log and 0 < FACTOR * min(values) < max(values):
        _logarithmic(axes)
    if panel.percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}")
    if panel.zero:
        axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xlim(min(epochs[0], 1) - 0.5, max(epochs[-1], 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("epoch", fontsize=8, color=GREY)
    axes.set_ylabel(panel.unit, fontsize=8, color=GREY)
    axes.tick_params(which="both", labelsize=8, colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _logarithmic(axes: "Axes") -> None:
    """Give a panel a logarithmic scale with plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(NullLocator())
