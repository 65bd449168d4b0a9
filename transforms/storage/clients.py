"""Clients of object stores: how they are set up, and which of their errors are worth another try.

fsspec keeps one client per process and set of options, shared by its threads and made anew after a fork.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from fsspec import AbstractFileSystem

IDLE = 30.0
"""Seconds without a byte, after which a request is given up and made again."""
PATIENCE = 300.0
"""Seconds that one call may take, and after which a failed one is not made again."""

MOST_UNANSWERED = 3
"""Calls of a store in a row that are given up before it counts as dead."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds

_unanswered = Counter[AbstractFileSystem]()  # calls in a row that were given up, by the store asked
_counting = threading.Lock()

Result = TypeVar("Result")


def options(uri: str) -> dict[str, Any]:
    """Return what the client for a URI is made with; nothing for a file system that needs no client."""
    scheme = uri.partition("://")[0]
    if scheme == "gs":
        import aiohttp  # slow, and only a client of an object store needs it

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=IDLE, sock_read=IDLE)
        # By its default gcsfs does not look whether what arrived is what was sent.
        return {"requests_timeout": timeout, "consistency": "md5", "use_listings_cache": False}
    if scheme == "s3":
        retries = {"mode": "standard", "max_attempts": 6}  # exponential, with jitter
        config = {"connect_timeout": IDLE, "read_timeout": IDLE, "retries": retries}
        # One reader: with more, s3fs asks for a file's size before each read.
        return {"config_kwargs": config, "max_concurrency": 1, "use_listings_cache": False}
    return {}


def retry(files: AbstractFileSystem, call: Callable[[], Result]) -> Result:
    """Call until it succeeds, fails for good or `PATIENCE` is over, with exponential back-off and full jitter.

    gcsfs and botocore make a failed request six times within half a minute before they give up. One in 5,000 does not
    get through even so where a store answers a quarter of all requests with 503, and neither notices every stall.

    Args:
        files: The store, or disk, that the call asks.
        call: May be made again.

    Raises:
        Exception: The last call's.
    """
    end, pause = time.monotonic() + PATIENCE, _FIRST_PAUSE
    while True:
        try:
            result = call()
            _count(files, answered=True)
            return result
        except Exception as error:  # the backends' errors have no common root
            alive = not is_transient(error)
            if alive or time.monotonic() + pause > end:
                _count(files, answered=alive)
                raise
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, _LONGEST_PAUSE)


def is_dead(files: AbstractFileSystem) -> bool:
    """Say whether this process's last calls of a store were all given up, so that the next one would be, too."""
    return _unanswered[files] >= MOST_UNANSWERED


def is_transient(error: Exception) -> bool:
    """Say whether a call may succeed if made again: 408, 429, 5xx, resets, timeouts and damaged answers."""
    code = status(error)
    if code is not None:
        return code in (408, 429) or code >= 500
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    return type(error).__module__ != "builtins" and isinstance(error, _network_errors())


def status(error: Exception) -> int | None:
    """Return the HTTP status that a backend's error comes from, or None."""
    response = getattr(error.__cause__ or error, "response", None)  # s3fs makes an OSError of botocore's error
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif type(error) is OSError and str(error).startswith("Forbidden: "):
        return 403  # gcsfs tells it in words only
    else:
        found = getattr(error, "code", None)
    return int(found) if str(found).isdecimal() else None


def _count(files: AbstractFileSystem, *, answered: bool) -> None:
    with _counting:
        _unanswered[files] = 0 if answered else _unanswered[files] + 1


def _network_errors() -> tuple[type[Exception], ...]:
    """Return the errors by which backends tell that a connection broke: they have no common root, and no status."""
    import aiohttp  # these are loaded only where one of them may have failed
    import gcsfs.retry
    import google.auth.exceptions
    import requests

    found = [aiohttp.ClientError, google.auth.exceptions.TransportError, gcsfs.retry.ChecksumError]
    found += [requests.ConnectionError, requests.Timeout]
    try:
        from s3fs.core import S3_RETRYABLE_ERRORS
    except ImportError:  # an extra
        return tuple(found)
    return (*found, *S3_RETRYABLE_ERRORS)
