"""Where synthetic pairs lie: a data set of one sub-dataset in the iHarmony4 layout, beside a run's tables."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from hdnet.pipeline.layout import Layout
from hdnet.transforms.catalog.manifest import Pair

Split = Literal["train", "test"]

SUBSET = "synthetic"
COMPOSITES, MASKS, PHOTOS = "composite_images", "masks", "real_images"
LONGEST = 60
"""Characters of a photo's own name that are kept."""
DIGITS = 10
"""Digits of a file's SHA-256 in its name."""

_NAME = re.compile(rf"(?P<photo>.*-(?P<hash>[0-9a-f]{{{DIGITS}}}))_(?P<region>[0-9a-f]+)_(?P<number>[1-9][0-9]*)")


@dataclass(frozen=True)
class SynthesisLayout(Layout):
    """The places of one run.

    A file's name tells all that the lists need: PHOTO_REGION_NUMBER, where PHOTO ends with a part of the photo's
    SHA-256 and REGION is a part of the mask's. One photo is one file, whatever rows of the manifest name it.
    """

    @property
    def images(self) -> str:
        """Folder of the sub-dataset, whose folders hold the composites, masks and photos."""
        return f"{self.output}/{SUBSET}"

    def file(self, folder: str, name: str) -> str:
        """Return the URI of an image in one of the sub-dataset's folders."""
        return f"{self.images}/{folder}/{name}"

    def lists(self, split: Split) -> tuple[str, str]:
        """Return the URIs of the data set's list and the sub-dataset's."""
        return f"{self.output}/IHD_{split}.txt", f"{self.images}/{SUBSET}_{split}.txt"


def photo_of(pair: Pair) -> str:
    """Return the URI of a pair's photo: its reference, or its composite where it has none."""
    return pair.reference or pair.composite


def photo_name(uri: str, sha256: str) -> str:
    """Return a photo's name in the data set: its own, as far as any store can hold it, and a part of its SHA-256."""
    own = re.sub("[^A-Za-z0-9.-]+", "-", PurePosixPath(uri).stem)[:LONGEST].strip("-.")
    return f"{own or 'photo'}-{sha256[:DIGITS]}"


def split_of(sha256: str, test_fraction: float) -> Split:
    """Return the split of a photo by the first digits of its SHA-256, which its name also has."""
    return "test" if int(sha256[:DIGITS], 16) < test_fraction * 16**DIGITS else "train"


def parts_of(name: str) -> tuple[str, str, str] | None:
    """Return the stems of a composite's photo and mask, and the photo's digits; None if the name is not one of ours."""
    match = _NAME.fullmatch(PurePosixPath(name).stem)
    return (match["photo"], f"{match['photo']}_{match['region']}", match["hash"]) if match else None
