"""What an error of a store or disk means: for another attempt, for the run, and in a user's words."""

import errno
import ssl

_NO_CREDENTIALS = ("NoCredentialsError", "DefaultCredentialsError")
"""botocore's and google.auth's classes, by name because they are slow to load."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_transient(error: BaseException) -> bool:
    """Say whether a call may succeed if made again: after 408, 429, 5xx, resets, timeouts and damaged answers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    code = status(error)
    if code is not None:
        return code in (408, 429) or code >= 500
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    return type(error).__module__ != "builtins" and isinstance(error, _network_errors())


def is_final(error: Exception, on_disk: bool) -> bool:
    """Say whether a failure to write one file to a disk or a store means that no other file can be written either.

    A folder of a disk that cannot be written to affects that file alone; a bucket affects the whole output.
    """
    if on_disk:
        return isinstance(error, OSError) and error.errno in (*_FULL, errno.EROFS)
    # A store creates its folders itself, so what was not found is the bucket.
    if isinstance(error, PermissionError | FileNotFoundError) or type(error).__name__ in _NO_CREDENTIALS:
        return True
    return status(error) in (401, 403)


def status(error: BaseException) -> int | None:
    """Return the HTTP status behind a backend's error, or None."""
    response = getattr(error.__cause__ or error, "response", None)  # s3fs makes an OSError of botocore's error
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif type(error) is OSError and str(error).startswith("Forbidden: "):
        return 403  # gcsfs says so in words only
    else:
        found = getattr(error, "code", None)
    return int(found) if str(found).isdecimal() else None


def reason(error: Exception, uri: str) -> str:
    """Say why a file cannot be read or written, and what helps."""
    number, code = getattr(error, "errno", None), status(error)
    if isinstance(error, FileNotFoundError):
        bucket = ", or no such bucket" if uri.startswith(("gs://", "s3://")) else ""
        return f"there is no such file{bucket}: correct the name"
    if type(error).__name__ in _NO_CREDENTIALS:
        return "no credentials were found: sign in"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(getattr(error, "certificate_error", error), "verify_message", error)
        return f"the server's certificate is not trusted ({why}): renew it, or name that of its issuer in SSL_CERT_FILE"
    if code == 401:
        return "the store does not accept the credentials (401): sign in again"
    if isinstance(error, PermissionError) or code == 403:
        return "access is denied: grant it to the account that runs this"
    if isinstance(error, IsADirectoryError):
        return "it is a folder: name a file"
    if isinstance(error, NotADirectoryError | FileExistsError):
        return "a file stands where a folder must be: remove it, or choose another name"
    if number in _FULL:
        return "the disk is full: free some space and run again"
    if number == errno.EROFS:
        return "the disk is read-only: choose another one"
    if is_transient(error):
        return f"the store repeatedly failed to answer properly ({error!r}): run again later"
    return str(error) or repr(error)


def _network_errors() -> tuple[type[Exception], ...]:
    """Return the classes by which backends report a broken connection: they have no common root, and no status."""
    import aiohttp  # loaded only where one of these may have been raised
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
