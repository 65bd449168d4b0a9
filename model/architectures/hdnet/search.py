"""Exact search for the rows of largest dot product, most candidates ruled out unseen.

Features of a photograph fill few dimensions, and densely. Keys near each other are sorted into blocks, and
a block of queries looks only into the blocks near enough to hold a better key than the best it knows. What
is left out cannot win, so the result is that of comparing all with all.
"""

import dataclasses
from typing import Self

import torch
from torch import Tensor

from hdnet.model.architectures.hdnet.team import share

SMALL = 4096
"""Keys up to which comparing all with all is faster."""
STEP = 512
"""Queries compared at a time with so few."""
BLOCK = 64
"""Rows of a block, at most."""
SEEDS = 8
"""Blocks that a block of queries looks into first, to know what the others must beat."""
DIMENSIONS = 4
"""Principal directions in which blocks are told apart."""
SLACK = 1e-5
"""More than a squared distance is off in float32, in units of the longest key's square."""


@torch.no_grad()
def nearest(queries: Tensor, keys: Tensor, k: int) -> Tensor:  # (F,C), (G,C) -> (F,K) int64
    """Return the keys of largest dot product with each query, the largest first; k is 1 to G.

    Only the indices leave the search: gradients flow through the few pairs it found. Nothing is ruled out on a GPU,
    which would wait for every decision.
    """
    if len(keys) <= SMALL or not len(queries) or queries.device.type != "cpu":
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


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """Keys in N blocks of S.

    Attributes:
        rows: (N,S) int64, which keys.
        keys: (N,S,C).
        handicap: (N,S), added to products: -inf where a key fills a block up that has it twice.
        low: (N,D) least coordinates of each block.
        high: (N,D) greatest.
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
    """Add what the coordinates leave out as one more: no two rows get farther apart than they are."""
    rest = (length - coordinates.square().sum(1)).clamp(min=0).sqrt()
    return torch.cat([coordinates, rest[:, None]], dim=1)


def _divide(places: Tensor) -> Tensor:  # (P,D) -> (N,S) int64
    """Sort rows into blocks of one size by halving them along their longest side; from P on, rows come again."""
    depth = (-(-len(places) // BLOCK) - 1).bit_length()
    index = torch.arange(-(-len(places) // 2**depth) * 2**depth)[None]
    for _ in range(depth):
        inside = places[index % len(places)]
        axis = (inside.amax(1) - inside.amin(1)).argmax(1)
        order = inside.gather(2, axis[:, None, None].expand(-1, index.shape[1], 1))[:, :, 0].argsort(1)
        index = index.gather(1, order).view(2 * len(index), -1)
    return index
