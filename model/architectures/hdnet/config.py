"""The choices that decide HDNet's shape and arithmetic."""

import dataclasses
from typing import Literal

from hdnet.model.config import Config

LocalDynamicsKind = Literal["paper", "released", "none"]
GlobalDynamicsKind = Literal["mask-aware", "spatial-attention", "none"]
RegionMapKind = Literal["given", "learned"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HDNetConfig(Config):
    """The choices that decide HDNet's shape and arithmetic.

    Attributes:
        width: Channels of the stem, n in the paper: 32 for HDNet, 8 for HDNet-lite.
        k: Background neighbours per foreground position in local dynamics (paper, K = 1).
        local_dynamics: "paper" for equations 2 to 5, "released" for what the authors' training
            code computes, "none" to leave the module out (ablation).
        global_dynamics: "mask-aware" for equation 6, "spatial-attention" for RainNet's attention in
            its place, "none" to leave the module out (ablations).
        region_map: "given" to let the global dynamics use the mask, "learned" to let each of them
            predict its own region map (HDNet* in the paper).

    Raises:
        ValueError: A field is outside its range; the message names field and value.
    """

    width: int = 32
    k: int = 1
    local_dynamics: LocalDynamicsKind = "paper"
    global_dynamics: GlobalDynamicsKind = "mask-aware"
    region_map: RegionMapKind = "given"

    def __post_init__(self) -> None:
        for name in ("width", "k"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1: {value!r}")
        super().__post_init__()
        if self.region_map == "learned" and self.global_dynamics != "mask-aware":
            raise ValueError(f"a learned region map needs mask-aware global dynamics: {self.global_dynamics!r}")
        if self.local_dynamics == "released" and self.k != 1:
            raise ValueError(f"the released local dynamics knows one neighbour only: k={self.k}")
