"""The two ways to measure: the paper's (256 x 256, truncated) and the native one (the files as they are)."""

import dataclasses
from typing import Literal

import numpy as np

from hdnet.model.harmonizer import Harmonizer
from hdnet.model.training import dataset
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.pixels import image

Protocol = Literal["paper", "native"]
PAPER_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Sample:
    """A decoded pair, ready to measure.

    Attributes:
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8, soft; 0 and 255 only under the paper's protocol.
        real: (H,W,3) uint8 or uint16, what the composite should look like.
    """

    composite: image.Pixels
    mask: image.Mask
    real: image.Pixels

    @property
    def foreground(self) -> image.Foreground:
        """(H,W) bool, where the foreground scores look."""
        return image.threshold(self.mask)


def load(pair: Pair, protocol: Protocol) -> Sample:
    """Decode a pair; "paper": at 256 x 256, 8 bits, with the real photo's background; "native": as the files are.

    Raises:
        HarmonizeError: As for `dataset.load_pair`.
    """
    if protocol == "native":
        composite, real, mask = dataset.load_pair(pair)
        return Sample(composite, mask, real)
    composite, real, inside = dataset.unpack(dataset.load_packed(pair, PAPER_SIZE))
    return Sample(composite, inside * np.uint8(255), real)


def harmonize(sample: Sample, harmonizer: Harmonizer, protocol: Protocol) -> image.Pixels:
    """Run the network; "paper": its values in the foreground cut down to whole numbers; "native": rounded, blended.

    Raises:
        HarmonizeError: The network's result is not finite.
    """
    if protocol == "native":
        return harmonizer(sample.composite, sample.mask)
    colours = harmonizer.colours(sample.composite, sample.mask)
    # Background values come back through floats as 99.99999: only the network's own may be cut.
    return np.where(sample.foreground[..., None], np.clip(colours, 0, 255).astype(np.uint8), sample.composite)
