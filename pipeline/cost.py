"""How large a catalog's images are and how long they take: what divides the machine, and what --dry-run shows."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from hdnet.model.precision import Precision
from hdnet.pipeline.local import machine
from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.layouts import BY_STEM, Names
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs import header
from hdnet.transforms.codecs.picture import Header
from hdnet.transforms.errors import HarmonizeError
from hdnet.transforms.storage import schemes

if TYPE_CHECKING:
    from hdnet.model.harmonizer import Harmonizer

SAMPLE = 64
"""Number of pairs, the manifest's first ones, whose headers are read."""
TYPICAL = 0.9
"""Quantile of the sizes by which the machine is divided: a rare giant waits for room and must not decide for all."""
READERS = 16
"""Threads that read headers; nearly all of that is waiting."""
TRIAL = 512
"""Height and width of the first image that is timed."""
TOO_QUICK = 0.05
"""Seconds; an image that takes fewer tells little about larger ones, and one of twice the sides is timed, too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a few headers say of the catalog.

    Attributes:
        images: Number of composites whose header could be read.
        mean_pixels: Mean number of pixels of such a composite.
        typical_bytes: Peak memory of a worker on a composite that few are larger than, with its neighbours.
        largest_bytes: Peak memory of a worker on the largest one.
        faults: What is wrong with the files whose header could not be read.
    """

    images: int
    mean_pixels: float
    typical_bytes: int
    largest_bytes: int
    faults: tuple[str, ...]

    def megapixels(self, images: int) -> float:
        """Return about how many megapixels so many images have."""
        return images * self.mean_pixels / 1e6


def estimate(
    manifest: str,
    peak_bytes: Callable[[int, int], int],
    max_pixels: int,
    allowed: frozenset[str] | None = None,
    names: Names = BY_STEM,
) -> Estimate:
    """Read the headers of the manifest's first pairs, where their scheme is allowed; no pixel is decoded.

    Args:
        manifest: URI of the manifest.
        peak_bytes: Returns a worker's peak memory for an image's height and width.
        max_pixels: Larger images are left out.
        allowed: The schemes that files may have; None for all.
        names: How the files of a folder form pairs.
    """
    read = functools.partial(_header, allowed=allowed)
    pairs = [row for row in itertools.islice(manifest_parts.rows(manifest, names), SAMPLE) if isinstance(row, Pair)]
    with ThreadPoolExecutor(READERS) as pool:
        composites = list(pool.map(read, [pair.composite for pair in pairs]))
        others = list(pool.map(read, [uri for pair in pairs for uri in (pair.mask, pair.reference) if uri]))
    found = [each for each in composites if isinstance(each, Header) and each.pixels <= max_pixels]
    pixels = [each.pixels for each in found]
    sides = [int(np.sqrt(np.quantile(pixels, each))) if pixels else 1024 for each in (TYPICAL, 1)]
    typical, largest = (peak_bytes(side, side) for side in sides)
    typical += machine.beside_bytes(sides[0] ** 2)
    return Estimate(
        images=len(found),
        mean_pixels=float(np.mean(pixels or [0])),
        typical_bytes=typical,
        largest_bytes=largest,
        faults=tuple(each for each in [*composites, *others] if isinstance(each, str)),
    )


def seconds_per_megapixel(weights: str, precision: Precision, threads: int, pixels: float) -> float:
    """Time the network with a worker's threads, on one small image or, if it is quick, on up to that many pixels."""
    import torch  # slow to load, and only a dry run needs it

    from hdnet.model import harmonizer

    torch.set_num_threads(threads)
    network = harmonizer.Harmonizer.load(weights, precision=precision)
    side = TRIAL
    while (seconds := _time(network, side)) < TOO_QUICK and side * side < pixels:
        side *= 2
    return seconds / (side * side / 1e6)


def _time(network: "Harmonizer", side: int) -> float:
    """Return the seconds that an image of side x side takes, after one to warm up."""
    composite = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    label = 0 if network.classes else None
    network(composite, mask, label)
    began = time.perf_counter()
    network(composite, mask, label)
    return time.perf_counter() - began


def _header(uri: str, allowed: frozenset[str] | None) -> Header | str:
    """Return a file's header, or what is wrong with it."""
    try:
        if allowed is not None:
            schemes.check(uri, allowed)
        with storage.open_binary(uri) as file:
            return header.read(cast(BinaryIO, file), uri)
    except (HarmonizeError, OSError) as error:
        return str(error)
