"""What every worker must know to harmonize a pair: one small value that travels with the graph."""

import dataclasses
import json
from typing import Literal

from hdnet.transforms.codecs import limits

Precision = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How pairs are harmonized, and where results go.

    Attributes:
        output: Root of the output, a path or URI.
        run_id: Name of the run, a folder's name.
        weights: A shipped name, a path or a URI.
        network: Architecture and configuration that the weights file names, as JSON.
        precision: Of the network, "float32" or "bfloat16".
        max_pixels: Larger images fail.
        format: Of the images written, one of `table.OUTPUT_FORMATS`; "same" keeps the composite's.
        quality: Of JPEG and AVIF, 1 to 100.
        resize_mask: Accept masks of another size and the same aspect ratio.
        threads: Torch threads of each worker process.
        memory: Bytes that all worker processes of one machine may use together; 0 for no limit.
        workers: Worker processes on one machine.
        scratch: Local folder that a machine's workers share, for admission and progress; "" for none.
        own_machine: The workers' machine is there for them alone: they divide its cores and memory themselves, and
            `threads`, `memory` and `workers` say nothing.
        device: Of the network, "cpu" or "cuda"; "auto" is the GPU where there is one.
        launcher: Versions, by name, of what the launcher runs; empty where workers need not have the same.
    """

    output: str
    run_id: str
    weights: str = "hdnet-lite"
    network: str = ""
    precision: Precision = "float32"
    max_pixels: int = limits.MAX_PIXELS
    format: str = "same"
    quality: int = 95
    resize_mask: bool = False
    threads: int = 1
    memory: int = 0
    workers: int = 1
    scratch: str = ""
    own_machine: bool = False
    device: str = "auto"
    launcher: tuple[tuple[str, str], ...] = ()

    def table(self, name: str) -> str:
        """Return the folder of this run's "metrics" or "failures"."""
        return f"{self.output}/{name}/run_id={self.run_id}"

    def options(self) -> str:
        """Return what decides an image beside its files and the weights, as JSON: others make other images."""
        names = ("format", "network", "precision", "quality", "resize_mask")
        return json.dumps({name: getattr(self, name) for name in names})
