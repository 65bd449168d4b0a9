"""What a GiftNet is built from."""

import dataclasses
from typing import Literal

from hdnet.model.config import Config

Transformed = Literal["all", "skips", "none"]
Code = Literal["everywhere", "background", "regions", "average-max"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GiftNetConfig(Config):
    """The choices that decide GiftNet's shape and arithmetic; the defaults are ours, not the paper's (see `CHOICES`).

    Attributes:
        width: Channels of the first map: 32 for iSSAM and GiftNet. The others have 2, 4 and 8 times as many.
        transformed: Maps of the encoder that are transformed: "all" four, the three "skips" without the deepest one,
            or "none", which leaves iSSAM.
        code: How the deepest map becomes the global code: its mean "everywhere", over the "background", over both
            "regions" one beside the other, or its average beside its maximum ("average-max").
        layers: Modulated convolutions in a transformation.

    Raises:
        ValueError: A field is outside its range; the message names field and value.
    """

    width: int = 32
    transformed: Transformed = "all"
    code: Code = "everywhere"
    layers: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if type(self.width) is not int or self.width < 1:
            raise ValueError(f"width must be a whole number of at least 1: {self.width!r}")
        super().__post_init__()

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the encoder's four maps, from the finest to the deepest."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width
