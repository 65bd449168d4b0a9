"""What a run will cost, from the headers of a few images: for --dry-run and for dividing the machine."""

import dataclasses
import itertools
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import torch

from model import harmonizer
from model.config import HDNetConfig
from pipeline.machine import Plan
from transforms import header, manifest_parts, storage
from transforms.errors import HarmonizeError
from transforms.manifest import Pair
from transforms.manifest_check import ManifestInfo

SAMPLE = 64
"""Images whose headers are read, the manifest's first ones."""
TRIAL = 512
"""Height and width of the image that is timed."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a few headers say of the catalog.

    Attributes:
        sampled: Images whose header could be read.
        unreadable: Images whose header could not.
        mean_pixels: Of an image.
        typical_bytes: Peak memory of a worker on the largest image sampled.
        config: The network's.
        weights: Its weights file.
        precision: It runs in.
    """

    sampled: int
    unreadable: int
    mean_pixels: float
    typical_bytes: int
    config: HDNetConfig
    weights: str
    precision: Literal["float32", "bfloat16"]


def estimate(
    manifest: str,
    weights: str,
    config: dict[str, Any],
    precision: Literal["float32", "bfloat16"],
    max_pixels: int,
) -> Estimate:
    """Read the headers of the manifest's first images; no pixel is decoded."""
    network = HDNetConfig.from_json(config)
    sizes = list(_sizes(manifest))
    # What is larger will be refused, and must not decide for all the others.
    readable = [size for size in sizes if size is not None and size[0] * size[1] <= max_pixels]
    height, width = max(readable, key=lambda size: size[0] * size[1], default=(1024, 1024))
    return Estimate(
        sampled=len(readable),
        unreadable=len(sizes) - len(readable),
        mean_pixels=float(np.mean([height * width for height, width in readable] or [0])),
        typical_bytes=harmonizer.peak_bytes(network, height, width, precision),
        config=network,
        weights=weights,
        precision=precision,
    )


def describe(info: ManifestInfo, found: Estimate, plan: Plan, limit: int | None) -> str:
    """Say what a run would do, and about how long it would take here; times the network on a small image."""
    rows = min(info.rows, limit or info.rows)
    megapixels = rows * found.mean_pixels / 1e6
    hours = megapixels * seconds_per_megapixel(found, plan.threads) / plan.workers / 3600
    lines = [
        f"manifest     {info.uri}: {info.format}, {info.rows} pairs, {info.with_reference} with a reference",
        f"columns      {', '.join(info.columns)}",
        f"would do     {rows} images, about {megapixels:.0f} megapixels"
        f" (from {found.sampled} headers; {found.unreadable} could not be read)",
        f"here         {plan.workers} workers of {plan.threads} threads, {plan.memory / 1e9:.1f} GB;"
        f" the largest image sampled needs about {found.typical_bytes / 1e9:.1f} GB",
        f"would take   about {hours:.2g} hours, reading and writing not counted",
    ]
    return "\n".join(lines)


def seconds_per_megapixel(found: Estimate, threads: int) -> float:
    """Time the network on one small image with a worker's threads, after one to warm up."""
    torch.set_num_threads(threads)
    network = harmonizer.Harmonizer.load(found.weights, precision=found.precision)
    composite = np.random.default_rng(0).integers(0, 256, (TRIAL, TRIAL, 3), np.uint8)
    mask = np.zeros((TRIAL, TRIAL), np.uint8)
    mask[TRIAL // 4 : -TRIAL // 4, TRIAL // 4 : -TRIAL // 4] = 255
    network(composite, mask)
    began = time.perf_counter()
    network(composite, mask)
    return (time.perf_counter() - began) / (TRIAL * TRIAL / 1e6)


def _sizes(manifest: str) -> Iterator[tuple[int, int] | None]:
    for row in itertools.islice(manifest_parts.rows(manifest), SAMPLE):
        if isinstance(row, Pair):
            yield _size(row.composite)


def _size(uri: str) -> tuple[int, int] | None:
    try:
        with storage.open_binary(uri) as file:
            found = header.read(cast(BinaryIO, file), uri)
    except (HarmonizeError, OSError):
        return None
    return found.height, found.width
