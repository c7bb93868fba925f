"""Files that either stand whole or not at all: checksums, atomic writes, and disk errors in words."""

import errno
import hashlib
import os
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


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file, read in blocks."""
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            seen.update(block)
    return seen.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, fsync it, rename it. Raises OSError; the old file then stands untouched."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
