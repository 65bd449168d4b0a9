"""Hears what the C library that decodes TIFF for Pillow has to say: it prints errors to the terminal and goes on."""

import contextlib
import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from typing import Any

from PIL import Image

_heard = threading.local()  # has `errors`, a list, while this thread listens


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Raise what the library says about the data decoded within, in this thread.

    Raises:
        ValueError: It found something wrong, whether it decoded the pixels or not.
    """
    _listen()
    _heard.errors = []
    try:
        yield
    except Exception as error:
        if _heard.errors:
            raise ValueError(_heard.errors[0]) from error
        raise
    finally:
        said, _heard.errors = _heard.errors, None
    if said:
        raise ValueError(said[0])


@functools.cache
def _listen() -> Any:
    """Put our handler in the library's place for errors; where it cannot be found, its lines stay on the terminal."""
    libc = ctypes.CDLL(None)
    libc.vsnprintf.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]

    @ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    def handler(module: bytes | None, form: bytes, values: int) -> None:
        buffer = ctypes.create_string_buffer(300)
        libc.vsnprintf(buffer, len(buffer), form, values)
        text = buffer.value.decode(errors="replace")
        errors = getattr(_heard, "errors", None)
        if errors is None:  # another's file
            print(f"{(module or b'libtiff').decode(errors='replace')}: {text}.", file=sys.stderr)
        else:
            errors.append(text)

    try:
        # The library is one that Pillow's own needs, so its names are found through that one.
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler.argtypes = [ctypes.c_void_p]
        library.TIFFSetErrorHandler(ctypes.cast(handler, ctypes.c_void_p))
    except (AttributeError, OSError):
        return None
    return handler  # kept alive by the cache
