"""Relation distillation: how foreground relates to background in a real image teaches a network on its composite.

GiftNet (Niu et al., ICCV 2023) gives the idea: the relation in the real image supervises the encoder's features of the
composite. The formula, the teachers and the weight are ours. It costs nothing once a network is trained.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hdnet.model.architectures.base import EncodingNetwork, Network
from hdnet.model.weights.weights_file import load_network
from hdnet.transforms.errors import WeightsError

MAJORITY = 0.5
"""Share of a cell that must be exceeded for it to count as foreground, or as background."""
DECAY = 0.999
"""Decay of an averaging teacher's weights in each step."""
FAINT = 1e-6
"""Added to a vector's squared length: what hardly differs from the background's mean then points nowhere."""


class Teacher:
    """Encodes real images, without gradients and without a trace in the running statistics of its normalisations.

    Args:
        network: The student itself, or one that stays as it is.
    """

    def __init__(self, network: EncodingNetwork) -> None:
        self.network = network

    @torch.no_grad()
    def __call__(self, real: Tensor, mask: Tensor) -> list[Tensor]:  # (B,3,H,W), (B,1,H,W) -> (B,C,h,w) each
        """Return the encoder's maps of real images."""
        with _untracked(self.network):
            return self.network.encode(real, mask)

    def follow(self, student: Network) -> None:
        """Take note of a step of the student's."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of the teacher."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""


class AveragingTeacher(Teacher):
    """A copy of the student whose weights are the moving average of the student's.

    Args:
        student: Copied as it is now.
    """

    def __init__(self, student: EncodingNetwork) -> None:
        super().__init__(copy.deepcopy(student).requires_grad_(False))

    @torch.no_grad()
    def follow(self, student: Network) -> None:
        """Move the average a little towards the student."""
        torch._foreach_lerp_(list(self.network.parameters()), list(student.parameters()), 1 - DECAY)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights."""
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the averaged weights from a checkpoint."""
        self.network.load_state_dict(state)


def make_teacher(kind: str, student: EncodingNetwork, device: torch.device) -> Teacher | None:
    """Make the teacher that a recipe names.

    Args:
        kind: "own" for the student itself, "average" for the moving average of its weights, "off" for none, or weights
            that stay as they are: a shipped name, a path or a URI.
        student: On the device.
        device: Where to put weights.

    Raises:
        WeightsError: The weights cannot be used, or their network has no encoder features.
    """
    if kind in ("off", "own"):
        return Teacher(student) if kind == "own" else None
    if kind == "average":
        return AveragingTeacher(student)
    network = load_network(kind).to(device)
    if not isinstance(network, EncodingNetwork):
        raise WeightsError(f"{kind}: a network without encoder features cannot teach: {network.architecture.name}")
    return Teacher(network)


def relation_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Return how far the student's relations are from the teacher's, a scalar.

    Every map is averaged over the cells of a grid as fine as the student's last map, in the foreground and in the
    background apart. The relation of a foreground cell to a background cell is the cosine between their vectors,
    both less the mean of the background cells. The loss is the squared difference of the relations, averaged over
    the pairs of cells, over the images that have cells of both kinds, and over the maps; 0 where no image has.

    Args:
        student: Maps (B,C,h,w), from the finest to the deepest.
        teacher: As many maps of the same sizes; the numbers of their channels may be others.
        mask: (B,1,H,W) in [0, 1], 1 in the foreground.
    """
    grid = student[-1].shape[-2:]
    return torch.stack([_map_loss(s, t, mask, grid) for s, t in zip(student, teacher, strict=True)]).mean()


def _map_loss(student: Tensor, teacher: Tensor, mask: Tensor, grid: torch.Size) -> Tensor:
    inside = functional.interpolate(mask.float(), size=student.shape[-2:], mode="bilinear", align_corners=True)
    share = _on_grid(inside, grid)
    fore, back = share > MAJORITY, share < 1 - MAJORITY
    (fore_student, back_student), (fore_teacher, back_teacher) = (
        _directions(x.float(), inside, fore, back, grid) for x in (student, teacher)
    )
    # The squares of f.b - g.c over all pairs of cells, g and c being the teacher's, sum up to the product of the Gram
    # matrices of (f, g) and (b, -c): no matrix of cells by cells is needed.
    fores, backs = torch.cat([fore_student, fore_teacher], dim=2), torch.cat([back_student, -back_teacher], dim=2)
    total = ((fores.mT @ fores) * (backs.mT @ backs)).sum((1, 2))
    pairs = fore.sum((1, 2)) * back.sum((1, 2))
    return (total / pairs.clamp_min(1)).sum() / (pairs > 0).sum().clamp_min(1)


def _directions(
    x: Tensor, inside: Tensor, fore: Tensor, back: Tensor, grid: torch.Size
) -> tuple[Tensor, Tensor]:  # (B,C,h,w), (B,1,h,w), (B,N,1) twice -> (B,N,C) twice
    """Return the unit vectors of the foreground's cells and of the background's, 0 in all other cells."""
    cells_fore, cells_back = _means(x, inside, grid), _means(x, 1 - inside, grid)
    centre = (cells_back * back).sum(1, keepdim=True) / back.sum(1, keepdim=True).clamp_min(1)
    return _unit(cells_fore - centre) * fore, _unit(cells_back - centre) * back


def _means(x: Tensor, weight: Tensor, grid: torch.Size) -> Tensor:  # (B,C,h,w), (B,1,h,w) -> (B,N,C)
    # A cell that weighs less than the bound is not used.
    return _on_grid(x * weight, grid) / _on_grid(weight, grid).clamp_min(MAJORITY)


def _on_grid(x: Tensor, grid: torch.Size) -> Tensor:  # (B,C,h,w) -> (B,N,C)
    return functional.adaptive_avg_pool2d(x, (grid[0], grid[1])).flatten(2).mT


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(2, keepdim=True) + FAINT)


@contextlib.contextmanager
def _untracked(network: nn.Module) -> Iterator[None]:
    """Keep running statistics as they are for as long as the block lasts; what is computed stays the same."""
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
