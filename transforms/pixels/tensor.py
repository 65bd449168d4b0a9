"""Arrays to tensors and back: scale, rounding, padding, resizing and blending, one rule for each.

Two float scales appear. A network's is [-1, 1] in (1,3,H,W). An array's is 0..255 or 0..65535 in (H,W,3), the scale
of the image it came from, not rounded yet: `unscale` gives it, `blend` takes it, `quantise` rounds it.
"""

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from hdnet.transforms import errors, image

RESAMPLE = Image.Resampling.BICUBIC  # Pillow widens the kernel when it shrinks: antialiased

FloatPixels = npt.NDArray[np.float32]  # (H,W,3) in an image's own integer scale
PixelType = type[np.uint8] | type[np.uint16] | np.dtype[np.uint8 | np.uint16]


def to_tensor(pixels: image.Pixels) -> torch.Tensor:
    """Turn an (H,W,3) uint8 or uint16 image into float32 (1,3,H,W) in [-1, 1], laid out as channels_last.

    Raises:
        ShapeError: another shape or dtype.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise errors.ShapeError(f"an image is (H,W,3) uint8 or uint16, not {pixels.shape} {pixels.dtype}")
    scaled = pixels.astype(np.float32, order="C") * np.float32(2 / np.iinfo(pixels.dtype).max) - np.float32(1)
    return torch.from_numpy(scaled).permute(2, 0, 1)[None]


def mask_to_tensor(mask: image.Mask | image.Foreground) -> torch.Tensor:
    """Turn an (H,W) uint8 or bool mask into float32 (1,1,H,W) of exactly 0 and 1, by `image.threshold`.

    Raises:
        ShapeError: the mask is not (H,W).
    """
    if mask.ndim != 2:
        raise errors.ShapeError(f"a mask is (H,W), not {mask.shape}")
    return torch.from_numpy(image.threshold(mask).astype(np.float32, order="C"))[None, None]


def from_tensor(tensor: torch.Tensor, dtype: PixelType) -> image.Pixels:  # (1,3,H,W)
    """Turn a float tensor in [-1, 1] into an (H,W,3) image of `dtype` (uint8 or uint16): clamp, scale, round."""
    return quantise(unscale(tensor, dtype), dtype)


def unscale(tensor: torch.Tensor, dtype: PixelType) -> FloatPixels:  # (1,3,H,W)
    """Turn a float tensor in [-1, 1] into float32 (H,W,3) in the range of `dtype`, clamped and not rounded.

    Raises:
        ShapeError: the tensor is not (1,3,H,W).
    """
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3):
        raise errors.ShapeError(f"a result is one image (1,3,H,W), not {tuple(tensor.shape)}")
    unit = tensor.detach()[0].permute(1, 2, 0).float().clamp(-1, 1).cpu()
    scaled: FloatPixels = ((unit + 1) * (np.iinfo(dtype).max / 2)).numpy()
    return scaled


def quantise(values: npt.NDArray[np.floating], dtype: PixelType) -> image.Pixels:
    """Round float values of any shape to `dtype` (uint8 or uint16): clamp to its range, halves go to the even value."""
    rounded: image.Pixels = np.rint(np.clip(values, 0, np.iinfo(dtype).max)).astype(dtype)
    return rounded


def to_8_bit(pixels: image.Pixels) -> npt.NDArray[np.uint8]:
    """Bring a uint8 or uint16 image to uint8, by the one rounding rule."""
    shallow = pixels if pixels.dtype == np.uint8 else quantise(pixels / 257, np.uint8)
    return shallow.astype(np.uint8, copy=False)


def pad(tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:  # (B,C,H,W)
    """Repeat the right and bottom edge of a float tensor up to `height` x `width`."""
    return functional.pad(tensor, (0, width - tensor.shape[-1], 0, height - tensor.shape[-2]), mode="replicate")


def crop(tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:  # (B,C,H,W)
    """Undo `pad`: a view of the top left `height` x `width` pixels."""
    return tensor[..., :height, :width]


def resize_image(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize an (H,W,3) uint8 image to (height,width,3), bicubic and antialiased.

    Raises:
        ShapeError: another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise errors.ShapeError(f"an image to resize is (H,W,3) uint8, not {pixels.shape} {pixels.dtype}")
    return np.array(Image.fromarray(pixels).resize((width, height), RESAMPLE))


def resize_mask(mask: image.Mask, height: int, width: int) -> image.Mask:
    """Resize an (H,W) uint8 mask to (height,width) by the nearest pixel, so that no new value appears.

    Raises:
        ShapeError: another shape or dtype.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise errors.ShapeError(f"a mask to resize is (H,W) uint8, not {mask.shape} {mask.dtype}")
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def blend(composite: image.Pixels, result: npt.NDArray[np.floating], mask: image.Mask) -> image.Pixels:
    """Lay a network's result over the composite, as far as the soft mask says, and round once at the end.

    Args:
        composite: (H,W,3) uint8 or uint16.
        result: (H,W,3) float in the composite's integer scale, as `unscale` gives it.
        mask: (H,W) uint8, 0..255.

    Returns:
        (H,W,3) in the composite's dtype: its very pixels where the mask is 0, the rounded result where it is 255.

    Raises:
        ShapeError: the three do not have one size, or the mask is not uint8.
    """
    if result.shape != composite.shape or mask.shape != composite.shape[:2] or mask.dtype != np.uint8:
        raise errors.ShapeError(
            f"composite {composite.shape}, result {result.shape} and mask {mask.shape} {mask.dtype} do not fit: "
            "blend needs (H,W,3), (H,W,3) and (H,W) uint8 of one size"
        )
    inside = mask > 0
    share = mask[inside][:, None].astype(np.float32) / 255
    blended = composite.copy()
    # Two products, not composite + share * difference: at share 1 this form is exactly the result.
    blended[inside] = quantise((1 - share) * composite[inside] + share * result[inside], composite.dtype)
    return blended
