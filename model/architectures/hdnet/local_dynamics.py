"""Local dynamics (LD): a reference from the most similar background for each foreground position.

A GPU would wait for every decision of the search: it compares all with all, and in training does so for all images at
once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.hdnet.regions import Listed, Regions, as_map, positions, wide
from hdnet.model.architectures.hdnet.search import nearest

PRODUCTS = 1 << 26
"""Products that a GPU holds at once, 256 MiB of float32."""


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
def _nearest_outside(rows: Tensor, inside: Tensor, worst: float, k: int) -> Tensor:
    # (B,N,C), (B,N) -> (B,N,K) int64
    """Return for each row the k of its image with the largest dot product, where those inside count as `worst`."""
    step = max(1, PRODUCTS // inside.numel())
    parts = [(part @ rows.mT).masked_fill(inside[:, None], worst).topk(k).indices for part in rows.split(step, dim=1)]
    return torch.cat(parts, dim=1)


def _take(rows: Tensor, index: Tensor) -> Tensor:  # (B,N,C), (B,N,K) -> (B,N,K,C)
    return rows.gather(1, index.flatten(1)[:, :, None].expand(-1, -1, rows.shape[2])).view(*index.shape, -1)
