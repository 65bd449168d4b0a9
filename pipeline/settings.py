"""What every worker must know to harmonize a pair: one small value that travels with the graph."""

import dataclasses
import json
from typing import TYPE_CHECKING, ClassVar

from hdnet.model.precision import Precision
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.local.machine import Plan
from hdnet.transforms.catalog import labels
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import MetricsRow
from hdnet.transforms.codecs import limits
from hdnet.transforms.codecs.mask import Reading

if TYPE_CHECKING:
    from hdnet.pipeline.steps.pair import Worker


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What decides an image, apart from its files and the weights.

    Attributes:
        network: Architecture and configuration that the weights file names, as JSON.
        precision: Precision of the network.
        format: Format of the images written; "same" keeps the composite's.
        quality: Quality of JPEG and AVIF, 1 to 100.
        resize_mask: Whether a mask of another size and the same aspect ratio is accepted.
        mask_value: The value of a mask that is the foreground; None for white.
        invert_mask: Whether masks show the background.
        label: Class of the foregrounds that the manifest gives none; None for none.
        classes: The classes that the network must be told; () for none.
    """

    network: str = ""
    precision: Precision = "float32"
    format: str = "same"
    quality: int = 95
    resize_mask: bool = False
    mask_value: int | None = None
    invert_mask: bool = False
    label: str | None = None
    classes: tuple[str, ...] = ()

    def label_of(self, pair: Pair) -> int | None:
        """Return the number of the class of a pair's foreground; None where the network takes no label.

        Raises:
            LabelError: The network takes one, and there is none or an unknown one.
        """
        return labels.number_of(dict(pair.extra).get(labels.COLUMN) or self.label, self.classes)

    def key(self, label: int | None = None) -> str:
        """Return the options as JSON, as a metrics row records them: a pair is done again where they differ.

        Args:
            label: As returned by `label_of`.
        """
        shared = ("format", "network", "precision", "quality", "resize_mask")
        own: dict[str, int] = {} if label is None else {"label": label}
        # Records of runs before there were these options lack them, and stay up to date.
        if self.mask_value is not None:
            own["mask_value"] = self.mask_value
        if self.invert_mask:
            own["invert_mask"] = True
        return json.dumps({**{name: getattr(self, name) for name in shared}, **own})

    def of(self, pair: Pair) -> "ImageOptions":
        """Return the options for a pair: what its row says of its mask comes before what the command says."""
        if pair.mask_value is None and pair.invert_mask is None:
            return self
        value = self.mask_value if pair.mask_value is None else pair.mask_value
        invert = self.invert_mask if pair.invert_mask is None else pair.invert_mask
        return dataclasses.replace(self, mask_value=value, invert_mask=invert)

    @property
    def reading(self) -> Reading:
        """How masks are read."""
        return Reading(self.mask_value, self.invert_mask)


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
        image: What decides an image.
        machine: What the workers' machine is.
    """

    output: str
    run_id: str
    weights: str = "hdnet-lite"
    max_pixels: int = limits.MAX_PIXELS
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
