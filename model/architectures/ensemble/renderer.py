"""Runs an ensemble on one image of any size."""

import numpy as np

from hdnet.model.architectures.base import Renderer
from hdnet.model.architectures.s2crnet.renderer import CurveRenderer
from hdnet.transforms.pixels import image


class EnsembleRenderer(Renderer):
    """Mixes S2CRNet's colours into HDNet's.

    Args:
        hdnet: Runs HDNet.
        s2crnet: Runs S2CRNet.
        share: The weight of S2CRNet's colours in the result, 0 to 1.
    """

    def __init__(self, hdnet: Renderer, s2crnet: CurveRenderer, share: float) -> None:
        self.hdnet, self.s2crnet, self.share = hdnet, s2crnet, share

    def colours(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.FloatPixels:
        """Return the weighted mean of both networks' colours where HDNet has any: in the foreground."""
        result = self.hdnet.colours(composite, mask)
        inside = image.threshold(mask)
        colours = self.s2crnet.look_up(composite, mask, inside)
        result[inside] += np.float32(self.share) * (colours - result[inside])
        return result
