"""Squared error and structural similarity of images with one reference, summed some rows at a time.

SSIM is that of Wang et al. (2004): Gaussian windows of 11 x 11 with sigma 1.5, population covariance, K1 = 0.01,
K2 = 0.03, peak 255. The four windowed sums that it needs are two depthwise convolutions each. Depthwise convolutions
are fast where many channels lie side by side in memory, so four pieces of the image's width are taken as channels.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hdnet.transforms.pixels.image import Foreground, Pixels

WINDOW = 11
REACH = WINDOW // 2
"""Pixels that a window reaches beyond its centre."""

ROWS, COLUMNS = 64, 256
"""Pixels of a tile: its maps stay in the processor's cache, and the windows' reach around it costs a third."""
PIECES = 4
"""Pieces of a tile's width that are channels side by side, three for each."""
LANES = 3 * PIECES

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
MIDDLE = 128.0
"""Subtracted from all values: float32 squares of smaller numbers lose less, and no covariance notices."""

Box = tuple[slice, slice]


class Sums(NamedTuple):
    """Sums over pixels and channels.

    Attributes:
        error: Squared errors over all pixels, in the 0..255 scale.
        error_inside: The same over the foreground.
        dissimilarity: 1 - SSIM over the pixels whose window lies inside the image.
        dissimilarity_inside: The same over the foreground, the image mirrored at its border.
    """

    error: float = 0.0
    error_inside: float = 0.0
    dissimilarity: float = 0.0
    dissimilarity_inside: float = 0.0


def sums(images: Sequence[Pixels], reference: Pixels, foreground: Foreground) -> list[Sums]:
    """Sum over each of several images; those after the first are measured only in tiles where they differ from it.

    Args:
        images: Each (H,W,3) uint8 or uint16.
        reference: Likewise.
        foreground: (H,W) bool.
    """
    totals = np.zeros((len(images), len(Sums._fields)))
    for box in _tiles(*foreground.shape):
        totals += list(_tile_sums(images, reference, foreground, box))
    return [Sums(*map(float, total)) for total in totals]


def _tiles(height: int, width: int) -> Iterator[Box]:
    for top in range(0, height, ROWS):
        for left in range(0, width, COLUMNS):
            yield slice(top, min(top + ROWS, height)), slice(left, min(left + COLUMNS, width))


def _tile_sums(images: Sequence[Pixels], reference: Pixels, foreground: Foreground, box: Box) -> Iterator[Sums]:
    first, *others, wanted = (_seen(each, box) for each in (*images, reference))
    measure = _Tile(wanted, foreground, box)
    found = measure(first)
    yield found
    for other in others:
        yield found if np.array_equal(other, first) else measure(other)


class _Tile:
    """The reference's part of a tile, and which of the tile's pixels count in which sum."""

    def __init__(self, reference: Pixels, foreground: Foreground, box: Box) -> None:
        self.reference = reference
        self.length = -(-(reference.shape[1] - 2 * REACH) // PIECES)
        everywhere, inside, inner = (
            _weights(each, self.length)
            for each in (np.ones_like(foreground[box]), foreground[box], _is_inner(box, foreground.shape))
        )
        self.of_error, self.of_dissimilarity = torch.stack([everywhere, inside]), torch.stack([inner, inside])
        self.lanes = _lanes(reference, self.length)

    def __call__(self, image: Pixels) -> Sums:  # (R+10,W+10,3)
        """Sum over the tile of an image."""
        if np.array_equal(image, self.reference):
            return Sums()
        with torch.inference_mode():
            maps = _maps(_lanes(image, self.length), self.lanes)
            error, unlike = maps[3, REACH:-REACH, REACH:-REACH].reshape(-1, LANES), _dissimilarity(maps)
            # A row of lanes is summed in float32, the rows in float64.
            found = [
                (weights * (values @ _ADD_CHANNELS).flatten()).sum(1, dtype=torch.float64)
                for weights, values in ((self.of_error, error), (self.of_dissimilarity, unlike))
            ]
            return Sums(*torch.cat(found).tolist())


def _maps(x: Tensor, y: Tensor) -> Tensor:  # (R,L,LANES) twice -> (4,R,L,LANES)
    """Return sum, difference and their squares: all that SSIM needs, and the squared error among them."""
    maps = torch.empty((4, *x.shape))
    torch.add(x, y, out=maps[0])
    torch.sub(x, y, out=maps[1])
    torch.square(maps[:2], out=maps[2:])
    return maps


def _dissimilarity(maps: Tensor) -> Tensor:  # (4,R+10,L+10,LANES) -> (R*L,LANES)
    """Return 1 - SSIM, written in s = x + y and d = x - y.

    4 mean(x) mean(y) = mean(s)^2 - mean(d)^2 and 2 (mean(x)^2 + mean(y)^2) = mean(s)^2 + mean(d)^2, and the same
    with variances in place of squared means.
    """
    blurred = torch.conv2d(torch.conv2d(maps.permute(0, 3, 1, 2), _DOWN, groups=LANES), _ACROSS, groups=LANES)
    means, squares = blurred.permute(0, 2, 3, 1).reshape(2, 2, -1, LANES)
    variances = squares.sub_(means.square())
    means[0].add_(2 * MIDDLE)
    of_sum, of_difference = means.square_().mul_(0.5)
    varied, varied_difference = variances.mul_(0.5)
    alike = (of_sum - of_difference).add_(C1).mul_((varied - varied_difference).add_(C2))
    most = of_sum.add_(of_difference).add_(C1).mul_(varied.add_(varied_difference).add_(C2))
    unlike: Tensor = alike.div_(most).neg_().add_(1)
    return unlike


def _seen(image: Pixels, box: Box) -> Pixels:
    """Return what the box's windows see of an image, mirrored at its border: (R+10,W+10,3)."""
    inside = tuple(slice(max(span.start - REACH, 0), span.stop + REACH) for span in box)
    lacking = [
        (max(0, REACH - span.start), max(0, span.stop + REACH - size))
        for span, size in zip(box, image.shape, strict=False)
    ]
    return np.pad(image[inside], [*lacking, (0, 0)], "symmetric") if np.any(lacking) else image[inside]


def _lanes(pixels: Pixels, length: int) -> Tensor:  # (R+10,W+10,3) -> (R+10,L+10,LANES) float32
    lanes = np.zeros((len(pixels), length + 2 * REACH, PIECES, 3), np.float32)
    for piece in range(PIECES):
        part = pixels[:, piece * length : (piece + 1) * length + 2 * REACH]
        lanes[:, : part.shape[1], piece] = part
    values = torch.from_numpy(lanes).flatten(2)
    return (values.div_(257) if pixels.dtype == np.uint16 else values).sub_(MIDDLE)


def _weights(chosen: Foreground, length: int) -> Tensor:  # (R,W) -> (R*L*PIECES,) float32 of 0 and 1
    whole = np.zeros((len(chosen), PIECES * length), np.float32)
    whole[:, : chosen.shape[1]] = chosen
    return torch.from_numpy(whole).view(-1, PIECES, length).transpose(1, 2).flatten()


def _is_inner(box: Box, shape: tuple[int, ...]) -> Foreground:
    """Say which pixels of a box have their whole window inside the image."""
    inner = [
        (places >= REACH) & (places < size - REACH)
        for places, size in zip((np.arange(span.start, span.stop) for span in box), shape, strict=True)
    ]
    return np.logical_and.outer(*inner)


def _gaussian(*shape: int) -> Tensor:
    line = torch.exp(-(torch.arange(-REACH, REACH + 1, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    return (line / line.sum()).float().view(1, 1, *shape).repeat(LANES, 1, 1, 1)


_DOWN, _ACROSS = _gaussian(WINDOW, 1), _gaussian(1, WINDOW)
_ADD_CHANNELS = torch.kron(torch.eye(PIECES), torch.ones(3, 1))  # (LANES,PIECES)
