"""What a decoded image is: its header, its pixels, and what must be written back with them."""

import dataclasses
from typing import Self

from hdnet.transforms.pixels.image import Pixels, Plane


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says about its image, read before any pixel is decoded.

    Attributes:
        width: Width of the upright image.
        height: Height of the upright image.
        format: Name of its codec, such as "jpeg"; decided by content, never by extension.
        bits: Bits of one channel as it is decoded: 1, 2, 4, 8 or 16.
        channels: Stored per pixel: 1 grey or palette, 2 grey and alpha, 3 RGB, 4 RGBA or CMYK.
        lossy: The pixels were compressed with loss, so a flat area may hold noise.
        orientation: EXIF's, 1 to 8; `width` and `height` have it applied.
    """

    width: int
    height: int
    format: str
    bits: int
    channels: int
    lossy: bool
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height before the orientation is applied."""
        return (self.width, self.height) if self.orientation < 5 else (self.height, self.width)

    def turned(self, orientation: int) -> Self:
        """Return the header of an image stored in this size with an EXIF orientation, 1 to 8."""
        size = (self.width, self.height) if orientation < 5 else (self.height, self.width)
        return dataclasses.replace(self, width=size[0], height=size[1], orientation=orientation)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded image, upright.

    Attributes:
        pixels: (H,W,3) uint8 or uint16 RGB; three equal channels where `grey`.
        alpha: (H,W) in the dtype of `pixels`, not multiplied into them, or None.
        grey: The file holds one grey channel, so that is what is written back.
        format: Name of the codec that read it, such as "jpeg".
        icc: Its ICC profile, if it describes `pixels`.
        exif: Its EXIF block (without the "Exif\\0\\0" before it), with orientation 1.
        dpi: Horizontal and vertical dots per inch.
        png_colour: Type and content of a PNG's other chunks that say what the numbers mean, such as gAMA.
    """

    pixels: Pixels
    alpha: Plane | None
    grey: bool
    format: str
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_colour: tuple[tuple[bytes, bytes], ...] = ()
