"""Links from a page to other files that work where the page lies."""

import os.path
import re
from urllib.parse import quote

CONSOLES = {
    "gs": "https://storage.cloud.google.com/{bucket}/{key}",
    "s3": "https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={key}",
}
"""Where a store shows a file to whoever is signed in. A page that is read from a bucket cannot link relatively: the
address under which a browser gets it ends with a signature that is good for the page alone."""

_URI = re.compile("(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<bucket>[^/]*)/?(?P<key>.*)")


def link(uri: str, page: str) -> str | None:
    """Return the link from a page to a file, None where no link would work.

    Args:
        uri: Path or URI of the file.
        page: Path or URI of the page.
    """
    if found := _URI.match(uri):
        template = CONSOLES.get(found["scheme"])
        return template and template.format(bucket=quote(found["bucket"]), key=_quoted(found["key"]))
    return None if _URI.match(page) else _quoted(os.path.relpath(uri, os.path.dirname(page)))


def _quoted(path: str) -> str:
    return quote(path, errors="replace")
