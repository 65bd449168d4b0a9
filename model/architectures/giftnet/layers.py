"""The convolutions that iSSAM is made of, and how a mask follows the maps down."""

from torch import Tensor, nn
from torch.nn import functional


def convolution(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    """Make a 3 x 3 convolution that keeps the size, zeros beyond the edge."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def double_convolution(
    inputs: int, outputs: int, *, norm: bool, middle: int | None = None, bias: bool = True
) -> nn.Sequential:
    """Make two 3 x 3 convolutions, each normalised over the batch if asked for, and activated.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        norm: Whether to normalise.
        middle: Channels between the two; `outputs` when None.
        bias: Whether the convolutions have biases.
    """
    parts: list[nn.Module] = []
    for before, after in ((inputs, middle or outputs), (middle or outputs, outputs)):
        parts += [convolution(before, after, bias=bias), *([nn.BatchNorm2d(after)] if norm else []), nn.ReLU(True)]
    return nn.Sequential(*parts)


def mask_at(mask: Tensor, x: Tensor) -> Tensor:  # (B,1,H,W), (B,C,h,w) -> (B,1,h,w)
    """Resize a mask to a map's size, bilinearly and with the corners kept."""
    return functional.interpolate(mask, size=x.shape[2:], mode="bilinear", align_corners=True)
