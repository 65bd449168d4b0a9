"""The passes of the compiled library against those of torch."""

import pytest
import torch

from hdnet.model.architectures.hdnet.kernels import CompiledPasses
from hdnet.model.architectures.hdnet.passes import Affine, Foreground, Passes
from hdnet.transforms import compiled

TYPES = [torch.float32, torch.bfloat16]
CHANNELS = [1, 3, 8, 12, 64, 300]
MASKS = ["none", "left", "noise", "full", "empty"]


@pytest.fixture(scope="module")
def library(kernels_library):
    return CompiledPasses(compiled.load(kernels_library))


def foreground(kind, height, width):
    masks = {
        "left": torch.arange(width).expand(height, -1) < width // 2,
        "noise": torch.rand(height, width) > 0.5,
        "full": torch.ones(height, width, dtype=torch.bool),
        "empty": torch.zeros(height, width, dtype=torch.bool),
    }
    return Foreground.of(masks[kind]) if kind in masks else None


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("source, target", [(a, b) for a in TYPES for b in TYPES], ids=str)
def test_reading_differs_by_a_rounding(library, source, target, channels, kind):
    torch.manual_seed(0)
    found = foreground(kind, 9, 70)
    rows = torch.randn(5, 70, channels).to(source)
    affine = [Affine.of(torch.rand(channels) + 0.5, torch.randn(channels), 1) for _ in range(2 if found else 1)]
    strips = [torch.zeros(5, 70, channels + 2, dtype=target) for _ in range(2)]
    for passes, strip in zip([Passes(), library], strips, strict=True):
        passes.read(rows, strip[:, :, 1:-1], affine, found, 2, 0.2)
    units = 2 * max(torch.finfo(dtype).eps for dtype in (source, target))  # in the last place
    torch.testing.assert_close(strips[1], strips[0], rtol=units, atol=units)
    assert not strips[1][:, :, [0, -1]].any()


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_moments_and_totals(library, dtype, channels, kind):
    torch.manual_seed(0)
    found = foreground(kind, 80, 150)
    rows = (torch.randn(64, 150, channels) * 2 + 30).to(dtype)
    rows[0, 0] = 0  # what the moments are centred on at first
    inside = torch.zeros(64, 150, dtype=torch.bool) if found is None else found.mask[5:69]
    count, mean, spread = library.merged(
        [library.moments(part, found, top) for top, part in ((5, rows[:40]), (45, rows[40:]))]
    )
    for region, values in enumerate([rows[inside], rows[~inside]][found is None :]):
        assert (count[region] == len(values)).all()
        if len(values):
            torch.testing.assert_close(mean[region], values.double().mean(0), rtol=1e-6, atol=0)
            torch.testing.assert_close(
                spread[region] / len(values), values.double().var(0, correction=0), rtol=1e-3, atol=0
            )
    torch.testing.assert_close(library.total(rows), rows.double().sum((0, 1)).float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_rectifying(library, dtype):
    x = torch.randn(1, 7, 3, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    expected = x.clamp(min=0)
    assert torch.equal(library.rectify(x), expected) and torch.equal(x, expected)
    assert torch.equal(library.rectify(-torch.ones(1, 2, 3, 5)), torch.zeros(1, 2, 3, 5))


def test_other_types_are_refused(library):
    with pytest.raises(KeyError, match="float64"):
        library.total(torch.ones(1, 2, 3, dtype=torch.float64))
