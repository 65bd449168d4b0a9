"""Squared error and structural similarity of images with one reference, summed some rows at a time.

SSIM is that of Wang et al. (2004): Gaussian windows of 11 x 11 with sigma 1.5, population covariance, K1 = 0.01,
K2 = 0.03, peak 255. The four windowed sums that it needs are two depthwise convolutions each. Depthwise convolutions
are fast where as many channels as a vector has places lie side by side in memory, so five pieces of the image's width
are taken as channels.

Where the compiled library is installed, it does the same in one pass (`kernels.py` and `kernels/similarity.c`).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hdnet.transforms.pixels.image import Foreground, Pixels
from hdnet.transforms.scores import kernels

WINDOW = 11
REACH = WINDOW // 2
"""Pixels that a window reaches beyond its centre."""

ROWS, COLUMNS = 96, 320
"""About how many pixels a tile has: its maps stay in the processor's cache, and the reach around it costs a third."""
PIECES, LANES = 5, 16
"""Pieces of a tile's width that are channels side by side, three for each, and one channel without values."""

MIDDLE = 128.0
"""Subtracted from all values: float32 squares of smaller numbers lose less, and no covariance notices."""
TWICE_C1, TWICE_C2 = (2 * torch.tensor((k * 255) ** 2) for k in (0.01, 0.03))

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
    images = [np.ascontiguousarray(image) for image in images]
    reference, foreground = np.ascontiguousarray(reference), np.ascontiguousarray(foreground)
    totals = np.zeros((len(images), len(Sums._fields)))
    for box in _tiles(*foreground.shape):
        totals += _tile_sums(images, reference, foreground, box)
    return [Sums(*map(float, total)) for total in totals]


def errors(images: Sequence[Pixels], reference: Pixels, foreground: Foreground) -> list[Sums]:
    """Sum the squared errors alone, as `sums`."""
    return [_errors(image, reference, foreground) for image in images]


def _errors(image: Pixels, reference: Pixels, foreground: Foreground) -> Sums:
    whole = inside = 0.0
    for top in range(0, len(image), ROWS):
        rows = slice(top, top + ROWS)
        difference = _levels(image[rows]) - _levels(reference[rows])
        squared = np.einsum("ijk,ijk->ij", difference, difference)
        whole += float(squared.sum(dtype=np.float64))
        inside += float(squared[foreground[rows]].sum(dtype=np.float64))
    return Sums(error=whole, error_inside=inside)


def _levels(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return values in the 0..255 scale, for an image and its reference may differ in depth."""
    values = pixels.astype(np.float32)
    return values / np.float32(257) if pixels.dtype == np.uint16 else values


def _tiles(height: int, width: int) -> Iterator[Box]:
    count = max(1, round(width / COLUMNS))
    columns = PIECES * -(-width // (PIECES * count))  # of equal width, and nothing to fill up but in the last one
    for top in range(0, height, ROWS):
        for left in range(0, width, columns):
            yield slice(top, min(top + ROWS, height)), slice(left, min(left + columns, width))


def _tile_sums(images: Sequence[Pixels], reference: Pixels, foreground: Foreground, box: Box) -> list[Sums]:
    around = tuple(slice(max(span.start - REACH, 0), span.stop + REACH) for span in box)
    first, *others = (image[around] for image in images)
    again = [_is_same(other, first) for other in others]
    if _is_same(first, reference[around]) and all(again):
        return [Sums()] * len(images)
    measure = _measure(reference, foreground, box)
    found = measure(images[0])
    return [found, *(found if same else measure(image) for same, image in zip(again, images[1:], strict=True))]


def _is_same(image: Pixels, other: Pixels) -> bool:
    """Say whether two images hold the same values in the same scale."""
    return image.dtype == other.dtype and np.array_equal(image, other)


def _measure(reference: Pixels, foreground: Foreground, box: Box) -> Callable[[Pixels], Sums]:
    """Return what sums over the tile of an image."""
    if library := kernels.installed():
        return lambda image: Sums(*library.compare(image, reference, foreground, box))
    tile = _Tile(_seen(reference, box), foreground, box)
    return lambda image: tile(_seen(image, box))


class _Tile:
    """The reference's part of a tile, and which of the tile's pixels count in which sum."""

    def __init__(self, reference: Pixels, foreground: Foreground, box: Box) -> None:
        self.length = -(-(reference.shape[1] - 2 * REACH) // PIECES)
        self.lanes = _lanes(reference, self.length)
        self.shifted = self.lanes - 2 * MIDDLE
        inside = foreground[box]
        chosen = (np.ones_like(inside), inside, _is_inner(box, foreground.shape))
        self.everywhere, self.inside, self.inner = (_Chosen(each, self.length) for each in chosen)

    def __call__(self, image: Pixels) -> Sums:  # (R+10,W+10,3)
        """Sum over the tile of an image."""
        with torch.inference_mode():
            maps = _maps(_lanes(image, self.length), self.lanes, self.shifted)
            error, unlike = maps[3, REACH:-REACH, REACH:-REACH].flatten(), _dissimilarity(maps)
            return Sums(
                self.everywhere.sum(error),
                self.inside.sum(error),
                *(2 * each.sum(unlike) for each in (self.inner, self.inside)),
            )


class _Chosen:
    """Some of a tile's pixels."""

    def __init__(self, chosen: Foreground, length: int) -> None:
        padded = chosen.shape[1] % PIECES > 0
        self.all, self.none = bool(chosen.all()) and not padded, not chosen.any()
        if not (self.all or self.none):
            whole = np.broadcast_to(chosen[..., None].view(np.uint8), (*chosen.shape, 3))
            self.weights = _lanes(whole, length, reach=0).flatten()

    def sum(self, values: Tensor) -> float:  # (R*L*LANES,)
        """Sum over the pixels and their channels; a dot product would add up so many float32 values less exactly."""
        return 0.0 if self.none else float((values if self.all else values * self.weights).sum())


def _maps(x: Tensor, y: Tensor, shifted: Tensor) -> Tensor:  # (R,L,LANES) each -> (4,R,L,LANES)
    """Return sum, difference and their squares: all that SSIM needs, and the squared error among them."""
    maps = torch.empty((4, *x.shape))
    torch.add(x, shifted, out=maps[0])
    torch.sub(x, y, out=maps[1])
    torch.square(maps[:2], out=maps[2:])
    return maps


def _dissimilarity(maps: Tensor) -> Tensor:  # (4,R+10,L+10,LANES) -> (R*L*LANES,)
    """Return half of 1 - SSIM, written in s = x + y and d = x - y.

    4 mean(x) mean(y) = mean(s)^2 - mean(d)^2 and 2 (mean(x)^2 + mean(y)^2) = mean(s)^2 + mean(d)^2, and the same
    with variances in place of squared means. With p = mean(s)^2 + 2 C1, q = var(s) + 2 C2, b = mean(d)^2 and
    v = var(d), 1 - SSIM is 2 (p v + b q) / ((p + b) (q + v)), in which nothing is lost by subtraction.
    """
    blurred = torch.conv2d(torch.conv2d(maps.permute(0, 3, 1, 2), _ACROSS, groups=LANES), _DOWN, groups=LANES)
    mean, b, q, v = blurred.permute(0, 2, 3, 1).reshape(4, -1)
    q.addcmul_(mean, mean, value=-1).add_(TWICE_C2)
    v.sub_(b.square_())
    mean.add_(2 * MIDDLE)
    p = torch.addcmul(TWICE_C1, mean, mean, out=mean)
    unlike = torch.mul(p, v).addcmul_(b, q)
    most = p.add_(b).mul_(q.add_(v))
    return unlike.div_(most)


def _seen(image: Pixels, box: Box) -> Pixels:
    """Return what the box's windows see of an image, mirrored at its border: (R+10,W+10,3)."""
    rows, columns = box
    return _widened(_widened(image, rows, 0), columns, 1)


def _widened(image: Pixels, span: slice, axis: int) -> Pixels:
    size, start, stop = image.shape[axis], span.start - REACH, span.stop + REACH
    if start >= 0 and stop <= size:
        return image[start:stop] if axis == 0 else image[:, start:stop]
    places = np.arange(start, stop) % (2 * size)
    seen: Pixels = image.take(np.minimum(places, 2 * size - 1 - places), axis)
    return seen


def _lanes(pixels: Pixels, length: int, reach: int = REACH) -> Tensor:  # (R,W,3) -> (R,L,LANES) float32
    """Lay a tile's pieces side by side, each with `reach` pixels more on both sides."""
    lanes = np.zeros((len(pixels), length + 2 * reach, LANES), pixels.dtype)
    for piece, channel in itertools.product(range(PIECES), range(3)):  # value by value: NumPy is slow with threes
        part = pixels[:, piece * length : (piece + 1) * length + 2 * reach, channel]
        lanes[:, : part.shape[1], 3 * piece + channel] = part
    values = torch.from_numpy(lanes.astype(np.float32))
    return values.div_(257) if pixels.dtype == np.uint16 else values


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
