"""Clients of object stores: how they are set up, and how often their calls are attempted.

fsspec keeps one client for each process and set of options; threads share it, and a forked process makes a new one.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity
from fsspec import AbstractFileSystem

from hdnet.transforms.storage import storage_errors

IDLE = 30.0
"""Seconds without a byte after which a request is abandoned and made again."""
PATIENCE = 300.0
"""Seconds that one call may take, and after which a failed one is not made again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds: the upper bound of the random pause before the first new attempt, and the largest bound."""
MOST_UNANSWERED = 3
"""The number of consecutive calls without an answer after which a store counts as dead."""

_unanswered = Counter[AbstractFileSystem]()  # consecutive calls without an answer, by store
_counting = threading.Lock()

Result = TypeVar("Result")


def options(uri: str) -> dict[str, Any]:
    """Return the options of the client for a URI, none for a file system that needs no client."""
    scheme = uri.partition("://")[0]
    if scheme in ("gs", "https"):
        import aiohttp  # slow, and only these clients need it

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=IDLE, sock_read=IDLE)
        if scheme == "https":
            return {"client_kwargs": {"timeout": timeout}, "use_listings_cache": False}
        # By default gcsfs does not check that what arrived is what was sent.
        return {"requests_timeout": timeout, "consistency": "md5", "use_listings_cache": False}
    if scheme == "s3":
        retries = {"mode": "standard", "max_attempts": 6}  # exponential, with jitter
        config = {"connect_timeout": IDLE, "read_timeout": IDLE, "retries": retries}
        # With more than one reader, s3fs asks for a file's size before each read.
        return {"config_kwargs": config, "max_concurrency": 1, "use_listings_cache": False}
    return {}


def retry(files: AbstractFileSystem, call: Callable[[], Result]) -> Result:
    """Call until it succeeds, fails for good or `PATIENCE` is over, with exponential back-off and full jitter.

    gcsfs and botocore attempt a request six times within half a minute. Where a store answers a quarter of all
    requests with 503, one in 5,000 still fails, and neither library notices every stall.

    Args:
        files: The store or disk that is asked.
        call: A call that may be made again.

    Raises:
        Exception: The error of the last attempt.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(storage_errors.is_transient),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
        stop=tenacity.stop_before_delay(PATIENCE),
        reraise=True,
    )
    try:
        result = attempts(call)
    except Exception as error:
        _count(files, answered=not storage_errors.is_transient(error))
        raise
    _count(files, answered=True)
    return result


def is_dead(files: AbstractFileSystem) -> bool:
    """Say whether this process's last calls of a store had no answer, so that the next one would have none either."""
    return _unanswered[files] >= MOST_UNANSWERED


def _count(files: AbstractFileSystem, *, answered: bool) -> None:
    with _counting:
        _unanswered[files] = 0 if answered else _unanswered[files] + 1
