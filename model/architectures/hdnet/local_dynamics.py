"""Local dynamics (LD): a reference from the most similar background for each foreground position.

The search for the most similar positions is exact, with most candidates ruled out unseen. Features of a photograph
fill few dimensions, and densely. Keys near each other are sorted into blocks, and a block of queries looks only into
the blocks near enough to hold a better key than the best it knows. What is left out cannot win, so that the result is
that of comparing all with all. A GPU would wait for every decision: it compares all with all, and in training does so
for all images at once.
"""

import dataclasses
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.hdnet.regions import Listed, Regions, as_map, positions, wide
from hdnet.model.team import share

SMALL = 4096
"""Up to so many keys it is faster to compare all with all."""
STEP = 512
"""Queries that are compared with so few keys at a time."""
BLOCK = 64
"""Most rows of a block."""
SEEDS = 8
"""Blocks that a block of queries looks into first, to learn what the others must beat."""
DIMENSIONS = 4
"""Principal directions in which blocks are told apart."""
PRODUCTS = 1 << 26
"""Products that a GPU holds at once, 256 MiB of float32."""
SLACK = 1e-5
"""More than the rounding error of a squared distance in float32, in units of the longest key's square."""


class LocalDynamics(nn.Module):
    """Fuse each foreground position with its K most similar background positions.

    Equations 2 to 5 of the paper: cosine similarity, softmax over the K best, their weighted sum as
    the reference, then a 1x1 convolution of reference and feature. Without background a position is
    its own reference; the background passes unchanged.

    Args:
        channels: Channels of the map.
        k: Neighbours, at most the number of background positions.
    """

    def __init__(self, channels: int, k: int = 1) -> None:
        super().__init__()
        self.k = k
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor, regions: Regions) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
        if regions.listed is None:
            return self._fuse_all(x, regions.inside)
        return self._fuse_listed(x, regions.inside, regions.listed)

    def _fuse_listed(self, x: Tensor, inside: Tensor, listed: Listed) -> Tensor:
        """Take one image after another, and its foreground alone."""
        rows = positions(x)
        with torch.autocast(x.device.type, enabled=False):
            foreground = listed.foreground(rows)
            background = [image[~where] for image, where in zip(wide(rows), inside, strict=True)]
            pairs = zip(foreground, background, strict=True)
            reference = torch.cat([self.reference(fore, back) for fore, back in pairs])
        fused = self.linear(torch.cat([reference, torch.cat(foreground)], dim=1))
        return as_map(rows.flatten(0, 1).index_copy(0, listed.index, fused.to(x.dtype)), x)

    def _fuse_all(self, x: Tensor, inside: Tensor) -> Tensor:
        """Take all images and positions at once, and keep the result in the foreground."""
        rows = positions(x)
        with torch.autocast(x.device.type, enabled=False):
            reference = self.references(wide(rows), inside)
        fused = self.linear(torch.cat([reference, wide(rows)], dim=2))
        return as_map(torch.where(inside[:, :, None], fused.to(x.dtype), rows), x)

    def reference(self, foreground: Tensor, background: Tensor) -> Tensor:  # (F,C), (G,C) -> (F,C)
        """Blend the K background rows most similar to each foreground row."""
        if not len(background):
            return foreground
        fore, back = F.normalize(foreground, dim=1), F.normalize(background, dim=1)
        best = nearest(fore, back, min(self.k, len(back)))  # F,K
        weights = (fore[:, None] * back[best]).sum(2).softmax(1)
        return (weights[:, :, None] * background[best]).sum(1)

    def references(self, rows: Tensor, inside: Tensor) -> Tensor:  # (B,N,C), (B,N) -> (B,N,C)
        """Return what `reference` returns, for every position of every image as if it were foreground."""
        unit, never = F.normalize(rows, dim=2), torch.finfo(rows.dtype).min
        best = _nearest_outside(unit, inside, never, min(self.k, rows.shape[1]))  # B,N,K
        similarity = (unit[:, :, None] * _take(unit, best)).sum(3)
        # Where there are fewer than K background positions, others are among the best, and weigh nothing.
        weights = similarity.masked_fill(_take(inside[:, :, None], best)[..., 0], never).softmax(2)
        found = (weights[..., None] * _take(rows, best)).sum(2)
        return torch.where(inside.all(1)[:, None, None], rows, found)


class ReleasedLocalDynamics(LocalDynamics):
    """Local dynamics as the authors' training code computes it, for weights trained with it.

    It differs from the paper in three ways: similarity is the dot product; foreground positions stay
    candidates as zero vectors; and each reference is weighted by a softmax over the positions of the
    whole map, where background positions count with similarity 0.
    """

    def reference(self, foreground: Tensor, background: Tensor) -> Tensor:  # (F,C), (G,C) -> (F,C)
        """Take the best candidate, a zero vector included, weighted over the map's positions."""
        if not len(foreground):
            return foreground
        candidates = torch.cat([background, torch.zeros_like(foreground[:1])])
        best = nearest(foreground, candidates, 1)[:, 0]
        similarity = (foreground * candidates[best]).sum(1)
        weights = torch.cat([similarity, similarity.new_zeros(len(background))]).softmax(0)
        return weights[: len(foreground), None] * candidates[best]

    def references(self, rows: Tensor, inside: Tensor) -> Tensor:  # (B,N,C), (B,N) -> (B,N,C)
        """Return what `reference` returns, for every position of every image as if it were foreground."""
        best = _nearest_outside(rows, inside, 0, 1)
        found = _take(rows.masked_fill(inside[:, :, None], 0), best)[:, :, 0]
        similarity = (rows * found).sum(2).masked_fill(~inside, 0)
        return similarity.softmax(1)[:, :, None] * found


@torch.no_grad()
def nearest(queries: Tensor, keys: Tensor, k: int) -> Tensor:  # (F,C), (G,C) -> (F,K) int64
    """Return the k keys (1 to G) with the largest dot product for each query, the largest first.

    Only the indices leave the search: gradients flow through the few pairs it found.
    """
    if len(keys) <= SMALL or not len(queries):
        return torch.cat(share(lambda rows: (rows @ keys.T).topk(k).indices, queries.split(STEP)))
    # Keys, made equally long by one more coordinate, are the nearer the larger the product:
    # |q - k|^2 = |q|^2 + reach - 2 q.k
    lengths, reach = queries.square().sum(1), keys.square().sum(1).amax()
    basis = torch.linalg.eigh(keys.T @ keys).eigenvectors[:, -DIMENSIONS:]
    places, index = _places(queries @ basis, lengths), torch.empty(len(queries), k, dtype=torch.int64)
    blocks = _Blocks.of(keys, _places(keys @ basis, reach))

    def search(rows: Tensor) -> None:
        gaps = blocks.gaps(places[rows])
        seeds = gaps.topk(min(SEEDS + k // BLOCK, len(gaps)), largest=False).indices
        products = blocks.best(queries[rows], seeds, k)[0]
        bounds = lengths[rows] + reach - 2 * products[:, -1] + SLACK * reach
        index[rows] = blocks.best(queries[rows], blocks.within(places[rows], bounds, gaps), k)[1]

    share(search, _divide(places).remainder_(len(queries)))
    return index


@torch.no_grad()
def _nearest_outside(rows: Tensor, inside: Tensor, worst: float, k: int) -> Tensor:
    # (B,N,C), (B,N) -> (B,N,K) int64
    """Return for each row the k of its image with the largest dot product, where those inside count as `worst`."""
    step = max(1, PRODUCTS // inside.numel())
    parts = [(part @ rows.mT).masked_fill(inside[:, None], worst).topk(k).indices for part in rows.split(step, dim=1)]
    return torch.cat(parts, dim=1)


def _take(rows: Tensor, index: Tensor) -> Tensor:  # (B,N,C), (B,N,K) -> (B,N,K,C)
    return rows.gather(1, index.flatten(1)[:, :, None].expand(-1, -1, rows.shape[2])).view(*index.shape, -1)


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """Keys in N blocks of S.

    Attributes:
        rows: (N,S) int64, which keys.
        keys: (N,S,C).
        handicap: (N,S), added to products: -inf where a key fills up a block and is there twice.
        low: (N,D), the least coordinates of each block.
        high: (N,D), the greatest coordinates of each block.
    """

    rows: Tensor
    keys: Tensor
    handicap: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, keys: Tensor, places: Tensor) -> Self:  # (G,C), (G,D)
        divided = _divide(places)
        rows = divided % len(keys)
        handicap = torch.where(divided < len(keys), 0.0, -torch.inf).to(keys)
        low, high = places[rows].aminmax(dim=1)
        return cls(rows, keys.index_select(0, rows.flatten()).view(*rows.shape, -1), handicap, low, high)

    def gaps(self, places: Tensor) -> Tensor:  # (P,D) -> (N,)
        """Return the squared distance of each block's box from the box around these places."""
        apart = torch.maximum(self.low - places.amax(0), places.amin(0) - self.high)
        return apart.clamp_(min=0).square_().sum(1)

    def within(self, places: Tensor, bounds: Tensor, gaps: Tensor) -> Tensor:  # (P,D), (P,), (N,) -> (M,) int64
        """Return the blocks whose box comes within its bound of any place; `gaps` rule most out at once."""
        near = (gaps <= bounds.amax()).nonzero()[:, 0]
        apart = torch.zeros(len(places), len(near))
        for low, high, place in zip(self.low[near].T, self.high[near].T, places.T[:, :, None], strict=True):
            apart += torch.maximum(low - place, place - high).clamp_(min=0).square_()
        return near[(apart <= bounds[:, None]).any(0)]

    def best(self, queries: Tensor, chosen: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the k largest products with the keys of chosen blocks, and these keys, each (F,K)."""
        candidates = self.keys.index_select(0, chosen).flatten(0, 1)  # five times as fast as self.keys[chosen]
        products = torch.addmm(self.handicap[chosen].flatten(), queries, candidates.T)
        products = products.view(len(queries), len(chosen), -1)
        # The k best lie in the k blocks with the largest maxima; a maximum is quick to find, its place is not.
        leaders = products.amax(2).topk(min(k, len(chosen))).indices
        few = products.gather(1, leaders[:, :, None].expand(-1, -1, products.shape[2]))
        best = few.flatten(1).topk(k)
        return best.values, self.rows[chosen[leaders]].flatten(1).gather(1, best.indices)


def _places(coordinates: Tensor, length: Tensor) -> Tensor:  # (P,D), squared length (P,) or () -> (P,D+1)
    """Add the length that the coordinates leave out as one more: no two rows get farther apart than they are."""
    rest = (length - coordinates.square().sum(1)).clamp(min=0).sqrt()
    return torch.cat([coordinates, rest[:, None]], dim=1)


def _divide(places: Tensor) -> Tensor:  # (P,D) -> (N,S) int64
    """Sort rows into blocks of one size by halving them along their longest side; from P on, rows are repeated."""
    depth = (-(-len(places) // BLOCK) - 1).bit_length()
    index = torch.arange(-(-len(places) // 2**depth) * 2**depth)[None]
    for _ in range(depth):
        inside = places[index % len(places)]
        axis = (inside.amax(1) - inside.amin(1)).argmax(1)
        order = inside.gather(2, axis[:, None, None].expand(-1, index.shape[1], 1))[:, :, 0].argsort(1)
        index = index.gather(1, order).view(2 * len(index), -1)
    return index
