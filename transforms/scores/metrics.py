"""Scores of one image against another.

Images are (H,W,3) uint8 or uint16 sRGB; every number is in the 0..255 scale (uint16 is divided by 257 first).
`foreground` is an (H,W) bool mask. A foreground score is None where the mask is empty.
"""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from skimage import metrics as skimage_metrics

from hdnet.transforms import errors
from hdnet.transforms.pixels import image

PSNR_CAP = 100.0  # dB, given to identical images so that means stay finite
SSIM_WINDOW = 11  # pixels: a Gaussian of sigma 1.5 cut at 3.5 sigma

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Scores:
    """How far a result is from its reference; the `f` scores look inside the mask only.

    Attributes:
        mse, fmse: mean squared error, squared 0..255 units.
        psnr, fpsnr: dB against a peak of 255, at most `PSNR_CAP`.
        ssim, fssim: structural similarity, at most 1; None for images under 11 pixels on a side.
    """

    mse: float
    fmse: float | None
    psnr: float
    fpsnr: float | None
    ssim: float | None
    fssim: float | None


def score(result: image.Pixels, reference: image.Pixels, foreground: image.Foreground) -> Scores:
    """Compute all six scores, the SSIM map once.

    Raises:
        ShapeError: the two images and the mask do not have one size.
    """
    error, inside = mse(result, reference), fmse(result, reference, foreground)
    similarity = _ssim_map(result, reference)
    return Scores(
        mse=error,
        fmse=inside,
        psnr=decibels(error),
        fpsnr=None if inside is None else decibels(inside),
        ssim=None if similarity is None else _inner_mean(similarity),
        fssim=None if similarity is None else _mean_inside(similarity, foreground),
    )


def mse(result: image.Pixels, reference: image.Pixels) -> float:
    """Return the mean squared error over all pixels and channels; ShapeError if the sizes differ."""
    _check_same_size(result, reference)
    return _mean_square(result, reference)


def fmse(result: image.Pixels, reference: image.Pixels, foreground: image.Foreground) -> float | None:
    """Return the mean squared error over the foreground: its sum of squares / (3 * foreground pixels).

    Where the backgrounds are identical, this is the papers' MSE * H * W / foreground pixels. None without foreground.

    Raises:
        ShapeError: the two images and the mask do not have one size.
    """
    _check_same_size(result, reference, foreground)
    return _mean_square(result[foreground], reference[foreground]) if foreground.any() else None


def psnr(result: image.Pixels, reference: image.Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB, peak 255, at most `PSNR_CAP`; ShapeError if the sizes differ."""
    return decibels(mse(result, reference))


def fpsnr(result: image.Pixels, reference: image.Pixels, foreground: image.Foreground) -> float | None:
    """Return the PSNR of `fmse` in dB; None without foreground; ShapeError if the sizes differ."""
    error = fmse(result, reference, foreground)
    return None if error is None else decibels(error)


def ssim(result: image.Pixels, reference: image.Pixels) -> float | None:
    """Return the mean structural similarity over the pixels whose 11 x 11 window lies inside the image.

    Gaussian weights of sigma 1.5, population covariance, mean over the channels (Wang et al. 2004). None for images
    under 11 pixels on a side; ShapeError if the sizes differ.
    """
    similarity = _ssim_map(result, reference)
    return None if similarity is None else _inner_mean(similarity)


def fssim(result: image.Pixels, reference: image.Pixels, foreground: image.Foreground) -> float | None:
    """Return the mean of the SSIM map inside the mask, the image's border included (its windows are mirrored).

    None without foreground or for images under 11 pixels on a side; ShapeError if the sizes differ.
    """
    _check_same_size(result, reference, foreground)
    similarity = _ssim_map(result, reference)
    return None if similarity is None else _mean_inside(similarity, foreground)


def decibels(error: float) -> float:
    """Turn a mean squared error in squared 0..255 units into dB: 10 log10(255^2 / error), at most `PSNR_CAP`."""
    return min(PSNR_CAP, 10 * math.log10(255**2 / error)) if error > 0 else PSNR_CAP


def _check_same_size(first: image.Pixels, second: image.Pixels, foreground: image.Foreground | None = None) -> None:
    shapes = [first.shape, second.shape] + ([] if foreground is None else [(*foreground.shape, 3)])
    if len(set(shapes)) > 1 or first.ndim != 3:
        raise errors.ShapeError(f"images and mask must have one size, not {shapes}: resize them first")
    if foreground is not None and foreground.dtype != np.bool_:
        # A uint8 mask would pick pixels by number instead of choosing them.
        raise errors.ShapeError(f"a foreground mask is bool, not {foreground.dtype}: use image.threshold")


def _mean_square(result: image.Pixels, reference: image.Pixels) -> float:
    return float(np.mean(np.square(image.to_255(result) - image.to_255(reference)), dtype=np.float64))


def _ssim_map(result: image.Pixels, reference: image.Pixels) -> Floats | None:
    """Return SSIM at every pixel and channel, (H,W,3); None where the window does not fit."""
    _check_same_size(result, reference)
    if min(result.shape[:2]) < SSIM_WINDOW:
        return None
    similarity: Floats = skimage_metrics.structural_similarity(  # type: ignore[no-untyped-call]
        image.to_255(result), image.to_255(reference), data_range=255, channel_axis=2, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )[1]  # fmt: skip
    return similarity


def _inner_mean(similarity: Floats) -> float:
    edge = SSIM_WINDOW // 2
    return float(np.mean(similarity[edge:-edge, edge:-edge], dtype=np.float64))


def _mean_inside(similarity: Floats, foreground: image.Foreground) -> float | None:
    return float(np.mean(similarity[foreground], dtype=np.float64)) if foreground.any() else None
