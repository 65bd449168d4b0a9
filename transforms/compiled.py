"""The compiled library `hdnet-kernels` (folder `kernels/`), which is optional.

It is plain C and loaded by ctypes, which gives up Python's lock for as long as a call takes.
"""

import ctypes
import importlib.util
from ctypes import c_float, c_int, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from hdnet.transforms.errors import VersionError

MODULE = "hdnet_kernels"
"""The library lies where Python would find an extension module of this name."""
INTERFACE = 3
"""The library's `hdnet_interface` that this program knows."""
FUNCTIONS = {
    "hdnet_read": [c_void_p, c_void_p, *[c_int64] * 3, *[c_void_p] * 5, c_float, c_int, c_int, c_void_p],
    "hdnet_moments": [c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_int, c_void_p],
    "hdnet_merge": [c_void_p, c_int64, c_int64, c_int64, c_void_p],
    "hdnet_total": [c_void_p, c_int64, c_int64, c_void_p, c_int, c_void_p],
    "hdnet_choose": [c_void_p, c_void_p, c_int64, c_int64, c_void_p],
    "hdnet_rectify": [c_void_p, c_int64, c_int],
    "hdnet_search": [c_void_p, c_void_p, c_int64, *[c_void_p] * 4],
    "hdnet_compare": [c_void_p, c_void_p, c_void_p, *[c_int64] * 4, c_void_p],
}
"""The library's functions, none of which returns anything, and the types of their arguments."""


@cache
def installed() -> ctypes.CDLL | None:
    """Return the library if it is installed.

    Raises:
        VersionError: As for `load`.
    """
    path = find()
    return load(path) if path else None


def find() -> Path | None:
    """Return where the library is installed, if it is."""
    found = importlib.util.find_spec(MODULE)
    origin = found.origin if found else None
    return Path(origin) if origin and origin.endswith(tuple(EXTENSION_SUFFIXES)) else None


def load(path: Path) -> ctypes.CDLL:
    """Load a library.

    Raises:
        VersionError: It is from another version of this program, or cannot be loaded.
    """
    try:
        loaded = ctypes.CDLL(str(path))
        found = constant(loaded, "hdnet_interface")
        if found != INTERFACE:
            raise ValueError(f"interface {found}")
        for name, types in FUNCTIONS.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = types, None
    except (OSError, ValueError, AttributeError) as error:
        raise VersionError(
            f"{path} does not have interface {INTERFACE}, which this program needs ({error}); in the checkout, say "
            f"`pip install --force-reinstall ./kernels`, or `pip uninstall hdnet-kernels` to do without"
        ) from error
    return loaded


def constant(library: ctypes.CDLL, name: str) -> int:
    """Return the value of an int32 that a library exports.

    Raises:
        ValueError: There is none of this name.
    """
    return ctypes.c_int32.in_dll(library, name).value
