"""Hears what the C library that decodes TIFF for Pillow has to say: it prints errors to the terminal and goes on."""

import contextlib
import ctypes
import functools
import sys
import threading
from collections.abc import Iterator

from PIL import _imaging

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
def _listen() -> object:
    """Put our handler in the library's place for errors; where it cannot be found, its lines stay on the terminal.

    Returns:
        The handler, which the cache keeps alive.
    """
    handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_hear)
    with contextlib.suppress(AttributeError, OSError):
        # The library is one that Pillow's own needs, so its functions are found through that one.
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(ctypes.cast(handler, ctypes.c_void_p))
    return handler


def _hear(module: bytes | None, form: bytes, values: int) -> None:
    """Take what C's `vprintf` would print: a format, and where its values are."""
    buffer = ctypes.create_string_buffer(300)
    ctypes.CDLL(None).vsnprintf(buffer, ctypes.c_size_t(len(buffer)), form, ctypes.c_void_p(values))
    text = buffer.value.decode(errors="replace")
    said = getattr(_heard, "errors", None)
    if said is None:  # about somebody else's file
        print(f"{(module or b'libtiff').decode(errors='replace')}: {text}", file=sys.stderr)
    else:
        said.append(text)
