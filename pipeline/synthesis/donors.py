"""Donors of colour statistics: foregrounds of the catalog's first photos, the same for every worker and every run."""

import itertools

from hdnet.model.synthesis.methods import Donor
from hdnet.model.training.composites import augment
from hdnet.pipeline.request import Request
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps import pair as pairs
from hdnet.pipeline.synthesis import layout
from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs import decode
from hdnet.transforms.errors import DatasetError, HarmonizeError, StorageError
from hdnet.transforms.pixels import image
from hdnet.transforms.storage import schemes

FIRST = 32
"""Rows of the manifest that are read. They are few, for every one of them delays the start."""


def read(request: Request, settings: Settings) -> tuple[Donor, ...]:
    """Read the donors; rows whose files cannot be used are passed over, and fail in the run as all such rows do.

    A file that is there and cannot be read stops the start: a store may be out of reach for a moment, and with other
    donors the whole data set would be made again.

    Raises:
        DatasetError: There are fewer than two.
        ManifestError: The manifest cannot be read.
        StorageError: A file is there and cannot be read.
    """
    rows = itertools.islice(manifest_parts.rows(request.manifest, request.names), FIRST)
    found = [_read(row, request, settings) for row in rows if isinstance(row, Pair)]
    donors = tuple(donor for donor in found if donor)
    if len({donor.sha256 for donor in donors}) < 2:
        raise DatasetError(
            f"{request.manifest}: the methods lab and histogram take statistics from the first {FIRST} rows, of which"
            f" {len(donors)} can be used: give at least two photos there, or other methods"
        )
    return donors


def _read(pair: Pair, request: Request, settings: Settings) -> Donor | None:
    uri = layout.photo_of(pair)
    if not {schemes.scheme(each) for each in (uri, pair.mask)} <= request.schemes:
        return None
    try:
        photo, region = pairs.fetch((uri, pair.mask), settings)
        reading = settings.image.of(pair).reading
        inside = image.threshold(pairs.decode_mask(region, photo.header, settings, reading))
        pixels = image.to_8_bit(decode.decode(photo.data, photo.uri, settings.max_pixels).pixels)
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    except HarmonizeError:
        return None
    sha256 = pairs.sha256(photo.data)
    usable = augment.MIN_PIXELS <= inside.sum() < inside.size
    return Donor.of(layout.photo_name(uri, sha256), sha256, pixels, inside) if usable else None
