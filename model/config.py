"""What a network is built from and how it is trained: frozen dataclasses, to and from JSON."""

import dataclasses
import json
import math
from pathlib import PurePath
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

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
        _check_choices(self)
        if self.region_map == "learned" and self.global_dynamics != "mask-aware":
            raise ValueError(f"a learned region map needs mask-aware global dynamics: {self.global_dynamics!r}")
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
        data: Root of a data set in the iHarmony4 layout, or None to train on `photos` alone.
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
        warmup: Epochs over which the rate rises to `lr`.
        smallest_foreground: A_min of the loss, in pixels.
        log_loss: Average log(loss + this) over the images; 0 for the paper's plain mean.
        clip: Largest gradient norm; 0 for none.
        ema: Decay of a moving average of the weights, validated and saved in their place; 0 for none.
        precision: "float32", or "bfloat16" for mixed precision.
        val_fraction: Share of the train list's photos held out for validation; with `photos`, a twentieth is held out
            by their names instead.
        seed: Of initialisation, order and augmentation.
        flip: Mirror half of the samples.
        crop: Train on random resized crops.
        recolor: Share of samples whose composite is made afresh from the real photo.
        illumination_maps: File of measured colour maps for `recolor`, or None.
        blur_edges: Share of samples whose foreground fades at its edge, and whose mask is a little off.
        photos: Folders of photos with masks, of which every visit makes a fresh composite, and how often each photo
            is visited an epoch.
        looks: Colour tables for those composites: .npz files, or folders of .cube files.
        init: Weights to start from, or None for a random start.
        cache: Where decoded images stay.
        workers: Loader processes; 0 loads in the training process.
        checkpoint_steps: Steps between checkpoints.
        validate_epochs: Epochs between validations.
        minutes: After so many the run stops at a checkpoint, to be gone on with; 0 for no limit.

    Raises:
        ValueError: A field is outside its range; the message names field and value.
    """

    data: str | None = None
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
    blur_edges: float = 0.0
    photos: dict[str, float] = dataclasses.field(default_factory=dict)
    looks: tuple[str, ...] = ()
    init: str | None = None
    cache: Literal["ram", "disk", "none"] = "none"
    workers: int = 1
    checkpoint_steps: int = 500
    validate_epochs: int = 1
    minutes: float = 0.0

    def __post_init__(self) -> None:
        _check_choices(self)
        for name in ("size", "epochs", "batch", "lr", "smallest_foreground", "checkpoint_steps", "validate_epochs"):
            _check_range(self, name, low=0, above=True)
        for name in ("warmup", "log_loss", "clip", "seed", "workers", "minutes"):
            _check_range(self, name, low=0)
        for name in ("drop", "final_lr", "recolor", "blur_edges"):
            _check_range(self, name, low=0, high=1)
        for name in ("ema", "val_fraction"):
            _check_range(self, name, low=0, high=1, below=True)
        if self.data is None and not self.photos:
            raise ValueError("there is nothing to train on: give data or photos")
        if not all(0 < weight < math.inf for weight in self.photos.values()):
            raise ValueError(f"photos must have weights above 0: {self.photos}")
        if self.illumination_maps and not self.recolor and not self.photos:
            raise ValueError("illumination_maps are used by recolor and photos alone: give recolor a share above 0")
        if self.looks and not self.photos:
            raise ValueError("looks are used by photos alone: name a folder")
        if self.size % 8:
            raise ValueError(f"size must be a multiple of 8: {self.size}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return fields


def without_folders(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe for other people to read: of files their names, for a path is a machine's own."""
    paths = ("data", "init", "illumination_maps")
    plain = {name: PurePath(value).name if name in paths and value else value for name, value in recipe.items()}
    if "photos" in recipe:
        plain["photos"] = {PurePath(folder).name: weight for folder, weight in recipe["photos"].items()}
        plain["looks"] = [PurePath(path).name for path in recipe["looks"]]
    return plain


def _check_choices(config: object) -> None:
    for name, hint in get_type_hints(type(config)).items():
        if get_origin(hint) is Literal and getattr(config, name) not in get_args(hint):
            raise ValueError(f"{name} must be one of {', '.join(get_args(hint))}: {getattr(config, name)!r}")


def _check_range(
    config: object, name: str, *, low: float, high: float = math.inf, above: bool = False, below: bool = False
) -> None:
    value = getattr(config, name)
    # Written so that a NaN fails too.
    if not (low <= value <= high) or math.isinf(value) or (above and value == low) or (below and value == high):
        upper = f" and {'below' if below else 'at most'} {high}" if high < math.inf else ""
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {low}{upper}: {value}")
