"""Scores of images against a reference.

Images are (H,W,3) uint8 or uint16 sRGB; every number is in the 0..255 scale (uint16 is divided by 257 first).
`foreground` is an (H,W) bool mask. A foreground score is None where the mask is empty.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hdnet.transforms import errors
from hdnet.transforms.pixels.image import Foreground, Pixels

if TYPE_CHECKING:
    from hdnet.transforms.scores.similarity import Sums

PSNR_CAP = 100.0  # dB, given to identical images so that means stay finite


@dataclasses.dataclass(frozen=True)
class Scores:
    """How far a result is from its reference; the `f` scores look inside the mask only.

    Attributes:
        mse, fmse: Mean squared error, squared 0..255 units. Where the backgrounds are identical, fmse is the papers'
            MSE * H * W / foreground pixels.
        psnr, fpsnr: dB against a peak of 255, at most `PSNR_CAP`.
        ssim: Mean structural similarity over the pixels whose 11 x 11 window lies inside the image, at most 1.
        fssim: The same over the foreground, windows mirrored at the image's border. Both are None for images under
            11 pixels on a side.
    """

    mse: float
    fmse: float | None
    psnr: float
    fpsnr: float | None
    ssim: float | None
    fssim: float | None


def score(image: Pixels, reference: Pixels, foreground: Foreground) -> Scores:
    """Compute all six scores of one image.

    Raises:
        ShapeError: The two images and the mask do not have one size.
    """
    return score_all([image], reference, foreground)[0]


def score_all(
    images: Sequence[Pixels], reference: Pixels, foreground: Foreground, *, structure: bool = True
) -> list[Scores]:
    """Compute the scores of several images; those after the first are measured only where they differ from it.

    So a composite should come first, and what was made of it after it.

    Args:
        images: Each (H,W,3) uint8 or uint16.
        reference: Likewise.
        foreground: (H,W) bool.
        structure: Compute SSIM, which takes ten times as long as all else; without it, ssim and fssim are None.

    Raises:
        ShapeError: The images and the mask do not have one size.
    """
    from hdnet.transforms.scores import similarity  # with torch, which a night without new pairs need not wait for

    for image in images:
        _check_same_size(image, reference, foreground)
    if structure:
        return [_scores(found, foreground) for found in similarity.sums(images, reference, foreground)]
    without = [_scores(found, foreground) for found in similarity.errors(images, reference, foreground)]
    return [dataclasses.replace(each, ssim=None, fssim=None) for each in without]


def psnr(result: Pixels, reference: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB, peak 255, at most `PSNR_CAP`; ShapeError if the sizes differ."""
    return score(result, reference, np.zeros(result.shape[:2], np.bool_)).psnr


def decibels(error: float) -> float:
    """Turn a mean squared error in squared 0..255 units into dB: 10 log10(255^2 / error), at most `PSNR_CAP`."""
    return min(PSNR_CAP, 10 * math.log10(255**2 / error)) if error > 0 else PSNR_CAP


def _scores(found: "Sums", foreground: Foreground) -> Scores:
    from hdnet.transforms.scores.similarity import REACH, WINDOW

    height, width = foreground.shape
    inside = 3 * int(np.count_nonzero(foreground))
    inner = 3 * (height - 2 * REACH) * (width - 2 * REACH) if min(height, width) >= WINDOW else 0
    error = found.error / (3 * height * width)
    error_inside = found.error_inside / inside if inside else None
    return Scores(
        mse=error,
        fmse=error_inside,
        psnr=decibels(error),
        fpsnr=None if error_inside is None else decibels(error_inside),
        ssim=1 - found.dissimilarity / inner if inner else None,
        fssim=1 - found.dissimilarity_inside / inside if inner and inside else None,
    )


def _check_same_size(first: Pixels, second: Pixels, foreground: Foreground) -> None:
    shapes = [first.shape, second.shape, (*foreground.shape, 3)]
    if len(set(shapes)) > 1 or first.ndim != 3:
        raise errors.ShapeError(f"images and mask must have one size, not {shapes}: resize them first")
    if foreground.dtype != np.bool_:
        # A uint8 mask would pick pixels by number instead of choosing them.
        raise errors.ShapeError(f"a foreground mask is bool, not {foreground.dtype}: use image.threshold")
