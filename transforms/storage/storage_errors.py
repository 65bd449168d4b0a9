"""What an error of some storage means: for the run, and in a user's words."""

import errno

from hdnet.transforms.storage import clients

_NO_CREDENTIALS = (
    "NoCredentialsError",
    "DefaultCredentialsError",
)  # botocore's and google.auth's, which are slow to load
_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_final(error: Exception, on_disk: bool) -> bool:
    """Say whether a failure to write one file, on a local disk or a store, means that no other can be written either.

    A folder of a disk that may not be written to is that file's trouble alone; a bucket is the whole output's.
    """
    if on_disk:
        return isinstance(error, OSError) and error.errno in (*_FULL, errno.EROFS)
    # A store makes its folders: what was not found is the bucket.
    if isinstance(error, PermissionError | FileNotFoundError) or type(error).__name__ in _NO_CREDENTIALS:
        return True
    return clients.status(error) in (401, 403)


def reason(error: Exception) -> str:
    """Say why a file cannot be read or written, and what can be done."""
    number, code = getattr(error, "errno", None), clients.status(error)
    if isinstance(error, FileNotFoundError):
        return "there is no such file, or no such bucket: correct the name"
    if type(error).__name__ in _NO_CREDENTIALS:
        return "no credentials are found: sign in"
    if code == 401:
        return "the store does not know who asks (401): sign in again"
    if isinstance(error, PermissionError) or code == 403:
        return "access is denied: give the account that runs this the right to it"
    if isinstance(error, IsADirectoryError):
        return "it is a folder: name a file"
    if isinstance(error, NotADirectoryError | FileExistsError):
        return "a file stands where a folder must be: remove it, or choose another name"
    if number in _FULL:
        return "the disk is full: make room and run again"
    if number == errno.EROFS:
        return "the disk is read-only: choose another one"
    if clients.is_transient(error):
        return f"the store did not answer as it should, again and again ({error!r}): run again later"
    return str(error) or repr(error)
