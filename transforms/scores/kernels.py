"""The sums of `similarity` over a tile by the compiled library (`transforms/compiled.py`), if it is installed."""

import ctypes
from ctypes import byref, c_double, c_int, c_int64, c_void_p

import numpy as np

from hdnet.transforms import compiled
from hdnet.transforms.pixels.image import Foreground, Pixels

IS_WIDE = {np.dtype(np.uint8): False, np.dtype(np.uint16): True}


def installed() -> "CompiledSums | None":
    """Return what sums by the library, if it is installed.

    Raises:
        VersionError: It is from another version of this program.
    """
    library = compiled.installed()
    return CompiledSums(library) if library else None


class CompiledSums:
    """Sums by the compiled library.

    Args:
        library: As `compiled` loads it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.compiled = library

    def compare(
        self, image: Pixels, reference: Pixels, foreground: Foreground, box: tuple[slice, slice]
    ) -> tuple[float, ...]:
        """Return the fields of `similarity.Sums` over a tile. All arrays are contiguous and of one height and width.

        Args:
            image: (H,W,3) uint8 or uint16.
            reference: Likewise.
            foreground: (H,W) bool.
            box: The tile, inside the image.
        """
        rows, columns = box
        found = (c_double * 4)()
        self.compiled.hdnet_compare(
            byref(_seen_from_c(image)), byref(_seen_from_c(reference)), foreground.ctypes.data,
            rows.start, rows.stop, columns.start, columns.stop, found,
        )  # fmt: skip
        return tuple(found)


class _Image(ctypes.Structure):
    """`Image` in the library's source."""

    _fields_ = [("values", c_void_p), ("height", c_int64), ("width", c_int64), ("is_wide", c_int)]


def _seen_from_c(image: Pixels) -> _Image:
    return _Image(image.ctypes.data, *image.shape[:2], IS_WIDE[image.dtype])
