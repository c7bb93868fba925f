"""Which process is this, and is that one still alive?

A process id alone is reused by the next process; together with the boot id, the host and the moment the process
started it names one process for ever. Standard library only.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, nameable from another process or another machine.

    started  clock ticks after boot at which the process started; None where the system does not tell
    boot_id  changes at every boot of the machine; None where the system does not tell
    """

    pid: int
    host: str
    boot_id: str | None
    started: int | None

    def as_json(self) -> dict[str, int | str | None]:
        return {"pid": self.pid, "host": self.host, "boot_id": self.boot_id, "process_started": self.started}

    @classmethod
    def from_json(cls, data: object) -> "Identity | None":
        """The identity in an object written by `as_json`, or in a record that holds it; None when there is none."""
        if not isinstance(data, dict) or not isinstance(data.get("pid"), int) or not isinstance(data.get("host"), str):
            return None
        boot_id, started = data.get("boot_id"), data.get("process_started")
        return cls(
            pid=data["pid"],
            host=data["host"],
            boot_id=boot_id if isinstance(boot_id, str) else None,
            started=started if isinstance(started, int) else None,
        )

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def identity() -> Identity:
    """The identity of the calling process."""
    pid = os.getpid()
    return Identity(pid=pid, host=socket.gethostname(), boot_id=_boot_id(), started=_started(pid))


def alive(who: Identity) -> bool | None:
    """Whether that process still runs; None when it cannot be told from here, because it lives on another host."""
    if who.host != socket.gethostname():
        return None
    if who.boot_id is not None and who.boot_id != _boot_id():
        return False
    try:
        os.kill(who.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and belongs to somebody else
    if who.started is None:
        return True
    if _is_zombie(who.pid):
        return False
    started = _started(who.pid)
    return started is None or started == who.started


def resident_bytes() -> int | None:
    """Resident memory of the calling process in bytes; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _status_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the command name, which may itself hold spaces and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _started(pid: int) -> int | None:
    fields = _status_fields(pid)
    return int(fields[19]) if len(fields) > 19 else None  # field 22 of the file, see proc(5)


def _is_zombie(pid: int) -> bool:
    """A killed process whose parent has not collected it yet still answers to signal 0."""
    return _status_fields(pid)[:1] in (["Z"], ["X"])
