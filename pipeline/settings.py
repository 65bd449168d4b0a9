"""What every worker must know to harmonize a pair: one small value that travels with the graph."""

import dataclasses
import json
from pathlib import PurePosixPath

from hdnet.model.precision import Precision
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.local.machine import Plan
from hdnet.transforms.catalog import labels
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs import limits, table

QUALITY_COUNTS = frozenset({*table.CODECS["jpeg"].suffixes, *table.CODECS["avif"].suffixes})
"""Suffixes of the formats that are written with loss."""


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
        label: Class of the foregrounds that the manifest gives none; None for none.
        classes: The classes that the network must be told; () for none.
    """

    network: str = ""
    precision: Precision = "float32"
    format: str = "same"
    quality: int = 95
    resize_mask: bool = False
    strength: float = 1.0
    label: str | None = None
    classes: tuple[str, ...] = ()

    def label_of(self, pair: Pair) -> int | None:
        """Return the number of the class of a pair's foreground; None where the network takes no label.

        Raises:
            LabelError: The network takes one, and there is none or an unknown one.
        """
        return labels.number_of(dict(pair.extra).get(labels.COLUMN) or self.label, self.classes)

    def strength_of(self, pair: Pair) -> float:
        """Return the share of the change that is applied to a pair, whose row of the manifest may have its own."""
        return self.strength if pair.strength is None else pair.strength

    def record(self, pair: Pair, *, resized: bool) -> str:
        """Return what decided a pair's image as JSON, as the metrics record it.

        Args:
            pair: The pair.
            resized: Whether its mask was resized.

        Raises:
            LabelError: As for `label_of`.
        """
        label = self.label_of(pair)
        return json.dumps({
            "network": self.network, "precision": self.precision, "format": self.format, "quality": self.quality,
            "resize_mask": resized, "strength": self.strength_of(pair), **({} if label is None else {"label": label}),
        }, sort_keys=True)  # fmt: skip

    def would_repeat(self, pair: Pair, record: str, output: str) -> bool:
        """Say whether these options would make the very bytes that an earlier run made of a pair.

        Only options that changed an image's bytes count, so that an option which concerns a few images does not make
        all of them out of date.

        Args:
            pair: The pair.
            record: What `record` returned then, perhaps in an older program that knew fewer options.
            output: URI of the image that was made.

        Raises:
            LabelError: As for `label_of`.
        """
        then = {"strength": 1.0, **json.loads(record)}
        now = json.loads(self.record(pair, resized=self.resize_mask and then["resize_mask"]))
        suffix = PurePosixPath(output).suffix
        if suffix not in QUALITY_COUNTS:
            now["quality"] = then["quality"]
        if self.format != "same" and suffix == table.CODECS[self.format].suffixes[0]:
            now["format"] = then["format"]
        return bool(now == then)


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

    @property
    def layout(self) -> Layout:
        """Where this run's results lie."""
        return Layout(self.output, self.run_id)
