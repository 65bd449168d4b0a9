"""Runs an ensemble on one image of any size."""

import numpy as np

from hdnet.model.architectures.base import Renderer
from hdnet.model.architectures.ensemble.config import LEVELS, EnsembleConfig
from hdnet.model.architectures.s2crnet.renderer import CurveRenderer
from hdnet.transforms.pixels import image

SAMPLE = 1 << 16
"""Pixels by which the size of a change is judged, about."""


class EnsembleRenderer(Renderer):
    """Mixes S2CRNet's change of the colours into HDNet's.

    Args:
        hdnet: Runs HDNet.
        s2crnet: Runs S2CRNet.
        config: How the two are joined.
    """

    def __init__(self, hdnet: Renderer, s2crnet: CurveRenderer, config: EnsembleConfig) -> None:
        self.hdnet, self.s2crnet, self.config = hdnet, s2crnet, config

    def colours(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.FloatPixels:
        """Make the mean of both networks' changes where HDNet makes any: in the foreground."""
        result = self.hdnet.colours(composite, mask)
        inside = image.threshold(mask)
        colours = result[inside]
        colours += np.float32(self.config.share) * (self.s2crnet.look_up(composite, mask, inside) - colours)
        if self.config.doubt:
            before = composite[inside]
            change = np.subtract(colours, before, out=colours)
            change *= np.float32(self.config.strength(_size(change) * LEVELS / np.iinfo(composite.dtype).max))
            change += before
        result[inside] = colours
        return result


def _size(change: image.FloatPixels) -> float:  # (N,3)
    """Return the root mean square of a change, measured at every n-th pixel of many."""
    sample = change[:: max(1, len(change) // SAMPLE)]
    return float(np.square(sample, dtype=np.float64).mean() ** 0.5) if len(sample) else 0.0
