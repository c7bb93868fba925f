"""One writer of a handoff log at a time, also between processes. Standard library only."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from think.core.errors import InputOutput, Locked
from think.core.telemetry.process import Identity, identity

LOCK_SECONDS = 10.0
"Patience with other writers: an event takes a millisecond, so whoever holds on longer is stuck."

_NAME_BYTES = 511
"Every name is as long as every other, so that one write puts it in the place of the last."

_FIRST_NAP, _LONGEST_NAP = 0.0002, 0.002


def lock_file(folder: Path) -> Path:
    return folder / ".lock"


@contextmanager
def exclusive(folder: Path, patience: float = LOCK_SECONDS) -> Iterator[None]:
    """Be the only writer inside the `with`. Raises Locked, naming the holder, and InputOutput."""
    path = lock_file(folder)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot("write the handoff log", path, error) from error
    try:
        _wait(descriptor, path, patience)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def being_written(folder: Path) -> bool:
    """Whether somebody holds the lock at this moment."""
    try:
        descriptor = os.open(lock_file(folder), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _wait(descriptor: int, path: Path, patience: float) -> None:
    deadline, nap = time.monotonic() + patience, _FIRST_NAP
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                who = _holder(path)
                raise Locked(
                    f"the handoff log has been locked for {patience:g} s by {who or 'another process'}",
                    where=str(path),
                    expected="a writer that is done within a second",
                    remedy="try again" + (f", or see what process {who.pid} does" if who else ""),
                ) from None
        except OSError as error:
            raise cannot("lock the handoff log", path, error) from error
        time.sleep(nap)
        nap = min(nap * 2, _LONGEST_NAP)


def _sign(descriptor: int) -> None:
    """Leave our name for whoever waits; a full disk is no reason to stop here."""
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, _name(os.getpid()), 0)


@cache
def _name(pid: int) -> bytes:
    """Who this process is; asked again in a process that was forked."""
    return json.dumps(identity().as_json()).ljust(_NAME_BYTES).encode("ascii") + b"\n"


def _holder(path: Path) -> Identity | None:
    try:
        return Identity.from_json(json.loads(path.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return None


def cannot(what: str, path: Path, error: OSError) -> InputOutput:
    """The error of a disk that is full, read-only or failing."""
    return InputOutput(
        f"cannot {what}: {error.strerror or error}",
        where=str(path),
        expected="a folder that can be written, on a disk with room",
        remedy="free some space or change its permissions; nothing was changed",
    )
