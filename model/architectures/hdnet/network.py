"""HDNet (Chen et al., ACM MM 2023): encoder, decoder, and how a configuration puts them together."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.base import EncodingNetwork
from hdnet.model.architectures.hdnet.config import HDNetConfig
from hdnet.model.architectures.hdnet.global_dynamics import (
    Dynamics,
    GivenMap,
    LearnedMap,
    MaskAwareGlobalDynamics,
    SpatialAttention,
    Unchanged,
)
from hdnet.model.architectures.hdnet.local_dynamics import LocalDynamics, ReleasedLocalDynamics
from hdnet.model.architectures.hdnet.norm import InstanceNorm, RegionNorm
from hdnet.model.architectures.hdnet.regions import Regions, join

LEVELS = (0, 1, 1, 2, 2, 3, 3)
"""How often the input is halved at the stem and at e1 ... e6."""
SLOPE = 0.2
"""The slope of the leaky activation for negative values."""


class HDNet(EncodingNetwork):
    """Hierarchical Dynamic Image Harmonization.

    Args:
        config: Width, neighbours and variants.
    """

    config: HDNetConfig

    def __init__(self, config: HDNetConfig) -> None:
        super().__init__()
        n = config.width
        widths = [n, 2 * n, 4 * n, 8 * n, 8 * n, 8 * n, 8 * n]  # stem, e1 ... e6
        self.config = config
        self.stem = _conv(3, n)
        self.encoder = nn.ModuleList(EncoderStage(_conv(widths[i], widths[i + 1], stride=_stride(i))) for i in range(6))
        self.neck = _conv(8 * n, 8 * n)
        self.local = _local(config)
        self.widen = DecoderStage(Unchanged(), _transposed(8 * n, 8 * n), RegionNorm(8 * n))
        self.decoder = nn.ModuleList(
            DecoderStage(
                _global(config, 2 * widths[i + 1]) if i < 2 else Unchanged(),
                _transposed(2 * widths[i + 1], widths[i], stride=_stride(i)),
                RegionNorm(widths[i]),
            )
            for i in reversed(range(6))
        )  # d6 ... d1
        self.last = _global(config, 2 * n)
        self.out = nn.ConvTranspose2d(2 * n, 3, 3, padding=1)
        self.apply(_initialise)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Harmonize a batch.

        Args:
            composite: (B,3,H,W) in [-1, 1]; H and W are multiples of 8.
            mask: (B,1,H,W) of 0 and 1, 1 in the foreground.

        Returns:
            (B,3,H,W) in [-1, 1]: the network's colours in the foreground, the composite elsewhere.

        Raises:
            ValueError: H or W is no multiple of 8.
        """
        return self.with_features(composite, mask)[0]

    def with_features(self, composite: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the result of `forward`, and the maps of `encode`."""
        features = self.encode(composite, mask)
        skips = list(features)
        regions = [Regions.of(mask[..., :: 2**level, :: 2**level]) for level in range(4)]

        # Bottleneck
        x = self.local(self.neck(skips[-1]), regions[3])
        x = self.widen(x, regions[3], regions[3])

        # Decode, one skip a stage
        for i, stage in zip(reversed(range(1, 7)), self.decoder, strict=True):
            x = stage(join(skips.pop(), x), regions[LEVELS[i]], regions[LEVELS[i - 1]])

        x = F.relu_(self.last(join(skips.pop(), x), regions[0]))
        return torch.where(mask > 0.5, self.out(x).to(composite.dtype).tanh(), composite), features

    def encode(self, composite: Tensor, mask: Tensor) -> list[Tensor]:
        """Return the encoder's seven maps, from the finest to the deepest; it does not look at the mask.

        Raises:
            ValueError: As for `forward`.
        """
        if composite.shape[2] % 8 or composite.shape[3] % 8:
            raise ValueError(f"height and width must be multiples of 8: {tuple(composite.shape)}")
        # The skips carry activated features, as in the authors' code.
        skips = [_activate(self.stem(composite.contiguous(memory_format=torch.channels_last)))]
        for stage in self.encoder:
            skips.append(_activate(stage(skips[-1])))
        return skips


class EncoderStage(nn.Module):
    """Convolve, then normalise each channel of each image."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = InstanceNorm()

    def forward(self, x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,D,H/s,W/s)
        out: Tensor = self.norm(self.conv(x))
        return out


class DecoderStage(nn.Module):
    """Mix globally, activate, convolve (perhaps to twice the size), normalise by region.

    Args:
        dynamics: Called with (x, regions at x's scale).
        conv: Transposed convolution.
        norm: Called with (x, regions at the result's scale).
    """

    def __init__(self, dynamics: Dynamics, conv: nn.ConvTranspose2d, norm: RegionNorm) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.conv = conv
        self.norm = norm

    def forward(self, x: Tensor, before: Regions, after: Regions) -> Tensor:  # (B,C,H,W) -> (B,D,sH,sW)
        out: Tensor = self.norm(self.conv(F.relu_(self.dynamics(x, before))), after)
        return out


def _initialise(module: nn.Module) -> None:
    # The paper starts with weights from N(0, 0.02) and biases of 0. Where nothing is stored, random numbers would only
    # make torch import its compiler, which takes one to two seconds.
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and not module.weight.is_meta:
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _stride(i: int) -> int:
    return LEVELS[i + 1] - LEVELS[i] + 1


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, SLOPE)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 2 + stride, stride, 1, bias=False)


def _transposed(inputs: int, outputs: int, stride: int = 1) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 2 + stride, stride, 1, bias=False)


def _local(config: HDNetConfig) -> nn.Module:
    kinds = {"paper": LocalDynamics, "released": ReleasedLocalDynamics}
    kind = kinds.get(config.local_dynamics)
    return kind(8 * config.width, config.k) if kind else Unchanged()


def _global(config: HDNetConfig, channels: int) -> Dynamics:
    if config.global_dynamics == "mask-aware":
        region_map = GivenMap() if config.region_map == "given" else LearnedMap(channels)
        return MaskAwareGlobalDynamics(channels, region_map)
    return SpatialAttention(channels) if config.global_dynamics == "spatial-attention" else Unchanged()
