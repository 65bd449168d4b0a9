"""Arrays to tensors and back: scale, padding and blending, one rule for each.

There are two float scales. A network's is [-1, 1] in (1,3,H,W). An array's is 0..255 or 0..65535 in (H,W,3), the scale
of the image it came from, not rounded yet: `unscale` returns it and `blend` takes it.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from hdnet.transforms import errors
from hdnet.transforms.pixels import image

Values = TypeVar("Values", npt.NDArray[np.float32], torch.Tensor)


def scale(values: Values, top: int) -> Values:
    """Scale values of any shape from 0..`top` to [-1, 1]: a float32 array, or a tensor (uint8 becomes float32)."""
    return values * (2 / top) - 1


def to_tensor(pixels: image.Pixels) -> torch.Tensor:
    """Turn an (H,W,3) uint8 or uint16 image into float32 (1,3,H,W) in [-1, 1], laid out as channels_last.

    Raises:
        ShapeError: The image has another shape or dtype.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise errors.ShapeError(f"an image is (H,W,3) uint8 or uint16, not {pixels.shape} {pixels.dtype}")
    scaled = scale(pixels.astype(np.float32, order="C"), np.iinfo(pixels.dtype).max)
    return torch.from_numpy(scaled).permute(2, 0, 1)[None]


def mask_to_tensor(mask: image.Mask | image.Foreground) -> torch.Tensor:
    """Turn an (H,W) uint8 or bool mask into float32 (1,1,H,W) of exactly 0 and 1, by `image.threshold`.

    Raises:
        ShapeError: The mask is not (H,W).
    """
    if mask.ndim != 2:
        raise errors.ShapeError(f"a mask is (H,W), not {mask.shape}")
    return torch.from_numpy(image.threshold(mask).astype(np.float32, order="C"))[None, None]


def unscale(tensor: torch.Tensor, dtype: image.PixelType) -> image.FloatPixels:  # (1,3,H,W)
    """Turn a float tensor in [-1, 1] into float32 (H,W,3) in the range of `dtype`, clamped and not rounded.

    Raises:
        ShapeError: The tensor is not (1,3,H,W).
    """
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3):
        raise errors.ShapeError(f"a result is one image (1,3,H,W), not {tuple(tensor.shape)}")
    unit = tensor.detach()[0].permute(1, 2, 0).float().clamp(-1, 1).cpu()
    scaled: image.FloatPixels = ((unit + 1) * (np.iinfo(dtype).max / 2)).numpy()
    return scaled


def pad(tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:  # (B,C,H,W)
    """Repeat the right and bottom edge of a float tensor up to `height` x `width`."""
    return functional.pad(tensor, (0, width - tensor.shape[-1], 0, height - tensor.shape[-2]), mode="replicate")


def crop(tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:  # (B,C,H,W)
    """Undo `pad`: a view of the top left `height` x `width` pixels."""
    return tensor[..., :height, :width]


def blend(composite: image.Pixels, result: npt.NDArray[np.floating], mask: image.Mask) -> image.Pixels:
    """Lay a network's result over the composite by the soft mask, and round once at the end.

    Args:
        composite: (H,W,3) uint8 or uint16.
        result: (H,W,3) float in the composite's integer scale, as `unscale` returns it.
        mask: (H,W) uint8, 0..255.

    Returns:
        (H,W,3) in the composite's dtype: its very pixels where the mask is 0, the rounded result where it is 255.

    Raises:
        ShapeError: The three do not have one size, or the mask is not uint8.
    """
    if result.shape != composite.shape or mask.shape != composite.shape[:2] or mask.dtype != np.uint8:
        raise errors.ShapeError(
            f"composite {composite.shape}, result {result.shape} and mask {mask.shape} {mask.dtype} do not fit: "
            "blend needs (H,W,3), (H,W,3) and (H,W) uint8 of one size"
        )
    inside = mask > 0
    coverage = mask[inside][:, None].astype(np.float32) / 255
    blended = composite.copy()
    # Two products, not composite + coverage * difference: at coverage 1 this form is exactly the result.
    mixed = (1 - coverage) * composite[inside] + coverage * result[inside]
    blended[inside] = image.quantise(mixed, composite.dtype)
    return blended
