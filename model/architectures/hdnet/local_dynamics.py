"""Local dynamics (LD): a reference from the most similar background for each foreground position."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.hdnet.regions import Regions, positions, wide
from hdnet.model.architectures.hdnet.search import nearest


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
        rows = positions(x)
        with torch.autocast(x.device.type, enabled=False):
            foreground = regions.foreground(rows)
            background = [image[~where] for image, where in zip(wide(rows), regions.inside, strict=True)]
            pairs = zip(foreground, background, strict=True)
            reference = torch.cat([self.reference(fore, back) for fore, back in pairs])
        fused = self.linear(torch.cat([reference, torch.cat(foreground)], dim=1))
        out = rows.flatten(0, 1).index_copy(0, regions.index, fused.to(x.dtype))
        return out.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)

    def reference(self, foreground: Tensor, background: Tensor) -> Tensor:  # (F,C), (G,C) -> (F,C)
        """Blend the K background rows most similar to each foreground row."""
        if not len(background):
            return foreground
        fore, back = F.normalize(foreground, dim=1), F.normalize(background, dim=1)
        best = nearest(fore, back, min(self.k, len(back)))  # F,K
        weights = (fore[:, None] * back[best]).sum(2).softmax(1)
        return (weights[:, :, None] * background[best]).sum(1)


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
