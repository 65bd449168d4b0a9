"""A cut-out, an image with transparency, over a background of the same size."""

import numpy as np

from hdnet.transforms import errors
from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.image import Pixels, Plane


def paste(colours: Pixels, alpha: Plane, background: Pixels) -> Pixels:
    """Return the composite.

    Args:
        colours: (H,W,3) uint8 or uint16, not multiplied by `alpha`.
        alpha: (H,W) in the dtype of `colours`: 0 shows the background, full scale the cut-out.
        background: (H,W,3) uint8 or uint16.

    Returns:
        (H,W,3) in the dtype of `background`, whose values it has where `alpha` is 0.

    Raises:
        ShapeError: The sizes differ.
    """
    if colours.shape != background.shape:
        height, width = background.shape[:2]
        raise errors.ShapeError(
            f"the cut-out is {colours.shape[1]} x {colours.shape[0]}, its background {width} x {height}: "
            "place the cut-out on a transparent canvas of the background's size"
        )
    full = np.float32(np.iinfo(alpha.dtype).max)
    scale = np.float32(np.iinfo(background.dtype).max) / full
    result = np.empty_like(background)
    for row in range(len(result)):  # row by row, because floats take four times the memory
        share = alpha[row, :, None] / full
        mixed = share * (colours[row] * scale) + (1 - share) * background[row]
        result[row] = image.quantise(mixed, background.dtype)
    return result
