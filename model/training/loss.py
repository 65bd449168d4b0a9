"""The loss that harmonization networks share."""

from torch import Tensor


def foreground_mse(result: Tensor, real: Tensor, mask: Tensor, smallest: float = 100.0) -> Tensor:
    """Return each image's squared error per foreground pixel and channel, (B,).

    The paper's foreground-normalised MSE before the mean over the batch: the denominator never falls
    below `smallest` pixels, so a tiny foreground does not outweigh the others.

    Args:
        result: (B,3,H,W) in [-1, 1].
        real: Likewise.
        mask: (B,1,H,W) of 0 and 1.
        smallest: A_min of the paper, in pixels.
    """
    error = (result.float() - real).square().sum((1, 2, 3))
    return error / (3 * mask.sum((1, 2, 3)).clamp_min(smallest))
