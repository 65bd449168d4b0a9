"""The search for the most similar background positions of local dynamics.

It is exact, with most candidates ruled out unseen. Features of a photograph fill few dimensions, and densely. Keys near
each other are sorted into blocks, and a block of queries looks only into the blocks near enough to hold a better key
than the best it knows. What is left out cannot win, so that the result is that of comparing all with all.
"""

import dataclasses
from typing import Self

import numpy as np
import torch
from torch import Tensor

from hdnet.model.architectures.hdnet import kernels
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
SLACK = 1e-5
"""More than the rounding error of a squared distance in float32, in units of the longest key's square."""


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
    places, blocks = _places(queries @ basis, lengths), Blocks.of(keys, _places(keys @ basis, reach))
    find = kernels.installed().finder(Search(queries, places, lengths, blocks, float(reach), SLACK * float(reach), k))
    index = torch.empty(len(queries), k, dtype=torch.int64)

    def search(rows: Tensor) -> None:
        index[rows] = find(rows)

    share(search, _divide(places).remainder_(len(queries)))
    return index


@dataclasses.dataclass(frozen=True)
class Search:
    """What is looked for, and where.

    Attributes:
        queries: (F,C) float32.
        places: (F,D), where they lie in the principal directions.
        lengths: (F,), their squared lengths.
        blocks: The keys.
        reach: The longest key's square.
        slack: More than the rounding error of a squared distance.
        k: How many keys each query looks for.
    """

    queries: Tensor
    places: Tensor
    lengths: Tensor
    blocks: "Blocks"
    reach: float
    slack: float
    k: int

    @property
    def seeds(self) -> int:
        """How many blocks are looked into first, where there are as many."""
        return SEEDS + self.k // BLOCK

    def find(self, rows: Tensor) -> Tensor:  # (P,) int64 -> (P,K) int64
        """Return the keys with the largest products for some queries that lie near each other."""
        queries, places, blocks = self.queries[rows], self.places[rows], self.blocks
        gaps = blocks.gaps(places)
        seeds = gaps.topk(min(self.seeds, len(gaps)), largest=False).indices
        products = blocks.best(queries, seeds, self.k)[0]
        bounds = self.lengths[rows] + self.reach - 2 * products[:, -1] + self.slack
        return blocks.best(queries, blocks.within(places, bounds, gaps), self.k)[1]


@dataclasses.dataclass(frozen=True)
class Blocks:
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
    """Divide rows into blocks of one size by halving them along their longest side; from P on, rows are repeated."""
    depth = (-(-len(places) // BLOCK) - 1).bit_length()
    index = torch.arange(-(-len(places) // 2**depth) * 2**depth)[None]
    for _ in range(depth):
        count, size = index.shape
        inside = places.index_select(0, index.flatten() % len(places)).view(count, size, -1)
        sides = inside.permute(2, 0, 1).contiguous()  # where extremes are found twenty times as fast
        axis = (sides.amax(2) - sides.amin(2)).argmax(0)
        # NumPy halves ten times as fast as torch sorts.
        order = np.argpartition(sides[axis, torch.arange(count)].numpy(), size // 2, axis=1)
        index = index.gather(1, torch.from_numpy(order)).view(2 * count, -1)
    return index
