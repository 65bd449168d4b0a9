"""What a listing says of a file, however the store puts it."""

import contextlib
import os
from datetime import datetime
from typing import Any, NamedTuple, Self


class Listed(NamedTuple):
    """What a listing says of a file.

    Attributes:
        version: What changes when the content does: its etag, or size and time of change.
        size: In bytes.
        modified: Seconds since 1970; None where it is not told.
    """

    version: str
    size: int
    modified: float | None

    @classmethod
    def of(cls, info: dict[str, Any]) -> Self:
        """Read an entry of a listing by fsspec."""
        if info.get("islink"):  # of a local link, the listing gives the link's own time
            with contextlib.suppress(OSError):
                info = {**info, "mtime": os.stat(info["name"]).st_mtime}
        time = next((info[name] for name in ("mtime", "LastModified", "updated", "created") if info.get(name)), None)
        etag = info.get("etag") or info.get("ETag")
        return cls(str(etag or f"{info['size']} {time}"), info["size"], _seconds(time))


def _seconds(time: float | str | datetime | None) -> float | None:
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime) else time
