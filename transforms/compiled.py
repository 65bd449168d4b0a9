"""The compiled library `hdnet-kernels` (folder `kernels/`), which is optional.

It is plain C and loaded by ctypes, which gives up Python's lock for as long as a call takes. Whoever calls it says
which functions, and does without where it is not installed.
"""

import ctypes
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULE = "hdnet_kernels"
"""The library lies where Python would find a module of this name."""
INTERFACE = 2
"""The library's `hdnet_interface` that this program knows."""


def find() -> Path | None:
    """Return where the library is installed, if it is."""
    found = importlib.util.find_spec(MODULE)
    return Path(found.origin) if found and found.origin else None


def load(path: Path, functions: Mapping[str, Sequence[Any]]) -> ctypes.CDLL:
    """Load the library, to call some functions of it that return nothing.

    Args:
        path: The library.
        functions: For each the types of its arguments.

    Raises:
        OSError: It cannot be loaded.
        ImportError: It is from another version of this program.
    """
    library = ctypes.CDLL(str(path))
    if ctypes.c_int32.in_dll(library, "hdnet_interface").value != INTERFACE:
        raise ImportError(f"{path} is from another version: install or remove hdnet-kernels", path=str(path))
    for name, types in functions.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, None
    return library
