"""What every worker must know to harmonize a pair: one small value that travels with the graph."""

import dataclasses
import json
from pathlib import PurePosixPath
from typing import Any, Self

from hdnet.model.precision import Precision
from hdnet.pipeline.layout import Layout
from hdnet.pipeline.local.machine import Plan
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
        resize_mask: Whether a mask of another size and the same aspect ratio is accepted; in the record of an image,
            whether its mask was resized.
        strength: Share of the change that is applied, 0 to 1.
    """

    network: str = ""
    precision: Precision = "float32"
    format: str = "same"
    quality: int = 95
    resize_mask: bool = False
    strength: float = 1.0

    def of(self, pair: Pair) -> Self:
        """Return the options for one pair, whose row of the manifest may have a strength of its own."""
        return self if pair.strength is None else dataclasses.replace(self, strength=pair.strength)

    def record(self, *, resized: bool) -> str:
        """Return the options as JSON, as the metrics record them; `resized` says whether the mask was resized."""
        return json.dumps({**dataclasses.asdict(self), "resize_mask": resized}, sort_keys=True)

    def would_repeat(self, record: str, output: str) -> bool:
        """Say whether these options would make the very bytes that an earlier run made.

        Only options that changed an image's bytes count, so that an option which concerns a few images does not make
        all of them out of date.

        Args:
            record: What `record` returned then, perhaps in an older program that knew fewer options.
            output: URI of the image that was made.
        """
        try:
            then = type(self)(**json.loads(record))
        except TypeError:  # it was made with an option of a newer program
            return False
        suffix = PurePosixPath(output).suffix
        irrelevant: dict[str, Any] = {"resize_mask": self.resize_mask} if not then.resize_mask else {}
        if suffix not in QUALITY_COUNTS:
            irrelevant["quality"] = self.quality
        if self.format != "same" and suffix == table.CODECS[self.format].suffixes[0]:
            irrelevant["format"] = self.format
        return dataclasses.replace(then, **irrelevant) == self


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
