"""The classical baseline: Reinhard's transfer of colour statistics from the background to the foreground."""

import warnings

import numpy as np
import numpy.typing as npt
from skimage import color

from hdnet.transforms import errors
from hdnet.transforms.pixels import image, tensor


def reinhard(composite: image.Pixels, mask: image.Mask) -> image.Pixels:
    """Give the foreground the background's mean and standard deviation in each CIELAB channel.

    Reinhard et al., "Color Transfer between Images" (2001), in CIELAB under D65 in place of the paper's l-alpha-beta.

    Args:
        composite: (H,W,3) uint8 or uint16.
        mask: (H,W) uint8; statistics are taken by `image.threshold`, the result is blended by the soft mask.

    Returns:
        (H,W,3) in the composite's dtype, rounded; the composite itself where foreground or background is empty.

    Raises:
        ShapeError: The two do not have one size.
    """
    if composite.shape != (*mask.shape, 3):
        raise errors.ShapeError(f"the mask is {mask.shape}, its composite {composite.shape}: both must be of one size")
    inside = image.threshold(mask)
    if inside.all() or not inside.any():
        return composite.copy()
    scale = np.iinfo(composite.dtype).max
    lab = color.rgb2lab(composite / scale)
    moved = composite.astype(np.float32)
    # The soft edge is moved with the foreground, or the blend would find the composite's own colours there.
    edge = mask > 0
    moved[edge] = _rgb(_transfer(lab[edge], lab[inside], lab[~inside])) * scale
    return tensor.blend(composite, moved, mask)


def _transfer(
    pixels: npt.NDArray[np.float64], fore: npt.NDArray[np.float64], back: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:  # (N,3)
    # A flat foreground has no contrast that could be scaled: its deviation is rounding noise, not 0.
    ratio = back.std(axis=0) / np.maximum(fore.std(axis=0), 1e-6)
    moved: npt.NDArray[np.float64] = (pixels - fore.mean(axis=0)) * ratio + back.mean(axis=0)
    return moved


def _rgb(lab: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:  # (N,3) -> (N,3) in 0..1
    with warnings.catch_warnings():
        # Colours outside the gamut are usual here and are clipped; skimage warns of each.
        warnings.filterwarnings("ignore", "Conversion from CIE-LAB", UserWarning)
        rgb: npt.NDArray[np.float64] = np.clip(color.lab2rgb(lab), 0, 1)
    return rgb
