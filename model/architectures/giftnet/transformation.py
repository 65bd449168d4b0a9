"""The globally guided transformation of foreground features, and the code that guides it; both are our reading."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hdnet.model.architectures.giftnet.config import Code
from hdnet.model.architectures.giftnet.layers import mask_at

SLOPE = 0.2
"""Slope of the leaky activation for negative values."""
EPS = 1e-8


class GlobalCode(nn.Module):
    """Turn the deepest map into one vector for each image.

    Args:
        channels: Channels of the map, and entries of the code.
        kind: What the map is summed up by.
    """

    def __init__(self, channels: int, kind: Code) -> None:
        super().__init__()
        self.kind = kind
        inputs = 2 * channels if kind in ("regions", "average-max") else channels
        self.layers = nn.Sequential(nn.Linear(inputs, channels), nn.ReLU(True), nn.Linear(channels, channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B,C,h,w), (B,1,H,W) -> (B,C)
        code: Tensor = self.layers(torch.cat(self._summaries(x, mask), dim=1))
        return code

    def _summaries(self, x: Tensor, mask: Tensor) -> list[Tensor]:  # (B,C) each
        if self.kind == "everywhere":
            return [x.mean((2, 3))]
        if self.kind == "average-max":
            return [x.mean((2, 3)), x.amax((2, 3))]
        inside = mask_at(mask, x)
        background = _mean_over(x, 1 - inside)
        return [background] if self.kind == "background" else [_mean_over(x, inside), background]


class FeatureTransformation(nn.Module):
    """Transform a map where the mask is, by convolutions that the code modulates; keep it elsewhere.

    Args:
        channels: Channels of the map.
        code: Entries of the global code.
        layers: Convolutions.
    """

    def __init__(self, channels: int, code: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ModulatedConvolution(channels, code) for _ in range(layers))

    def forward(self, x: Tensor, code: Tensor, mask: Tensor) -> Tensor:  # (B,C,h,w), (B,K), (B,1,H,W) -> (B,C,h,w)
        inside = mask_at(mask, x)
        transformed = x
        for layer in self.layers:
            transformed = functional.leaky_relu(layer(transformed, code), SLOPE)
        return inside * transformed + (1 - inside) * x


class ModulatedConvolution(nn.Module):
    """Convolve with a kernel whose input channels the code scales, and whose output channels have norm 1 (StyleGAN2).

    Weights are stored at deviation 1 and scaled as they are used, so that all learn at one rate. The start is neutral:
    whatever the code, the scales are near 1.

    Args:
        channels: Channels of the map, in and out.
        code: Entries of the global code.
    """

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = nn.Parameter(torch.ones(1))
        self.style = nn.Parameter(torch.empty(channels, code))
        self.style_bias = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:  # (B,C,H,W), (B,K) -> (B,C,H,W)
        return self.convolve(x, self.scales(code))

    def scales(self, code: Tensor) -> Tensor:  # (B,K) -> (B,C)
        """Return what each input channel is multiplied by, for each image."""
        return functional.linear(code, self.style / math.sqrt(code.shape[1]), self.style_bias)

    def convolve(self, x: Tensor, scales: Tensor) -> Tensor:  # (B,C,H,W), (B,C) -> (B,C,H,W)
        """Convolve with the modulated kernels: the map is scaled before one common kernel, and normed after it.

        That is the same as a kernel for each image, and cheaper.
        """
        weight = self.weight / math.sqrt(self.weight[0].numel())
        power = scales.float().square() @ weight.float().square().sum((2, 3)).T
        norm = self.gain * torch.rsqrt(power + EPS)
        mixed = functional.conv2d(x * scales[..., None, None].to(x.dtype), weight, padding=1)
        return mixed * norm[..., None, None].to(x.dtype) + self.bias[:, None, None].to(x.dtype)


def _mean_over(x: Tensor, weight: Tensor) -> Tensor:  # (B,C,h,w), (B,1,h,w) -> (B,C), 0 where nothing weighs
    return (x * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(EPS)
