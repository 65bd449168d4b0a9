"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation) as a feature extractor.

It is cut where the last map of a sixteenth of the image's size is widest: within block 11, which widens it to 672
channels. The names of the layers' tensors are those of weights files; `imagenet` knows the usual ones.
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 672
"""The channels of the last map."""
STAGES = ((1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6), (3, 112, 5, 1, 6))
"""Blocks, and their channels, kernel, stride (the first block's alone) and expansion."""


class Centred(nn.Module):
    """Brings values of 0..1 to what the ImageNet weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (255 / 128) - 127 / 128


class PaddedConv2d(nn.Sequential):
    """A convolution as TensorFlow pads it, normalised over the batch.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: The kernel's height and width, which is odd.
        stride: 1, or 2 for even heights and widths, which are padded by one pixel less before than after.
        groups: As for `nn.Conv2d`.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> None:
        before, after = (size - stride) // 2, size // 2
        uneven = before != after  # padding apart takes time
        super().__init__(
            OrderedDict(
                pad=nn.ZeroPad2d((before, after, before, after)) if uneven else nn.Identity(),
                conv=nn.Conv2d(inputs, outputs, size, stride, 0 if uneven else after, groups=groups, bias=False),
                norm=nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
            )
        )


class InvertedBottleneck(nn.Module):
    """Widens, convolves each channel alone, and narrows; added to its input where the two have one shape.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: The depthwise kernel's height and width.
        stride: 1 or 2.
        expansion: Factor by which it widens; 1 for not at all.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * inputs
        self.expand = PaddedConv2d(inputs, wide) if expansion > 1 else None
        self.depthwise = PaddedConv2d(wide, wide, size, stride, groups=wide)
        self.project = PaddedConv2d(wide, outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,D,H/stride,W/stride)
        wide = F.relu6(self.expand(x)) if self.expand else x
        out: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return x + out if self.adds else out


def efficientnet_lite0() -> nn.Sequential:
    """Build the layers: (B,3,H,W) in 0..1 -> (B,672,H/16,W/16), height and width multiples of 16."""
    layers: list[nn.Module] = [Centred(), PaddedConv2d(3, 32, 3, 2), nn.ReLU6(inplace=True)]
    inputs = 32
    for count, outputs, size, stride, expansion in STAGES:
        for i in range(count):
            layers.append(InvertedBottleneck(inputs, outputs, size, 1 if i else stride, expansion))
            inputs = outputs
    return nn.Sequential(*layers, PaddedConv2d(inputs, CHANNELS), nn.ReLU6(inplace=True))
