"""Scores compared with values computed by hand and with plain formulas."""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest
from skimage.metrics import structural_similarity

from hdnet.transforms import errors
from hdnet.transforms.scores import metrics

pytestmark = pytest.mark.usefixtures("similarity")

Bytes = npt.NDArray[np.uint8]


def flat(*colour: int, size: int = 16) -> Bytes:
    return np.full((size, size, 3), colour, np.uint8)


def square(size: int = 16) -> npt.NDArray[np.bool_]:
    foreground = np.zeros((size, size), np.bool_)
    foreground[4:8, 4:12] = True  # 32 of 256 pixels
    return foreground


def noisy_pair(size: int = 24) -> tuple[Bytes, Bytes]:
    random = np.random.default_rng(0)
    first = random.integers(95, 106, (size, size, 3), dtype=np.uint8)  # flat enough for SSIM's constants to matter
    return first, (first + random.normal(0, 4, first.shape)).astype(np.uint8)


def windowed(values: npt.NDArray[np.float64], window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    patches = np.lib.stride_tricks.sliding_window_view(values, window.shape)
    return np.asarray((patches * window).sum(axis=(-2, -1)))


def plain_ssim(first: Bytes, second: Bytes) -> npt.NDArray[np.float64]:
    """SSIM of one channel at every full window, straight from the paper."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    x, y = first.astype(np.float64), second.astype(np.float64)
    mx, my, xx, yy, xy = (windowed(each, window) for each in (x, y, x * x, y * y, x * y))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    variances = (xx - mx**2) + (yy - my**2)
    return np.asarray((2 * mx * my + c1) * (2 * (xy - mx * my) + c2) / ((mx**2 + my**2 + c1) * (variances + c2)))


def test_errors_of_one_changed_square():
    result, reference = flat(100, 100, 100), flat(100, 100, 100)
    result[square()] = (103, 100, 96)  # squares 9, 0, 16
    found = metrics.score(result, reference, square())
    assert found.fmse == pytest.approx(25 / 3)
    assert found.mse == pytest.approx(25 / 3 * 32 / 256)
    assert found.psnr == pytest.approx(20 * math.log10(255) - 10 * math.log10(25 / 24), abs=1e-4)
    assert found.fpsnr == pytest.approx(10 * math.log10(65025 * 3 / 25), abs=1e-4)
    assert metrics.psnr(result, reference) == found.psnr


def test_fmse_does_not_see_the_background():
    result = flat(0, 0, 0)
    result[~square()] = 90
    assert metrics.score(result, flat(0, 0, 0), square()).fmse == 0


def test_sixteen_bits_are_measured_on_the_eight_bit_scale():
    deep = [each.astype(np.uint16) * 257 for each in noisy_pair()]
    inside = square(24)
    found = dataclasses.astuple(metrics.score(deep[0], deep[1], inside))
    wanted = dataclasses.astuple(metrics.score(*noisy_pair(), inside))
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("structure", [True, False])
def test_depths_may_differ(structure):
    eight = np.random.default_rng(0).integers(0, 200, (12, 12, 3), np.uint8)
    sixteen, inside = (eight + np.uint16(5)) * np.uint16(257), np.ones((12, 12), np.bool_)
    for image, reference in ((sixteen, eight), (eight, sixteen)):
        (found,) = metrics.score_all((image,), reference, inside, structure=structure)
        assert found.mse == pytest.approx(25, rel=1e-5)
    first, second = metrics.score_all((eight.astype(np.uint16), eight), eight, inside, structure=structure)
    assert first.psnr < 20 and second.psnr == 100  # the same numbers are other values in another depth


def test_identical_images_get_the_cap():
    scores = metrics.score(flat(1, 2, 3), flat(1, 2, 3), square())
    assert scores == metrics.Scores(mse=0, fmse=0, psnr=100, fpsnr=100, ssim=1, fssim=1)
    assert metrics.decibels(1e-12) == 100


def test_ssim_is_the_papers_formula():
    first, second = noisy_pair()
    plain = np.stack([plain_ssim(first[..., c], second[..., c]) for c in range(3)], axis=-1)
    inside = np.zeros((24, 24), np.bool_)
    inside[7:13, 6:18] = True
    found = metrics.score(first, second, inside)
    assert found.ssim == pytest.approx(plain.mean(), abs=1e-6)
    assert found.fssim == pytest.approx(plain[2:8, 1:13].mean(), abs=1e-6)
    assert plain.mean() < 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(11, 11), (40, 37), (150, 300)])
def test_scores_are_scikit_images(shape, dtype):
    random, most = np.random.default_rng(0), np.iinfo(dtype).max
    smooth = np.cumsum(random.normal(0, 0.02, (*shape, 3)), axis=0) % 1  # flat parts, slopes and steps
    reference = (smooth * most).astype(dtype)
    composite = np.clip(reference + random.normal(0, 0.01 * most, reference.shape), 0, most).astype(dtype)
    inside = np.zeros(shape, np.bool_)
    inside[2 : shape[0] // 2, : shape[1] // 2] = True  # touches the border
    result = np.where(inside[..., None], (composite * 0.8).astype(dtype), composite)
    for image, found in zip(
        (composite, result), metrics.score_all((composite, result), reference, inside), strict=True
    ):
        first, second = (pixels / (most / 255) for pixels in (image, reference))
        _, similarity = structural_similarity(
            first, second, data_range=255, channel_axis=2, full=True,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert found.ssim == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-6)
        assert found.fssim == pytest.approx(similarity[inside].mean(), abs=1e-6)
        assert found.mse == pytest.approx(np.mean((first - second) ** 2), rel=1e-6)
        assert found.fmse == pytest.approx(np.mean((first - second)[inside] ** 2), rel=1e-6)
        (cheap,) = metrics.score_all((image,), reference, inside, structure=False)
        assert cheap.ssim is cheap.fssim is None
        assert [cheap.mse, cheap.fmse] == pytest.approx([found.mse, found.fmse], rel=1e-6)


def test_small_images_have_no_ssim():
    first, second = flat(10, 10, 10, size=10), flat(20, 20, 20, size=10)
    scores = metrics.score(first, second, np.ones((10, 10), np.bool_))
    assert scores.mse == scores.fmse == 100 and scores.ssim is None and scores.fssim is None
    smallest = flat(1, 1, 1, size=11)
    assert metrics.score(smallest, smallest, np.ones((11, 11), np.bool_)).ssim == 1


def test_no_foreground_gives_no_foreground_scores():
    scores = metrics.score(*noisy_pair(), np.zeros((24, 24), np.bool_))
    assert scores.fmse is scores.fpsnr is scores.fssim is None and scores.ssim is not None


def test_what_does_not_fit_is_an_error():
    with pytest.raises(errors.ShapeError, match=r"\(16, 16, 3\), \(8, 8, 3\)"):
        metrics.psnr(flat(0, 0, 0), flat(0, 0, 0, size=8))
    with pytest.raises(errors.ShapeError, match="one size"):
        metrics.score(flat(0, 0, 0), flat(0, 0, 0), square(24))
    with pytest.raises(errors.ShapeError, match="is bool, not uint8"):
        metrics.score(flat(0, 0, 0), flat(0, 0, 0), square().astype(np.uint8))
