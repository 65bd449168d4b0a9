"""The feature extractors by their names.

Two are cut as published: SqueezeNet 1.1 before its last Fire module, VGG16 before its last pooling. The numbers of
their layers are those of the usual implementations, so that ImageNet weights and the authors' checkpoints fit by
number. The third, EfficientNet-Lite0, is ours.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hdnet.model.architectures.s2crnet.config import Backbone
from hdnet.model.architectures.s2crnet.efficientnet import CHANNELS, efficientnet_lite0


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


FEATURES: dict[Backbone, int] = {"squeezenet": 512, "vgg16": 512, "efficientnet-lite0": CHANNELS}
"""Channels of each backbone's last map."""
BACKBONES: dict[Backbone, Callable[[Convolution], nn.Sequential]] = {
    "squeezenet": squeezenet,
    "vgg16": vgg16,
    "efficientnet-lite0": lambda _: efficientnet_lite0(),
}


def build_backbone(name: Backbone, normalise: bool) -> nn.Sequential:
    """Build a backbone with random weights: (B,3,H,W) in 0..1 -> (B,C,h,w), C as in `FEATURES`.

    Args:
        name: The backbone's.
        normalise: Whether each convolution is normalised over the batch; EfficientNet-Lite0's always are.
    """
    return BACKBONES[name](NormalisedConv2d if normalise else nn.Conv2d).apply(_initialise)


def _initialise(module: nn.Module) -> None:
    """Give a convolution weights that keep the signal's size from layer to layer: both networks' published start."""
    # Where nothing is stored, random numbers would only cost time.
    if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
