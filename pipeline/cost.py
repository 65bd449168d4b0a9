"""How large a catalog's images are: what divides the machine, and what --dry-run shows and tries."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from hdnet.pipeline.local import machine
from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.layouts import BY_STEM, Names
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs import header, mask
from hdnet.transforms.codecs.picture import Header
from hdnet.transforms.errors import HarmonizeError
from hdnet.transforms.storage import schemes, storage_errors

SAMPLE = 64
"""Number of pairs, the manifest's first ones, whose headers are read."""
TYPICAL = 0.9
"""Quantile of the sizes by which the machine is divided: a rare giant waits for room and must not decide for all."""
READERS = 16
"""Threads that read headers; nearly all of that is waiting."""


class Rules(NamedTuple):
    """What a pair's files must keep to.

    Attributes:
        max_pixels: Larger images are refused.
        resize_mask: Whether masks of another size are accepted.
        allowed: The schemes that files may have; None for all.
    """

    max_pixels: int
    resize_mask: bool = False
    allowed: frozenset[str] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a few headers say of the catalog.

    Attributes:
        images: Number of composites whose header could be read.
        mean_pixels: Mean number of pixels of such a composite.
        typical_bytes: Peak memory of a worker on a composite that few are larger than, with its neighbours.
        largest_bytes: Peak memory of a worker on the largest one.
        looked_at: Number of pairs whose headers were read.
        sound: Those of them with nothing wrong, the nearest to the mean size first.
        faults: What is wrong with the files of the others.
    """

    images: int
    mean_pixels: float
    typical_bytes: int
    largest_bytes: int
    looked_at: int
    sound: tuple[Pair, ...]
    faults: tuple[str, ...]

    def megapixels(self, images: int) -> float:
        """Return about how many megapixels so many images have."""
        return images * self.mean_pixels / 1e6


def estimate(
    manifest: str, peak_bytes: Callable[[int, int], int], rules: Rules, names: Names = BY_STEM,
    made: Callable[[Pair], Sequence[Pair]] = lambda pair: (pair,),
) -> Estimate:  # fmt: skip
    """Read the headers of the manifest's first pairs; no pixel is decoded.

    Args:
        manifest: URI of the manifest.
        peak_bytes: Returns a worker's peak memory for an image's height and width.
        rules: What the files must keep to.
        names: How the files of a folder form pairs.
        made: Returns what is made of a pair; the first of it is looked at.
    """
    rows = itertools.islice(manifest_parts.rows(manifest, names), SAMPLE)
    pairs = [made(row)[0] for row in rows if isinstance(row, Pair)]
    with ThreadPoolExecutor(READERS) as pool:
        looks = list(pool.map(functools.partial(_look, rules=rules), pairs))
    pixels = [each.pixels for each in looks if each.pixels]
    mean = float(np.mean(pixels or [0]))
    sides = [int(np.sqrt(np.quantile(pixels, each))) if pixels else 1024 for each in (TYPICAL, 1)]
    typical, largest = (peak_bytes(side, side) for side in sides)
    typical += machine.beside_bytes(sides[0] ** 2, max((each.bits for each in looks), default=8))
    sound = [(abs(look.pixels - mean), i) for i, look in enumerate(looks) if not look.faults]
    return Estimate(
        images=len(pixels),
        mean_pixels=mean,
        typical_bytes=typical,
        largest_bytes=largest,
        looked_at=len(pairs),
        sound=tuple(pairs[i] for _, i in sorted(sound)),
        faults=tuple(itertools.chain.from_iterable(each.faults for each in looks)),
    )


class _Look(NamedTuple):
    """What the headers of a pair's files say.

    Attributes:
        pixels: Those of the composite, 0 where it cannot be used.
        bits: The most bits of a channel in any of the files.
        faults: What is wrong with the files.
    """

    pixels: int
    bits: int
    faults: list[str]


def _look(pair: Pair, rules: Rules) -> _Look:
    composite = _header(pair.composite, rules)
    others = [_header(uri, rules) for uri in (pair.mask, pair.reference) if uri]
    faults = [each for each in (composite, *others) if isinstance(each, str)]
    if isinstance(composite, str):
        return _Look(0, 8, faults)
    for kind, found in zip(("mask", "reference"), others, strict=False):
        try:
            if isinstance(found, Header):
                _check_fit(kind, found, composite, pair, rules)
        except HarmonizeError as error:
            faults.append(str(error))
    bits = max(each.bits for each in (composite, *others) if isinstance(each, Header))
    return _Look(composite.pixels, bits, faults)


def _check_fit(kind: str, found: Header, composite: Header, pair: Pair, rules: Rules) -> None:
    size, wanted = (found.height, found.width), (composite.height, composite.width)
    if kind == "reference":
        header.check_reference(size, wanted, str(pair.reference))
        return
    orientation = composite.orientation
    mask.check_size(size, *wanted, name=pair.mask, allowed=rules.resize_mask, orientation=orientation)


def _header(uri: str, rules: Rules) -> Header | str:
    """Return a file's header, or what is wrong with it."""
    try:
        if rules.allowed is not None:
            schemes.check(uri, rules.allowed)
        with storage.open_binary(uri) as file:
            found = header.read(cast(BinaryIO, file), uri)
        header.check_size(found, uri, rules.max_pixels)
        return found
    except HarmonizeError as error:
        return str(error)
    except OSError as error:
        return f"{uri} cannot be read: {storage_errors.reason(error, uri)}"
