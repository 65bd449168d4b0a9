"""S2CRNet (Liang et al., ECCV 2022): spatial-separated embedding, and curve rendering modules in a cascade."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdnet.model.architectures.base import Network
from hdnet.model.architectures.s2crnet import curves
from hdnet.model.architectures.s2crnet.backbone import FEATURES, build_backbone
from hdnet.model.architectures.s2crnet.config import CLASSES, PIECES, S2CRNetConfig

STATISTICS = 12
"""Means and deviations of three channels in two regions."""


class SpatialSeparatedEmbedding(nn.Module):
    """Describes foreground and background, each alone, by one shared backbone.

    Args:
        backbone: (B,3,H,W) -> (B,C,h,w).
        features: The backbone's channels C.
        normalise: Whether both are normalised over the batch.
    """

    def __init__(self, backbone: nn.Module, features: int, normalise: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.norms = nn.ModuleList([nn.BatchNorm1d(features) for _ in range(2)] if normalise else [])

    def forward(self, foreground: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:  # (B,3,H,W) -> (B,C)
        both = torch.cat([foreground, background]).contiguous(memory_format=torch.channels_last)
        features = self.backbone(both).mean((2, 3), dtype=both.dtype).split(len(foreground))
        first, second = (norm(one) for norm, one in zip(self.norms, features, strict=True)) if self.norms else features
        return first, second


class CurveRenderingModule(nn.Module):
    """Turns the embeddings, and perhaps a label, into the parameters of three curves (CRM, Semantic-CRM).

    Args:
        features: Entries of an embedding.
        joint: Entries of what is seen of both regions together, or 0.
        semantic: Whether it takes the class of the foreground.
    """

    def __init__(self, features: int, joint: int, semantic: bool) -> None:
        super().__init__()
        hidden, labels = 32, 64
        self.label = (
            nn.Sequential(nn.Linear(len(CLASSES), hidden), nn.ReLU(), nn.Linear(hidden, labels)) if semantic else None
        )
        self.foreground = nn.Linear(features + labels * semantic, 3 * PIECES)
        self.background = nn.Linear(features, 3 * PIECES)
        self.joint = nn.Linear(joint, 3 * PIECES, bias=False) if joint else None

    def begin_with_identity(self) -> None:
        """Make all parameters of the curves 1, whatever the embeddings, so that the curves change nothing."""
        for layer in filter(None, (self.foreground, self.background, self.joint)):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.foreground.bias)
        nn.init.ones_(self.background.bias)

    def forward(self, foreground: Tensor, background: Tensor, joint: Tensor | None, label: Tensor | None) -> Tensor:
        # (B,C), (B,C), (B,J), (B,5) -> (B,3,64)
        if self.label is not None:
            foreground = torch.cat([foreground, self.label(label)], dim=1)
        total: Tensor = self.foreground(foreground) + self.background(background)
        if self.joint is not None:
            total = total + self.joint(joint)
        return total.view(-1, 3, PIECES)


class S2CRNet(Network):
    """Spatial-Separated Curve Rendering Network.

    Args:
        config: Backbone, stages, labels and start.
    """

    config: S2CRNetConfig

    def __init__(self, config: S2CRNetConfig) -> None:
        super().__init__()
        self.config = config
        features = FEATURES[config.backbone]
        backbone = build_backbone(config.backbone, config.normalise)
        self.embedding = SpatialSeparatedEmbedding(backbone, features, config.normalise)
        self.joint = nn.Linear(2 * features + STATISTICS, config.joint) if config.joint else None
        modules = [CurveRenderingModule(features, config.joint, config.semantic) for _ in range(config.stages)]
        self.stages = nn.ModuleList(modules)
        if config.start == "identity":
            for module in modules:
                module.begin_with_identity()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, composite: Tensor, mask: Tensor, label: Tensor | None = None) -> Tensor:
        """Harmonize a batch; `label` as for `parameterise`, the rest as for every network."""
        rendered = self.render(composite, mask, label)[-1]
        return torch.where(mask > 0.5, rendered * 2 - 1, composite)

    def render(self, composite: Tensor, mask: Tensor, label: Tensor | None = None) -> list[Tensor]:
        """Render a batch of images, every pixel of them, and return what each stage makes of it.

        Args:
            composite: (B,3,H,W) in [-1, 1].
            mask: (B,1,H,W) in [0, 1].
            label: As for `parameterise`.

        Returns:
            K tensors (B,3,H,W): 0..1, or somewhat beyond.
        """
        unit = (composite + 1) / 2
        parameters = self.parameterise(*_thumbnails(unit, mask, self.config.thumbnail), label)
        return [stage.view_as(unit) for stage in curves.cascade(parameters, unit.flatten(2))]

    def parameterise(
        self, composite: Tensor, mask: Tensor, crop: Tensor, crop_mask: Tensor, label: Tensor | None = None
    ) -> Tensor:
        """Compute the curves' parameters from thumbnails (see `curves` for what they do to values).

        Args:
            composite: (B,3,S,S) in [0, 1], the whole image as a thumbnail; the paper does not normalise it further.
            mask: (B,1,S,S) in [0, 1], soft, 1 in the foreground.
            crop: (B,3,S,S) in [0, 1], the image within the foreground's box.
            crop_mask: (B,1,S,S) in [0, 1], the mask within that box.
            label: (B,) int64, the foreground's class by its number in `CLASSES`; ignored unless the network is
                semantic.

        Returns:
            (B,K,3,64): for each of K stages and each of red, green and blue, the parameters of a curve.

        Raises:
            ValueError: The network is semantic, and there is no label.
        """
        if self.config.semantic and label is None:
            raise ValueError("a semantic network needs a label for each image")
        known = None if label is None else F.one_hot(label, len(CLASSES)).to(composite.dtype)
        foreground, background = self.embedding(crop * crop_mask, composite * (1 - mask))
        with torch.autocast(composite.device.type, enabled=False):  # a curve needs more than bfloat16's 8 bits
            joint = None
            if self.joint is not None:
                colours = _statistics(crop, crop_mask), _statistics(composite, 1 - mask)
                joint = F.relu(self.joint(torch.cat([foreground, background, *colours], dim=1)))
            return torch.stack([stage(foreground, background, joint, known) for stage in self.stages], dim=1)


def _statistics(colours: Tensor, weight: Tensor) -> Tensor:  # (B,3,H,W), (B,1,H,W) -> (B,6)
    """Return a region's means, from the middle of the range, and its standard deviations, in quarters of the range.

    Where the region is empty, all are those of black.
    """
    share = weight / weight.sum((2, 3), keepdim=True).clamp_min(1)
    mean = (colours * share).sum((2, 3), keepdim=True)
    variance = ((colours - mean).square() * share).sum((2, 3), keepdim=True)
    return 4 * torch.cat([mean - 0.5, (variance + 1e-6).sqrt()], dim=1).flatten(1)


def _thumbnails(composite: Tensor, mask: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shrink a batch to what `parameterise` takes: the whole images, and each within its foreground's box."""
    both = torch.cat([composite, mask], dim=1)
    whole, crop = _resize(both, side), _resize_boxes(both, side)
    return whole[:, :3], whole[:, 3:], crop[:, :3], crop[:, 3:]


def _resize_boxes(x: Tensor, side: int) -> Tensor:  # (B,4,H,W) -> (B,4,side,side)
    """Resize each image within its mask's box, as `_resize` does, by matrix products whose shapes no box decides."""
    down, across = (_resizing(x[:, 3].amax(axis) > 0, side).to(x.dtype) for axis in (2, 1))
    with torch.autocast(x.device.type, enabled=False):
        return down @ x @ across.mT


def _resizing(found: Tensor, side: int) -> Tensor:  # (B,N) bool -> (B,1,side,N)
    """Return the weights that resize from the first position found to the last, or all positions where none is."""
    count = found.shape[1]
    place = torch.arange(count, device=found.device)
    found = found | ~found.any(1, keepdim=True)
    low, high = place.where(found, count).amin(1), place.where(found, -1).amax(1) + 1
    step = (high - low) / side
    centres = low[:, None] + step[:, None] * (torch.arange(side, device=found.device) + 0.5)
    distance = (place + 0.5 - centres[..., None]).abs() / step.clamp(min=1)[:, None, None]
    weights = (1 - distance).clamp_(min=0) * ((place >= low[:, None]) & (place < high[:, None]))[:, None]
    return (weights / weights.sum(2, keepdim=True))[:, None]


def _resize(x: Tensor, side: int) -> Tensor:  # (B,C,H,W) -> (B,C,side,side)
    if x.shape[2:] == (side, side):
        return x
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True)
