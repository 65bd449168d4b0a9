"""Scores against a reference by the compiled library against those of torch."""

import numpy as np
import pytest

from hdnet.transforms import compiled
from hdnet.transforms.scores import metrics, similarity

SHAPES = [(1, 1), (3, 4), (11, 11), (40, 64), (23, 200), (150, 390)]
"""Smaller than the window; one window; some tiles, and columns of them, of which the last are narrow."""
DEPTHS = [(np.uint8, np.uint8), (np.uint16, np.uint16), (np.uint16, np.uint8)]
MASKS = ["none", "all", "border", "noise"]
CONTENTS = ["noise", "flat", "smooth", "black and white"]


def picture(content, shape, dtype, seed):
    random = np.random.default_rng(seed)
    values = {
        "noise": random.random((*shape, 3)),
        "flat": np.full((*shape, 3), random.random(3)),
        "smooth": np.cumsum(np.random.default_rng(0).normal(0, 0.02, (*shape, 3)), axis=1) % 1,
        "black and white": random.integers(0, 2, (*shape, 3)),
    }[content]
    noise = 0 if content == "flat" else random.normal(0, 0.01, values.shape)
    return (np.clip(values + noise, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def mask(kind, shape):
    foreground = np.zeros(shape, np.bool_)
    if kind == "border":
        foreground[: -(-shape[0] // 2), -(-shape[1] // 3) :] = True
    return {"all": ~foreground, "noise": np.random.default_rng(0).random(shape) > 0.5}.get(kind, foreground)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("depths", DEPTHS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scores_are_those_of_torch(kernels_library, monkeypatch, shape, depths, content, kind):
    image, reference = (picture(content, shape, dtype, seed) for seed, dtype in enumerate(depths))
    chosen, scores = mask(kind, shape), []
    for library in (None, compiled.load(kernels_library)):
        monkeypatch.setattr(compiled, "installed", lambda library=library: library)
        scores.append(metrics.score(image, reference, chosen))
    plain, fused = scores
    near = 2e-4 if content == "flat" else 3e-7  # torch's float32 loses the variance of flat images in their squares
    for name, absolute, relative in [("ssim", near, 0), ("fssim", near, 0), ("mse", 0, 2e-5), ("fmse", 0, 2e-5)]:
        expected, found = (getattr(each, name) for each in (plain, fused))
        assert found == (expected and pytest.approx(expected, abs=absolute, rel=relative))


@pytest.mark.parametrize("most", [255, 65535])
def test_flat_images(kernels_library, monkeypatch, most):
    monkeypatch.setattr(compiled, "installed", lambda: compiled.load(kernels_library))
    dtype = np.min_scalar_type(most)
    for first, second in np.random.default_rng(0).integers(0, most, (20, 2), endpoint=True):
        image, reference = (np.full((20, 30, 3), level, dtype) for level in (first, second))
        x, y = (level / (most / 255) for level in (first, second))
        exact = (2 * x * y + 2.55**2) / (x**2 + y**2 + 2.55**2)
        found = metrics.score(image, reference, mask("all", (20, 30)))
        assert [found.ssim, found.fssim] == pytest.approx([exact, exact], abs=5e-5)


def test_parts_of_a_larger_array_are_measured_alike(kernels_library, monkeypatch):
    monkeypatch.setattr(compiled, "installed", lambda: compiled.load(kernels_library))
    first, second = (picture("smooth", (40, 50), np.uint8, seed) for seed in (0, 1))
    foreground = mask("border", (40, 50))
    part = np.s_[5:35, 3:-2]
    views = [each[part] for each in (first, second, foreground)]
    copies = [each.copy() for each in views]
    assert similarity.sums([views[0]], *views[1:]) == similarity.sums([copies[0]], *copies[1:])
