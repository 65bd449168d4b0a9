"""Runs an ensemble on one image of any size."""

from hdnet.model.architectures.base import Renderer
from hdnet.model.architectures.s2crnet.renderer import CurveRenderer
from hdnet.transforms.pixels import image


class EnsembleRenderer(Renderer):
    """Lays S2CRNet's colours over HDNet's.

    Args:
        hdnet: Runs HDNet.
        s2crnet: Runs S2CRNet.
        share: Of S2CRNet's colours in the result, 0 to 1.
    """

    def __init__(self, hdnet: Renderer, s2crnet: CurveRenderer, share: float) -> None:
        self.hdnet, self.s2crnet, self.share = hdnet, s2crnet, share

    def colours(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.FloatPixels:
        """Return the weighted mean of both networks' colours."""
        result = self.hdnet.colours(composite, mask)
        self.s2crnet.lay_over(result, composite, mask, self.share)
        return result
