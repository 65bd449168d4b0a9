"""The ways to measure: at 256 x 256 as papers do, at the files' own sizes, and the network by itself."""

import dataclasses
from typing import Literal

import numpy as np

from hdnet.model.harmonizer import Harmonizer
from hdnet.model.training import dataset
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.pixels import image

Protocol = Literal["paper", "native", "network"]
"""256 x 256; the files as they are; 256 x 256 without what `Harmonizer` does before and after the network."""
PAPER_SIZE = 256


@dataclasses.dataclass(frozen=True)
class DecodedPair:
    """A decoded pair, ready to measure.

    Attributes:
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8, soft; 0 and 255 only at 256 x 256.
        real: (H,W,3) uint8 or uint16, what the composite should look like.
    """

    composite: image.Pixels
    mask: image.Mask
    real: image.Pixels

    @property
    def foreground(self) -> image.Foreground:
        """(H,W) bool, where the foreground scores look."""
        return image.threshold(self.mask)


def load(pair: Pair, protocol: Protocol) -> DecodedPair:
    """Decode a pair: for "native" as it is, otherwise at 256 x 256, 8 bits, with the real photo's background.

    Raises:
        HarmonizeError: As for `dataset.load_pair`.
    """
    if protocol == "native":
        composite, real, mask = dataset.load_pair(pair)
        return DecodedPair(composite, mask, real)
    composite, real, inside = dataset.unpack(dataset.load_packed(pair, PAPER_SIZE))
    return DecodedPair(composite, inside * np.uint8(255), real)


def harmonize(decoded: DecodedPair, harmonizer: Harmonizer, protocol: Protocol) -> image.Pixels:
    """Harmonize as `Harmonizer` does; for "network", truncate the network's own values in the foreground.

    Raises:
        HarmonizeError: The network's result is not finite.
    """
    if protocol != "network":
        return harmonizer(decoded.composite, decoded.mask)
    colours = harmonizer.colours(decoded.composite, decoded.mask)
    # Background values come back from floats as 99.99999: only the network's own may be truncated.
    return np.where(decoded.foreground[..., None], np.clip(colours, 0, 255).astype(np.uint8), decoded.composite)
