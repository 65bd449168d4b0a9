"""Encoded bytes to arrays: the names that the rest of the program uses."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs.decode import decode as decode
from hdnet.transforms.codecs.decode import decode_image as decode_image
from hdnet.transforms.codecs.header import check_size as check_size
from hdnet.transforms.codecs.header import read as header
from hdnet.transforms.codecs.mask import FOREGROUND_FROM as FOREGROUND_FROM
from hdnet.transforms.codecs.mask import decode_mask as decode_mask
from hdnet.transforms.codecs.mask import resize_mask_to as resize_mask_to
from hdnet.transforms.codecs.mask import soft_mask as soft_mask
from hdnet.transforms.codecs.mask import threshold as threshold
from hdnet.transforms.codecs.picture import MAX_PIXELS as MAX_PIXELS
from hdnet.transforms.codecs.picture import Foreground as Foreground
from hdnet.transforms.codecs.picture import Format as Format
from hdnet.transforms.codecs.picture import Header as Header
from hdnet.transforms.codecs.picture import Mask as Mask
from hdnet.transforms.codecs.picture import Picture as Picture
from hdnet.transforms.codecs.picture import Pixels as Pixels

__all__ = [
    "FOREGROUND_FROM",
    "MAX_PIXELS",
    "Foreground",
    "Format",
    "Header",
    "Mask",
    "Picture",
    "Pixels",
    "check_size",
    "decode",
    "decode_image",
    "decode_mask",
    "encode_png",
    "header",
    "resize_mask_to",
    "soft_mask",
    "threshold",
]


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Write an (H,W,3) uint8 image, or an (H,W) uint8 mask, as PNG; the same pixels always give the same bytes.

    Raises:
        ShapeError: Another shape or dtype.
    """
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise errors.ShapeError(f"a PNG is written from (H,W,3) or (H,W) uint8, not {pixels.shape} {pixels.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
