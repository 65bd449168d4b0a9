"""What a network will take, told without loading one."""

from typing import Literal

from hdnet.model.training.config import HDNetConfig

LARGE = 1 << 22
"""Values of the first map from which threads share out an image's strips (`model/architectures/hdnet/engine.py`)."""


def peak_bytes(config: HDNetConfig, height: int, width: int, precision: Literal["float32", "bfloat16"]) -> int:
    """Return about how many bytes a network of this configuration takes at its peak, the process itself included.

    Fitted to peaks measured on a CPU with two threads, hdnet and hdnet-lite between 256 x 256 and 4096 x 4096; within
    12 % of them. The mask matters little: the peak is where the decoder's first maps and all skips live, which no mask
    shrinks.
    """
    per_channel = {"float32": 14.2, "bfloat16": 8.75}[precision]
    height, width = (-(-side // 8) * 8 for side in (height, width))  # as it is padded
    values = height * width * config.width
    weights = 60_000 * config.width**2  # and what convolutions make of them
    strips = 90_000_000 if values >= LARGE else 0
    return 280_000_000 + weights + strips + int(30 * height * width + per_channel * values)
