"""GiftNet (Niu et al., ICCV 2023): a U-Net whose encoder features are transformed in the foreground, guided globally.

The authors have released no code, and only the paper's abstract and opening could be read. They say that foreground
features of the encoder are transformed under the guidance of global information, and that the relation between
foreground and background is distilled from real images. `CHOICES` lists everything else: it goes into the header of
every weights file, so that nobody takes it for the paper's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdnet.model.architectures.giftnet.config import GiftNetConfig
from hdnet.model.architectures.record import Architecture, Size
from hdnet.model.precision import Precision

if TYPE_CHECKING:
    import torch

    from hdnet.model.architectures.base import Distribute, Renderer
    from hdnet.model.architectures.giftnet.network import GiftNet
    from hdnet.model.training.config import TrainConfig
    from hdnet.model.training.objective import RegressionObjective

CHOICES = (
    "The backbone is iSSAM (improved_ssam, 256 x 256): the paper's own could not be read.",
    "All four maps of the encoder are transformed, on their way to the decoder; the encoder itself goes on with the"
    " maps as they were.",
    "The global code is the unmasked mean of the deepest map, through two linear layers (after DucoNet).",
    "A transformation is two 3 x 3 convolutions whose kernels the code modulates and which are demodulated, with"
    " leaky activations and no residual (after DucoNet and StyleGAN2).",
    "Each of these convolutions has one learned gain, 1 at the start.",
    "Foreground and background are joined by the mask, resized bilinearly and not blurred.",
    "The mask is cut to 0 and 1 at the image's own size.",
    "Relations are cosines between cells of the foreground and cells of the background, centred on the mean of the"
    " background, on a grid as fine as the deepest map (32 x 32 at 256 x 256).",
    "The teacher is the encoder itself on the real image, without gradients, unless the recipe names another.",
    "The distillation loss is the squared difference of the relations, times 0.1 unless the recipe says otherwise.",
    "The main loss is divided by at least 100 pixels of foreground.",
)
"""What is ours and not known to be the paper's, for the header of weights files."""

SIZE = Size(minimum=8, multiple=8)

RECIPE = {"batch": 16, "milestones": (105, 115), "flip": True, "crop": True, "distill": "own"}
"""iSSAM's recipe at 256 x 256, whose 120 epochs, rate and drops of 0.1 are the defaults; and the distillation."""


def peak_bytes(config: GiftNetConfig, height: int, width: int, precision: Precision) -> int:
    """Return about how many bytes a process takes at its peak while it harmonizes one image of this size.

    The formula is fitted to peaks measured on a CPU with two threads, widths 8 and 32 between 256 x 256 and
    1536 x 1536, and is within 10 % of them. Mixed precision saves nothing: the peak is in the attention, whose maps
    are float32.
    """
    pixels = SIZE.padded(height) * SIZE.padded(width)
    return 280_000_000 + 50_000 * config.width**2 + int(pixels * (115 + 47.5 * config.width))


def _network(config: GiftNetConfig) -> GiftNet:
    from hdnet.model.architectures.giftnet.network import GiftNet

    return GiftNet(config)


def _renderer(network: GiftNet, device: torch.device, precision: Precision) -> Renderer:
    from hdnet.model.architectures.base import PaddedRenderer

    return PaddedRenderer.of(network, device, precision)


def _objective(
    recipe: TrainConfig, network: GiftNet, device: torch.device, distribute: Distribute
) -> RegressionObjective:
    from hdnet.model.architectures.giftnet.objective import objective

    return objective(recipe, network, device, distribute)


def _record(name: str, width: int) -> Architecture[GiftNetConfig, GiftNet]:
    return Architecture(
        name=name,
        config=GiftNetConfig,
        defaults={"width": width},
        size=SIZE,
        peak_bytes=peak_bytes,
        network=_network,
        renderer=_renderer,
        objective=_objective,
        recipe=RECIPE,
        choices=CHOICES,
    )


RECORDS = (_record("giftnet", 32), _record("giftnet-lite", 8))
