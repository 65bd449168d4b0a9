"""What every worker must know to harmonize a pair: one small value that travels with the graph."""

import dataclasses
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from hdnet.model.precision import Precision
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.local.machine import Plan
from hdnet.transforms.catalog import labels
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import MetricsRow
from hdnet.transforms.codecs import limits, table
from hdnet.transforms.codecs.mask import Reading

if TYPE_CHECKING:
    from hdnet.pipeline.steps.pair import Worker

Scores = Literal["all", "cheap", "none"]
"""All; those that are sums of pixels: no SSIM, no colours as people see them; how much the foreground covers."""
QUALITY_COUNTS = frozenset({*table.CODECS["jpeg"].suffixes, *table.CODECS["avif"].suffixes})
"""Suffixes of the formats that are written with loss."""
METHOD = 3
"""Raised where the same weights and options make other images: 2 moves masks and mends seams (`hdnet.model.seam`), 3
mends soft seams too."""
DEFAULTS = {"strength": 1.0, "mask_value": None, "invert_mask": False, "label": None, "smoothing": 0.0, "method": 1}
"""Values that are left out of an image's record."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What decides an image, apart from its files and the weights.

    Attributes:
        network: Architecture and configuration that the weights file names, as JSON.
        precision: Precision of the network.
        format: Format of the images written; "same" keeps the composite's.
        quality: Quality of JPEG and AVIF, 1 to 100.
        resize_mask: Whether a mask of another size and the same aspect ratio is accepted.
        strength: Share of the change that is applied, 0 to 1, for pairs that the manifest gives none.
        mask_value: The value of a mask that is the foreground; None for white.
        invert_mask: Whether masks show the background.
        label: Class of the foregrounds that the manifest gives none; None for none.
        classes: The classes that the network must be told; () for none.
        smoothing: What the weights' card asks for, 0 to 1.
    """

    network: str = ""
    precision: Precision = "float32"
    format: str = "same"
    quality: int = 95
    resize_mask: bool = False
    strength: float = 1.0
    mask_value: int | None = None
    invert_mask: bool = False
    label: str | None = None
    classes: tuple[str, ...] = ()
    smoothing: float = 0.0

    def label_of(self, pair: Pair) -> int | None:
        """Return the number of the class of a pair's foreground; None where the network takes no label.

        Raises:
            LabelError: The network takes one, and there is none or an unknown one.
        """
        return labels.number_of(dict(pair.extra).get(labels.COLUMN) or self.label, self.classes)

    def of(self, pair: Pair) -> Self:
        """Return the options for a pair: what its row says comes before what the command says."""
        own = {"mask_value": pair.mask_value, "invert_mask": pair.invert_mask, "strength": pair.strength}
        given: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        return dataclasses.replace(self, **given) if given else self

    @property
    def reading(self) -> Reading:
        """How masks are read."""
        return Reading(self.mask_value, self.invert_mask)

    def record(self, label: int | None = None, *, resized: bool = False) -> str:
        """Return what decided an image as JSON, as the metrics record it.

        Args:
            label: As returned by `label_of`.
            resized: Whether its mask was resized.
        """
        own = {"strength": self.strength, "mask_value": self.mask_value, "invert_mask": self.invert_mask,
               "smoothing": self.smoothing, "method": METHOD}  # fmt: skip
        # Records of runs before there were these options lack them, and stay up to date.
        own = {name: value for name, value in {**own, "label": label}.items() if value != DEFAULTS[name]}
        shared = {name: getattr(self, name) for name in ("format", "network", "precision", "quality")}
        return json.dumps({**shared, "resize_mask": resized, **own})

    def would_repeat(self, record: str, output: str, label: int | None = None) -> bool:
        """Say whether these options would make the very bytes that an earlier run made.

        Only options that changed an image's bytes count, so that an option which concerns a few images does not make
        all of them out of date.

        Args:
            record: What `record` returned then, perhaps in another version of this program.
            output: URI of the image that was made.
            label: As returned by `label_of`.
        """
        then = json.loads(record)
        now = json.loads(self.record(label, resized=self.resize_mask and then["resize_mask"]))
        suffix = PurePosixPath(output).suffix
        if suffix not in QUALITY_COUNTS:
            now["quality"] = then["quality"]
        if self.format != "same" and suffix == table.CODECS[self.format].suffixes[0]:
            now["format"] = then["format"]
        return bool(now == then)


def recorded_reading(key: str) -> Reading:
    """Return how the mask of a metrics row was read, by its `options`."""
    options = json.loads(key)
    return Reading(options.get("mask_value"), options.get("invert_mask", False))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What workers know of the machine they run on.

    Attributes:
        plan: How its cores and memory are divided; None where the machine serves this job alone, so that its workers
            divide it themselves.
        device: Device of the network, "cpu" or "cuda"; "auto" is the GPU where there is one.
        scratch: Local folder that the workers share, for admission and progress; "" for none.
        launcher: Versions, by name, of what the launcher runs; empty where workers need not have the same.
    """

    plan: Plan | None = Plan(workers=1, threads=1, memory=0)
    device: str = "auto"
    scratch: str = ""
    launcher: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How pairs are harmonized, and where results go.

    Attributes:
        output: Root of the output, a path or URI.
        run_id: Name of the run, a folder's name.
        weights: A shipped name, a path or a URI.
        max_pixels: Larger images fail.
        scores: What is measured of an image.
        image: What decides an image.
        machine: What the workers' machine is.
    """

    output: str
    run_id: str
    weights: str = "ensemble"
    max_pixels: int = limits.MAX_PIXELS
    scores: Scores = "all"
    image: ImageOptions = ImageOptions()
    machine: Machine = Machine()

    row: ClassVar[type[MetricsRow]] = MetricsRow
    """What a pair that is done becomes."""

    @property
    def layout(self) -> Layout:
        """Where this run's results lie."""
        return Layout(self.output, self.run_id)

    def load(self) -> "Worker":
        """Load what a worker process needs for its work; this is slow.

        Raises:
            HarmonizeError: A file that the settings name cannot be used.
        """
        from hdnet.pipeline.steps.pair import Harmonizing

        return Harmonizing.of(self)
