"""The second network of S2CRNet's training: it tells photos from rendered images."""

from torch import Tensor, nn

SMALLEST = 79
"""Height and width of the smallest frame that gets a score."""


class Discriminator(nn.Sequential):
    """Judges patches of a frame, (B,3,H,W) in [0, 1] -> (B,1,h,w): near 1 for photos, near 0 for rendered images.

    At 256 x 256 it gives 12 x 12 scores.
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        widths = (3, 64, 128, 256, 512)
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            layers.append(nn.Conv2d(inputs, outputs, 5, stride=2, padding=1))
            if inputs > 3:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 4))


def score_error(scores: Tensor, wanted: float) -> Tensor:
    """Return the mean squared distance of scores from the wanted one: the loss of least-squares GANs."""
    return (scores.float() - wanted).square().mean()
