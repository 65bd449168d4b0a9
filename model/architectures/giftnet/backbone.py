"""iSSAM's encoder and decoder (Sofiiuk et al., 2021; configuration improved_ssam, 256 x 256)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hdnet.model.architectures.giftnet.attention import SpatialSeparatedAttention
from hdnet.model.architectures.giftnet.layers import convolution, double_convolution


class Encoder(nn.Module):
    """Four blocks of two convolutions with maxima over 2 x 2 between them; the last two blocks normalise.

    Args:
        widths: Channels of the four maps.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        inputs = (4, *widths)
        self.blocks = nn.ModuleList(double_convolution(inputs[i], inputs[i + 1], norm=i >= 2) for i in range(4))

    def forward(self, x: Tensor) -> list[Tensor]:  # (B,4,H,W) -> four maps (B,C,H/s,W/s), s = 1, 2, 4, 8
        maps = [self.blocks[0](x)]
        for block in self.blocks[1:]:
            maps.append(block(functional.max_pool2d(maps[-1], 2)))
        return maps


class Decoder(nn.Module):
    """Three blocks that double the size and join the encoder's map of that size; the last one attends by region.

    Args:
        widths: Channels of the encoder's four maps.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        fine, middle, coarse, deepest = widths
        self.blocks = nn.ModuleList(
            [
                UpBlock(deepest, coarse, Unattended()),
                UpBlock(coarse, middle, Unattended()),
                UpBlock(middle, fine, SpatialSeparatedAttention(2 * fine)),
            ]
        )

    def forward(self, maps: Sequence[Tensor], mask: Tensor) -> Tensor:  # four maps, (B,1,H,W) -> (B,C,H,W)
        *skips, x = maps
        for block in self.blocks:
            x = block(x, skips.pop(), mask)
        return x


class UpBlock(nn.Module):
    """Double the size, join the skip, attend, and convolve twice.

    Args:
        inputs: Channels of the smaller map.
        outputs: Channels of the skip and of the result.
        attention: Called with (joined map, mask).
    """

    def __init__(self, inputs: int, outputs: int, attention: nn.Module) -> None:
        super().__init__()
        self.narrow = convolution(inputs, inputs // 2)
        self.attention = attention
        self.convolve = double_convolution(inputs // 2 + outputs, outputs, norm=True)

    def forward(self, x: Tensor, skip: Tensor, mask: Tensor) -> Tensor:  # (B,C,H,W) -> (B,C/2,2H,2W)
        wide = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        joined = torch.cat([skip, self.narrow(wide).relu_()], dim=1)
        out: Tensor = self.convolve(self.attention(joined, mask))
        return out


class Unattended(nn.Module):
    """Return the map as it is: what stands where a block has no attention."""

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return x
