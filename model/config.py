"""What an HDNet is built from: one frozen dataclass, to and from JSON."""

import dataclasses
from typing import Any, Literal, Self, get_args, get_type_hints

LocalDynamicsKind = Literal["paper", "released", "none"]
GlobalDynamicsKind = Literal["mask-aware", "spatial-attention", "none"]
RegionMapKind = Literal["given", "learned"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HDNetConfig:
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
        for name, lowest in (("width", 1), ("k", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < lowest:
                raise ValueError(f"{name} must be a whole number of at least {lowest}: {value!r}")
        for name, hint in get_type_hints(type(self)).items():
            if get_args(hint) and getattr(self, name) not in get_args(hint):
                raise ValueError(f"{name} must be one of {get_args(hint)}: {getattr(self, name)!r}")
        if self.local_dynamics == "released" and self.k != 1:
            raise ValueError(f"the released local dynamics knows one neighbour only: k={self.k}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Build a config from `to_json`'s result; an unknown field is a ValueError."""
        unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"unknown {cls.__name__} fields: {', '.join(unknown)}")
        return cls(**fields)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run, complete: saved before the first step. The defaults are the paper's recipe.

    Attributes:
        data: Root of a data set in the iHarmony4 layout.
        arch: Name in the registry.
        network: The network's own fields, where they differ from the architecture's.
        subsets: Sub-datasets to train on; all when empty.
        size: Height and width of the samples, a multiple of 8.
        epochs: Passes over the training pairs.
        batch: Images a step, over all processes.
        lr: Adam's learning rate at the start.
        schedule: "step" (times `drop` after each of `milestones`) or "cosine" (down to `final_lr`).
        milestones: Epochs after which the rate drops.
        drop: Factor of each drop.
        final_lr: Share of `lr` left at the end of the cosine.
        warmup: Epochs over which the rate rises from 0 to `lr`.
        smallest_foreground: A_min of the loss, in pixels.
        log_loss: Take each image's loss as log(loss + this); 0 for the paper's loss.
        clip: Largest gradient norm; 0 for none.
        ema: Decay of the moving average of the weights, which is then validated and saved; 0 for none.
        precision: "float32" or "bfloat16" (mixed).
        val_fraction: Share of the train list's photos held out for validation.
        seed: Of initialisation, order and augmentation.
        flip: Mirror half of the samples.
        crop: Train on random resized crops.
        recolor: Share of samples whose composite is made afresh from the real photo.
        illumination_maps: File of measured colour maps for `recolor`, or None.
        init: Weights to start from, or None for a random start.
        cache: Where decoded images stay.
        workers: Loader processes; 0 loads in the training process.
        checkpoint_steps: Steps between checkpoints.
        validate_epochs: Epochs between validations.
    """

    data: str
    arch: str = "hdnet"
    network: dict[str, Any] = dataclasses.field(default_factory=dict)
    subsets: tuple[str, ...] = ()
    size: int = 256
    epochs: int = 120
    batch: int = 12
    lr: float = 1e-3
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (100, 110)
    drop: float = 0.1
    final_lr: float = 0.01
    warmup: float = 0.0
    smallest_foreground: float = 100.0
    log_loss: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    val_fraction: float = 0.02
    seed: int = 0
    flip: bool = False
    crop: bool = False
    recolor: float = 0.0
    illumination_maps: str | None = None
    init: str | None = None
    cache: Literal["ram", "disk", "none"] = "none"
    workers: int = 1
    checkpoint_steps: int = 500
    validate_epochs: int = 1
