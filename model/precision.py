"""The precisions that a network computes in."""

from typing import Literal, get_args

Precision = Literal["float32", "bfloat16"]
"""The number type of the convolutions; statistics, searches and blends are in float32 or better."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
