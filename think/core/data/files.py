"""Disk errors in words, for whatever writes data."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from think.core.errors import InputOutput

BLOCK_BYTES = 1 << 20
"""Read size: large enough that Python's overhead vanishes, small enough to be nothing in memory."""

_REMEDIES = {
    errno.ENOSPC: "free some space on this disk, or choose another folder; what is finished is kept and reused",
    errno.EDQUOT: "free some of your quota, or choose another folder; what is finished is kept and reused",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "permission is denied: choose another folder, or change its permissions",
    errno.EPERM: "this is not permitted: choose another folder",
}


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn an OSError inside into InputOutput that names the place and says what to do."""
    try:
        yield
    except OSError as error:
        raise InputOutput(
            f"cannot write: {error.strerror or error}",
            where=str(error.filename or place),
            remedy=_REMEDIES.get(error.errno or 0, "look at the disk, then run the same command again"),
        ) from error
