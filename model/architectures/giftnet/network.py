"""GiftNet: iSSAM with its encoder's maps transformed in the foreground, and iSSAM's own blend at the end."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hdnet.model.architectures.base import EncodingNetwork
from hdnet.model.architectures.giftnet.backbone import Decoder, Encoder
from hdnet.model.architectures.giftnet.config import GiftNetConfig
from hdnet.model.architectures.giftnet.transformation import FeatureTransformation, GlobalCode, ModulatedConvolution

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of colours in [0, 1]: what the network sees is normalised by them."""
STEEPNESS = 3.0
"""Slope of the sigmoid in the output's blend."""


class GiftNet(EncodingNetwork):
    """Harmonize under global guidance; every map of the encoder is transformed on its way to the decoder.

    Args:
        config: Width and variants.
    """

    config: GiftNetConfig
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: GiftNetConfig) -> None:
        super().__init__()
        widths = config.widths
        count = {"all": 4, "skips": 3, "none": 0}[config.transformed]
        self.config = config
        self.encoder = Encoder(widths)
        self.code = GlobalCode(widths[-1], config.code) if count else None
        self.transformations = nn.ModuleList(
            FeatureTransformation(width, widths[-1], config.layers) for width in widths[:count]
        )
        self.decoder = Decoder(widths)
        self.share = nn.Conv2d(widths[0], 1, 1)
        self.colours = nn.Conv2d(widths[0], 3, 1)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.apply(_initialise)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Harmonize a batch.

        Args:
            composite: (B,3,H,W) in [-1, 1]; H and W are multiples of 8.
            mask: (B,1,H,W) in [0, 1], 1 in the foreground.

        Returns:
            (B,3,H,W): the network's colours in the foreground, not clamped; the composite elsewhere.

        Raises:
            ValueError: H or W is no multiple of 8.
        """
        return torch.where(mask > 0.5, self.with_features(composite, mask)[0], composite)

    def with_features(self, composite: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the network's colours everywhere, as in iSSAM, and the transformed maps, which learn relations."""
        maps = self.transform(self.encode(composite, mask), mask)
        hidden = self.decoder(maps, mask)
        share = torch.sigmoid(STEEPNESS * self.share(hidden)).to(composite.dtype)
        normal = share * self.normalised(composite) + (1 - share) * self.colours(hidden).to(composite.dtype)
        return (normal * self.deviation + self.mean) * 2 - 1, maps

    def encode(self, composite: Tensor, mask: Tensor) -> list[Tensor]:
        """Return the encoder's four maps, not transformed.

        Raises:
            ValueError: As for `forward`.
        """
        if composite.shape[2] % 8 or composite.shape[3] % 8:
            raise ValueError(f"height and width must be multiples of 8: {tuple(composite.shape)}")
        inputs = torch.cat([self.normalised(composite), mask], dim=1)
        maps: list[Tensor] = self.encoder(inputs.contiguous(memory_format=torch.channels_last))
        return maps

    def transform(self, maps: Sequence[Tensor], mask: Tensor, code: Tensor | None = None) -> list[Tensor]:
        """Transform the maps in the foreground.

        Args:
            maps: The encoder's four.
            mask: (B,1,H,W) in [0, 1].
            code: (B,K), the global code; told from the maps when None.
        """
        if self.code is None:
            return list(maps)
        guide = self.code(maps[-1], mask) if code is None else code
        count = len(self.transformations)
        moved = [part(x, guide, mask) for part, x in zip(self.transformations, maps[:count], strict=True)]
        return [*moved, *maps[count:]]

    def normalised(self, composite: Tensor) -> Tensor:  # (B,3,H,W) in [-1, 1]
        """Return colours as the network sees them: less ImageNet's mean, over its deviation."""
        return ((composite + 1) / 2 - self.mean) / self.deviation


def _initialise(module: nn.Module) -> None:
    """Give iSSAM's start to its own layers, and the equalised one to the modulated convolutions."""
    weight = getattr(module, "weight", None)
    # Where nothing is stored, random numbers would only make torch import its compiler, for one to two seconds.
    if weight is None or weight.is_meta:
        return
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ModulatedConvolution):
        nn.init.normal_(module.weight)
        nn.init.normal_(module.style)
