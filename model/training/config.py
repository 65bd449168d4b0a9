"""The recipe of a training run."""

import dataclasses
import math
from pathlib import PurePath
from typing import Any, Literal, Self

from hdnet.model import architectures
from hdnet.model.config import Config
from hdnet.model.precision import Precision


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """A training run, complete; it is saved before the first step. The defaults are the recipe of HDNet's paper.

    Attributes:
        data: Root of a data set, as for `datasets.read_root`, or None to train on `photos` alone.
        arch: Name of the architecture.
        network: Fields of the network's configuration that differ from the architecture's own.
        subsets: Sub-datasets to train on; all when empty.
        size: Height and width of the samples, one that the network takes.
        epochs: Passes over the training pairs.
        batch: Images per step, over all processes.
        lr: The learning rate at the start.
        schedule: "step" (times `drop` after each of `milestones`) or "cosine" (down to `final_lr`).
        milestones: Epochs after which the rate drops.
        drop: Factor of each drop.
        final_lr: Share of `lr` left at the end of the cosine.
        warmup: Epochs over which the rate rises to `lr`.
        smallest_foreground: A_min of the loss, in pixels.
        log_loss: Average log(loss + this) over the images; 0 for the paper's plain mean.
        adversarial: Weight of the adversarial loss, in objectives that have one; 0 for none.
        clip: Largest gradient norm; 0 for none.
        ema: Decay of a moving average of the weights, validated and saved in their place; 0 for none.
        precision: "float32", or "bfloat16" for mixed precision.
        val_fraction: Share of the train list's photos held out for validation; with `photos` it is a twentieth of each
            folder, and the same photos of the list.
        seed: Decides initialisation, order and augmentation.
        flip: Mirror half of the samples.
        crop: Train on random resized crops.
        recolor: Share of samples whose composite is made afresh from the real photo.
        illumination_maps: File of measured colour maps for `recolor`, or None.
        blur_edges: Share of samples whose foreground fades at its edge, and whose mask is a little off.
        photos: Folders of photos with masks, of which every visit makes a fresh composite, and how often each photo
            is visited in an epoch.
        looks: Colour tables for those composites: .npz files, or folders of .cube files.
        distill: Teacher of the relation distillation: "own" for the network itself, "average" for the moving average
            of its weights, or other weights to load; "off" for none.
        distill_weight: Weight of the distillation's loss.
        init: Weights to start from, or None for a random start.
        cache: Where decoded images are kept.
        workers: Loader processes; 0 loads in the training process.
        checkpoint_steps: Steps between checkpoints.
        validate_epochs: Epochs between validations.
        minutes: The run stops at a checkpoint after this long, and can be resumed; 0 for no limit.

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
    adversarial: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    precision: Precision = "float32"
    val_fraction: float = 0.02
    seed: int = 0
    flip: bool = False
    crop: bool = False
    recolor: float = 0.0
    illumination_maps: str | None = None
    blur_edges: float = 0.0
    photos: dict[str, float] = dataclasses.field(default_factory=dict)
    looks: tuple[str, ...] = ()
    distill: str = "off"
    distill_weight: float = 0.1
    init: str | None = None
    cache: Literal["ram", "disk", "none"] = "none"
    workers: int = 1
    checkpoint_steps: int = 500
    validate_epochs: int = 1
    minutes: float = 0.0

    @classmethod
    def of(cls, arch: str, **fields: Any) -> Self:
        """Return the recipe of an architecture's paper with some fields changed.

        Raises:
            ValueError: The architecture is unknown, or a field is outside its range.
        """
        return cls(**{**architectures.find(arch).recipe, "arch": arch, **fields})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "epochs", "batch", "lr", "smallest_foreground", "checkpoint_steps", "validate_epochs"):
            _check_range(self, name, low=0, above=True)
        for name in ("warmup", "log_loss", "adversarial", "clip", "distill_weight", "seed", "workers", "minutes"):
            _check_range(self, name, low=0)
        for name in ("drop", "final_lr", "recolor", "blur_edges"):
            _check_range(self, name, low=0, high=1)
        for name in ("ema", "val_fraction"):
            _check_range(self, name, low=0, high=1, below=True)
        self._check_photos()
        wanted = architectures.find(self.arch).size
        if self.size != wanted.padded(self.size):
            raise ValueError(f"size must be at least {wanted.minimum} and a multiple of {wanted.multiple}: {self.size}")

    def _check_photos(self) -> None:
        if self.data is None and not self.photos:
            raise ValueError("there is nothing to train on: give --data or --photos")
        if not all(0 < weight < math.inf for weight in self.photos.values()):
            raise ValueError(f"photos must have weights above 0: {self.photos}")
        if self.illumination_maps and not self.recolor and not self.photos:
            raise ValueError("illumination_maps are used by recolor and photos alone: give recolor a share above 0")
        if self.looks and not self.photos:
            raise ValueError("looks are used by photos alone: name a folder")


def without_folders(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe for other people to read: files by their names alone, for a path is a machine's own."""
    paths = ("data", "init", "distill", "illumination_maps")
    plain = {name: PurePath(value).name if name in paths and value else value for name, value in recipe.items()}
    if "photos" in recipe:
        plain["photos"] = {PurePath(folder).name: weight for folder, weight in recipe["photos"].items()}
        plain["looks"] = [PurePath(path).name for path in recipe["looks"]]
    return plain


def _check_range(
    config: object, name: str, *, low: float, high: float = math.inf, above: bool = False, below: bool = False
) -> None:
    value = getattr(config, name)
    # Written so that a NaN fails too.
    if not (low <= value <= high) or math.isinf(value) or (above and value == low) or (below and value == high):
        upper = f" and {'below' if below else 'at most'} {high}" if high < math.inf else ""
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {low}{upper}: {value}")
