"""iSSAM's spatial-separated attention (after Cun and Pun, 2020)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from hdnet.model.architectures.giftnet.layers import double_convolution, mask_at

SMALLEST_HIDDEN, REDUCTION = 8, 16
"""A gate's hidden layer has a sixteenth of the channels, and at least eight."""
BLUR_SIZE, BLUR_DEVIATION = 7, 1.0
"""Standard deviation, in positions, of the Gaussian that softens the mask."""


class SpatialSeparatedAttention(nn.Module):
    """Weigh the channels apart for foreground and background, and learn more for the foreground.

    Args:
        channels: Channels of the map.
    """

    blur: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.background = ChannelGate(channels)
        self.foreground = ChannelGate(channels)
        self.mix = ChannelGate(channels)
        self.learn = double_convolution(channels, channels, norm=True, middle=channels // 2, bias=False)
        self.register_buffer("blur", _gaussian(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B,C,H,W), (B,1,h,w) -> (B,C,H,W)
        inside = functional.conv2d(mask_at(mask, x), self.blur, padding=BLUR_SIZE // 2)
        out: Tensor = inside * (self.learn(self.foreground(x)) + self.mix(x)) + (1 - inside) * self.background(x)
        return out


class ChannelGate(nn.Module):
    """Scale each channel by a number between 0 and 1 told from the averages and maxima of all of them.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, SMALLEST_HIDDEN)
        self.scale = nn.Sequential(
            nn.Linear(2 * channels, hidden), nn.ReLU(True), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
        scale: Tensor = self.scale(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
        return x * scale[..., None, None]


def _gaussian() -> Tensor:  # (1,1,7,7), sum 1
    steps = torch.arange(BLUR_SIZE) - BLUR_SIZE // 2
    bell = torch.exp(-((steps / BLUR_DEVIATION) ** 2) / 2)
    kernel = torch.outer(bell, bell)
    return (kernel / kernel.sum())[None, None]
