"""The two normalisations of HDNet: per image, and region-aware (RAIN, Ling et al. 2021)."""

import torch
from torch import Tensor, nn

from hdnet.model.architectures.hdnet.regions import Regions, normalise

EPS = 1e-5


class InstanceNorm(nn.Module):
    """Bring each channel of each image to mean 0 and variance 1; no parameters, eps 1e-5."""

    slack = 0.0

    def forward(self, x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
        size = x.shape[2] * x.shape[3]
        everywhere = torch.ones((len(x), size, 1), device=x.device)
        return normalise(x, everywhere, everywhere.new_full((len(x), 1, 1), size), _whiten)

    def affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:  # (B,1,C) each -> (B,1,C)
        """Return the scale and shift that whiten a map of this mean and variance."""
        return _whiten(mean, var)


class RegionNorm(nn.Module):
    """Give the foreground the background's statistics, then scale and shift each region (RAIN).

    An empty region counts as mean 0 and standard deviation sqrt(eps).

    Args:
        channels: Channels of the map.
    """

    slack = EPS

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.foreground_gamma = nn.Parameter(torch.zeros(channels))
        self.foreground_beta = nn.Parameter(torch.zeros(channels))
        self.background_gamma = nn.Parameter(torch.zeros(channels))
        self.background_beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, regions: Regions) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
        return normalise(x, regions.columns, regions.sizes.double() + EPS, _adopt_background, *self._gains())

    def affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:  # (B,2,C) each -> (B,2,C)
        """Return each region's scale and shift, from the means and variances of foreground and background."""
        return _adopt_background(mean, var, *self._gains())

    def _gains(self) -> tuple[Tensor, Tensor]:  # (2,C) each
        gamma = torch.stack([self.foreground_gamma, self.background_gamma])
        return gamma, torch.stack([self.foreground_beta, self.background_beta])


def _whiten(mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    scale = (var + EPS).rsqrt()
    return scale, -mean * scale


def _adopt_background(mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    std = (var + EPS).sqrt()
    mean_back, std_back = mean[:, 1:], std[:, 1:]
    target_std = torch.cat([std_back, torch.ones_like(std_back)], dim=1)
    target_mean = torch.cat([mean_back, torch.zeros_like(mean_back)], dim=1)
    scale = target_std / std * (1 + gamma)
    return scale, (target_mean * (1 + gamma) + beta) - mean * scale
