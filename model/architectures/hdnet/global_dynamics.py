"""Mask-aware global dynamics (MGD), and what stands in its place in the paper's ablations."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from hdnet.model.architectures.hdnet.regions import Regions, as_map, multiply, positions

Mix = Callable[[Tensor, Regions], Tensor]
"""(B,C,H,W) and its regions to (B,C,H,W), position by position."""


class MaskAwareGlobalDynamics(nn.Module):
    """Mix channels by a matrix per image and region, predicted from the whole map (equation 6).

    Args:
        channels: Channels C of the map.
        apply: Called with (x, regions, foreground, background), the last two (B,C,C); applies each matrix
            where it holds: `GivenMap` or `LearnedMap`.
    """

    def __init__(self, channels: int, apply: nn.Module) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, 4, 1)
        self.kernels = nn.Conv2d(4, 2 * channels * channels, 1, groups=2)
        self.region_map = apply

    def forward(self, x: Tensor, regions: Regions) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
        pooled = positions(x).sum(1, dtype=self.squeeze.weight.dtype) / x.shape[2:].numel()
        return self.bind(pooled)(x, regions)

    def bind(self, pooled: Tensor) -> Mix:  # (B,C), the mean over the map
        """Return what mixes a map, or any rows of it, with this mean."""
        channels = pooled.shape[1]
        kernels = self.kernels(self.squeeze(pooled[:, :, None, None]).sigmoid())
        foreground, background = kernels.view(-1, 2, channels, channels).unbind(1)
        return partial(self.region_map, foreground=foreground, background=background)


class GivenMap(nn.Module):
    """The given mask decides which matrix holds."""

    def forward(self, x: Tensor, regions: Regions, foreground: Tensor, background: Tensor) -> Tensor:
        return multiply(x, regions, foreground, background)


class LearnedMap(nn.Module):
    """A map predicted from the features decides which matrix holds (HDNet* in the paper).

    The map is a hard maximum in the forward pass and has the softmax's gradient in the backward pass, as in DRConv
    (Chen et al. 2021).

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.guide = nn.Conv2d(channels, 2, 1)

    def forward(self, x: Tensor, regions: Regions, foreground: Tensor, background: Tensor) -> Tensor:
        soft = self.guide(x).softmax(1)
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1)
        region_map = hard + soft - soft.detach()  # the value of hard, the gradient of soft
        rows = positions(x)
        parts = torch.stack([rows @ foreground.mT, rows @ background.mT], dim=3)  # B,N,C,2
        out = (parts * positions(region_map)[:, :, None]).sum(3)
        return as_map(out, x)


class SpatialAttention(nn.Module):
    """Scale each value by a sigmoid predicted from its position's channels (RainNet, ablation).

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, regions: Regions) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
        return torch.sigmoid(self.attention(x)) * x

    def bind(self, pooled: Tensor) -> Mix:  # (B,C)
        """Return the module itself: the mean plays no part."""
        return self


class Unchanged(nn.Module):
    """Stand in for a component that the configuration leaves out."""

    def forward(self, x: Tensor, regions: Regions) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
        return x

    def bind(self, pooled: Tensor) -> Mix:  # (B,C)
        """Return the module itself: the mean plays no part."""
        return self


Dynamics = MaskAwareGlobalDynamics | SpatialAttention | Unchanged
