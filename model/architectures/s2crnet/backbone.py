"""The feature extractors. Two are cut as published: SqueezeNet 1.1 before its last Fire module, VGG16 before its last
pooling, each with 512 channels; the numbers of their layers are those of the usual implementations, so that ImageNet
weights and the authors' checkpoints fit by number.

The third is ours: EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation) up to the last map that has a
sixteenth of the image's size, widened to 672 channels. It is a quarter smaller than SqueezeNet, and its ImageNet
weights are on PyPI.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormalisedConv2d(nn.Conv2d):
    """A convolution whose result is normalised over the batch."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(inputs, outputs, size, stride, padding)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(super().forward(x))
        return normalised


Convolution = Callable[..., nn.Conv2d]


class Fire(nn.Module):
    """Squeeze to few channels, then expand by two kernels side by side.

    Args:
        convolution: `nn.Conv2d` or `NormalisedConv2d`.
        inputs: Channels in.
        squeezed: Channels between.
        expanded: Channels of each of the two expansions.
    """

    def __init__(self, convolution: Convolution, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = convolution(inputs, squeezed, 1)
        self.expand1x1 = convolution(squeezed, expanded, 1)
        self.expand3x3 = convolution(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,2*expanded,H,W)
        x = self.squeeze(x).relu_()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1).relu_()


def squeezenet(convolution: Convolution) -> nn.Sequential:
    """Build the layers 0 to 11 of SqueezeNet 1.1."""
    pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)

    def fire(*channels: int) -> Fire:
        return Fire(convolution, *channels)

    return nn.Sequential(
        convolution(3, 64, 3, stride=2), nn.ReLU(inplace=True), pool,
        fire(64, 16, 64), fire(128, 16, 64), pool,
        fire(128, 32, 128), fire(256, 32, 128), pool,
        fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256),
    )  # fmt: skip


def vgg16(convolution: Convolution) -> nn.Sequential:
    """Build the layers 0 to 29 of VGG16 without batch normalisation."""
    layers: list[nn.Module] = []
    inputs = 3
    for level, (convolutions, outputs) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]):
        if level:
            layers.append(nn.MaxPool2d(2))
        for _ in range(convolutions):
            layers += [convolution(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
    return nn.Sequential(*layers)


class PaddedConv2d(nn.Module):
    """A convolution as TensorFlow pads it, and a normalisation over the batch.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: Of the kernel.
        stride: 1, or 2 where height and width are even.
        groups: As for `nn.Conv2d`.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        before = (size - stride) // 2
        after = size - stride - before
        self.pad = nn.ZeroPad2d((before, after, before, after)) if before != after else None
        padding = 0 if self.pad else before
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(self.conv(self.pad(x) if self.pad else x))
        return normalised


class InvertedBottleneck(nn.Module):
    """Widen, convolve each channel alone, narrow; added to its input where the two have one shape.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: Of the kernel.
        stride: 1 or 2.
        expansion: Factor by which it widens.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * inputs
        self.expand = PaddedConv2d(inputs, wide) if expansion > 1 else None
        self.depthwise = PaddedConv2d(wide, wide, size, stride, groups=wide)
        self.project = PaddedConv2d(wide, outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,D,H/s,W/s)
        wide = F.relu6(self.expand(x)) if self.expand else x
        out: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return x + out if self.adds else out


class Centred(nn.Module):
    """Bring values of 0..1 to what the ImageNet weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (255 / 128) - 127 / 128


def efficientnet_lite0(convolution: Convolution) -> nn.Sequential:
    """Build the layers of EfficientNet-Lite0 up to the widening of its block 11; it always normalises."""
    layers: list[nn.Module] = [Centred(), PaddedConv2d(3, 32, 3, 2), nn.ReLU6(inplace=True)]
    inputs = 32
    stages = [(1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6), (3, 112, 5, 1, 6)]
    for count, outputs, size, stride, expansion in stages:
        for i in range(count):
            layers.append(InvertedBottleneck(inputs, outputs, size, 1 if i else stride, expansion))
            inputs = outputs
    return nn.Sequential(*layers, PaddedConv2d(inputs, FEATURES["efficientnet-lite0"]), nn.ReLU6(inplace=True))


FEATURES = {"squeezenet": 512, "vgg16": 512, "efficientnet-lite0": 672}
"""Channels of each backbone's last map."""
BACKBONES = {"squeezenet": squeezenet, "vgg16": vgg16, "efficientnet-lite0": efficientnet_lite0}


def initialise(module: nn.Module) -> None:
    """Give a convolution weights that keep the signal's size from layer to layer: both networks' published start."""
    # Where nothing is stored, random numbers would only cost time.
    if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
