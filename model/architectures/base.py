"""The base classes of networks and renderers, and the protocol of training objectives."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from hdnet.model import smooth
from hdnet.model.architectures.record import Architecture, Size
from hdnet.model.config import Config
from hdnet.model.precision import Precision
from hdnet.model.seam import alignment, correction
from hdnet.transforms.errors import HarmonizeError
from hdnet.transforms.pixels import edges, image, tensor

Run = Callable[[Tensor, Tensor], Tensor]
"""Composite (B,3,H,W) and mask (B,1,H,W) to a result (B,3,H,W), as `Network.forward`."""


class Network(nn.Module, abc.ABC):
    """Base of the networks.

    Attributes:
        architecture: The record that the network was built from; `Architecture.build` sets it.
        config: The network's configuration.
    """

    architecture: Architecture[Any, Any]
    config: Config

    @abc.abstractmethod
    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Harmonize a batch.

        Args:
            composite: (B,3,H,W) in [-1, 1], of a size that the architecture takes.
            mask: (B,1,H,W) of 0 and 1, 1 in the foreground.

        Returns:
            (B,3,H,W): the network's colours in the foreground, in [-1, 1] or a little beyond; the composite elsewhere.
        """


class EncodingNetwork(Network):
    """A network whose encoder has maps that relations can be distilled from and into."""

    @abc.abstractmethod
    def encode(self, composite: Tensor, mask: Tensor) -> list[Tensor]:
        """Return the encoder's maps, (B,C,h,w) each, from the finest to the deepest.

        Args:
            composite: As for `forward`.
            mask: As for `forward`.
        """

    @abc.abstractmethod
    def with_features(self, composite: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what is trained: the result, (B,3,H,W), and the maps that learn, which correspond to `encode`'s."""


class Renderer(abc.ABC):
    """Runs a network on one image of any size; any number of threads may call it at once.

    Attributes:
        smoothing: How far an object's change of colour is moved towards one smooth map, 0 to 1 (`hdnet.model.smooth`).
    """

    smoothing: float = 0.0

    @abc.abstractmethod
    def colours(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.FloatPixels:
        """Return the network's colours in the foreground, the composite's elsewhere, not rounded.

        Args:
            composite: (H,W,3) uint8 or uint16, not empty.
            mask: (H,W) uint8; the network sees 128 and more as foreground.
            label: The foreground's class, its number in `config.classes`; None where there are none.

        Returns:
            (H,W,3) float32 in the composite's integer scale.

        Raises:
            HarmonizeError: The network's result is not finite.
        """

    def __call__(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.Pixels:
        """Harmonize an image.

        The network sees the mask moved to the paste's edge; the seam that it leaves is mended (`hdnet.model.seam`), the
        change smoothed, carried outward over the soft edge, and blended by the soft mask.

        Args:
            composite: As for `colours`.
            mask: As for `colours`.
            label: As for `colours`.

        Returns:
            (H,W,3) in the composite's dtype; where the mask is 0, the very values of the composite.

        Raises:
            HarmonizeError: The network's result is not finite.
        """
        seen = alignment.seen_mask(composite, mask)
        result = self.colours(composite, seen, label)
        correction.correct(result, composite, seen)
        smooth.smooth_change(result, composite, image.threshold(seen), self.smoothing)
        edges.carry_outward(result, composite, mask)
        return tensor.blend(composite, result, mask)


class PaddedRenderer(Renderer):
    """Runs a network on the whole image, whose right and bottom edge are repeated up to a size that it takes.

    Args:
        run: Called in inference mode, with tensors of one image on `device`.
        size: The sizes that `run` takes.
        device: The device on which `run` computes.
    """

    def __init__(self, run: Run, size: Size, device: torch.device) -> None:
        self.run, self.size, self.device = run, size, device

    @classmethod
    def of(cls, network: Network, device: torch.device, precision: Precision) -> Self:
        """Run the network itself, its convolutions in a precision."""

        def run(composite: Tensor, mask: Tensor) -> Tensor:
            with autocast(device, precision):
                result: Tensor = network(composite, mask)
            return result

        return cls(run, network.architecture.size, device)

    def colours(self, composite: image.Pixels, mask: image.Mask, label: int | None = None) -> image.FloatPixels:
        """Pad, run and crop."""
        height, width = mask.shape
        padded = self.size.padded(height), self.size.padded(width)
        inputs = (tensor.pad(x, *padded) for x in (tensor.to_tensor(composite), tensor.mask_to_tensor(mask)))
        with torch.inference_mode():
            result = tensor.crop(self.run(*(x.to(self.device) for x in inputs)), height, width)
        if not torch.isfinite(result).all():
            raise HarmonizeError(f"the network's result for a {width} x {height} image is not finite")
        return tensor.unscale(result, composite.dtype)


class Batch(NamedTuple):
    """A training batch on the device.

    Attributes:
        composite: (B,3,H,W) float32 in [-1, 1].
        mask: (B,1,H,W) of 0 and 1, 1 in the foreground.
        real: (B,3,H,W) float32 in [-1, 1].
    """

    composite: Tensor
    mask: Tensor
    real: Tensor


Distribute = Callable[[nn.Module], nn.Module]
"""Wraps a module that is trained, so that several processes train it as one; alone, it returns the module itself."""

Descend = Callable[[Tensor, torch.optim.Optimizer], None]
"""Takes one step of an optimizer down a loss, at the trainer's learning rate, with gradients clipped by the recipe."""


class Objective(Protocol):
    """A training objective: the losses, the optimizers, and any second network."""

    def step(self, batch: Batch, descend: Descend) -> Tensor:
        """Train on a batch: run the network, and descend each loss by its optimizer.

        Returns:
            The loss to log, a detached scalar on the device.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold beside the network's weights, under keys of the objective's own."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, which holds the entries of `state_dict` among others."""


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which a network's convolutions compute in a precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
