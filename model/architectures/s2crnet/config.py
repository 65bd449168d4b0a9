"""What an S2CRNet is built from; free of torch."""

import dataclasses
from typing import Literal

from hdnet.model.config import Config

Backbone = Literal["squeezenet", "vgg16", "efficientnet-lite0"]

SMALLEST_THUMBNAIL = 32
"""Smaller ones would leave the backbone no pixel."""
MULTIPLE = 16
"""What EfficientNet-Lite0's thumbnails are a multiple of: it halves them four times, and pads even sides alone."""
PIECES = 64
"""Linear pieces of a curve."""
MOST_STAGES = 4
CLASSES = ("person", "animal", "food", "vehicle", "others")
"""Semantic labels in the order of their numbers; "vehicle" is inferred, for no published example has it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class S2CRNetConfig(Config):
    """The choices that decide S2CRNet's shape and arithmetic.

    Attributes:
        backbone: "squeezenet" for S2CRNet-SN, "vgg16" for S2CRNet-VGG; "efficientnet-lite0" is ours.
        stages: Cascaded curve rendering modules, 1 to 4; the paper has 2.
        semantic: Whether the network takes the class of each image's foreground (Semantic-CRM).
        start: What training begins with: "random" for layers at random as published, whose first curves are wild;
            "identity" for curves that change nothing, which spares a start without ImageNet weights.
        normalise: Whether convolutions and embeddings are normalised over the batch; the paper's are not, but its
            backbones start from ImageNet weights. Without either, hardly anything is learned. The convolutions of
            "efficientnet-lite0" always are, so that it decides of the embeddings alone.
        thumbnail: Height and width of what the network sees, in pixels; the paper has 256, and "efficientnet-lite0"
            takes multiples of 16.
        joint: Units of a layer that sees both embeddings, and means and deviations of both regions' colours, together;
            0 for none, as in the paper, where foreground and background add to a curve each on its own.

    Raises:
        ValueError: A field is outside its range; the message names field and value.
    """

    backbone: Backbone = "squeezenet"
    stages: int = 2
    semantic: bool = False
    start: Literal["random", "identity"] = "random"
    normalise: bool = False
    thumbnail: int = 256
    joint: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """`CLASSES` where the network is semantic."""
        return CLASSES if self.semantic else ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.stages) is not int or not 1 <= self.stages <= MOST_STAGES:
            raise ValueError(f"stages must be a whole number from 1 to {MOST_STAGES}: {self.stages!r}")
        for name in ("semantic", "normalise"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false: {getattr(self, name)!r}")
        if type(self.thumbnail) is not int or self.thumbnail < SMALLEST_THUMBNAIL:
            raise ValueError(f"thumbnail must be a whole number from {SMALLEST_THUMBNAIL}: {self.thumbnail!r}")
        if self.backbone == "efficientnet-lite0" and self.thumbnail % MULTIPLE:
            raise ValueError(f"thumbnail must be a multiple of {MULTIPLE} for {self.backbone}: {self.thumbnail!r}")
        if type(self.joint) is not int or self.joint < 0:
            raise ValueError(f"joint must be a whole number from 0: {self.joint!r}")
