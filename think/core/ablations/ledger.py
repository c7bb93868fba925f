"""What was begun, finished or failed: one file of JSON lines for all studies, so that equal cells are trained once.

    begun      a training starts or goes on            stopped   it was told to stop, or killed; it can go on
    finished   it is done, with all its figures        failed    it ended with an error, whose message is kept
    measured   figures that were added later           budget    minutes that were turned into steps

A line is one write on an appending descriptor under a lock, so writers neither mix nor lose lines; a line that a killed
process left unfinished is closed by the next writer and passed over by readers. Standard library only.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from think.core.errors import InputOutput
from think.core.telemetry.process import identity

NAME = "ledger.jsonl"

State = Literal["absent", "begun", "stopped", "finished", "failed"]


@dataclass
class Entry:
    """All that is known of one cell. `seconds` are of the sessions that could still write how long they took."""

    cell: str
    state: State = "absent"
    study: str = ""
    variant: str = ""
    seed: int = 0
    run: str = ""
    seconds: float = 0.0
    message: str | None = None
    exit: int | None = None
    figures: dict[str, float] = field(default_factory=dict)
    measures: list[str] = field(default_factory=list)
    parameters: int = 0
    shared: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    commit: str | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event in; what is finished stays finished."""
        kind = event["event"]
        if kind == "measured" or self.state == "finished":
            if kind == "measured":
                self.figures |= event["figures"]
                self.measures = sorted({*self.measures, *event["measures"]})
            return
        self.state = kind
        for name in ("study", "variant", "seed", "run", "parameters", "shared", "code", "commit"):
            if name in event:
                setattr(self, name, event[name])
        self.message, self.exit = event.get("message"), event.get("exit")
        self.seconds += event.get("seconds", 0.0)
        if kind == "finished":
            self.figures, self.measures = dict(event["figures"]), list(event["measures"])


@dataclass
class Contents:
    """The ledger as it stands. `garbage`: lines that are none."""

    entries: dict[str, Entry] = field(default_factory=dict)
    budgets: dict[str, dict[str, Any]] = field(default_factory=dict)
    garbage: int = 0

    def of(self, cell: str) -> Entry:
        return self.entries[cell] if cell in self.entries else Entry(cell)


@dataclass(frozen=True)
class Ledger:
    """The file in `folder`, which need not exist yet."""

    folder: Path
    clock: Callable[[], float] = time.time

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def append(self, event: str, facts: Mapping[str, Any]) -> None:
        """Write one event, forced to the disk. Raises InputOutput."""
        line = json.dumps({"event": event, "time": round(self.clock(), 3), "by": identity().as_json(), **facts})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _write(descriptor, line.encode("ascii") + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InputOutput(
                f"cannot write the ledger of ablations: {error.strerror or error}",
                where=str(self.path),
                expected="a folder that can be written, on a disk with room",
                remedy="free some space or change its permissions, and run the study again",
            ) from error

    def read(self) -> Contents:
        """Fold all events. Raises InputOutput when the file cannot be read; without one nothing has happened."""
        found = Contents()
        for event in self._events(found):
            if event["event"] == "budget":
                found.budgets.setdefault(event["key"], event)
            else:
                found.entries.setdefault(event["cell"], Entry(event["cell"])).take(event)
        return found

    def _events(self, contents: Contents) -> Iterator[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputOutput(f"cannot read the ledger: {error.strerror}", where=str(self.path)) from error
        for line in lines[:-1]:  # what follows the last newline is not finished, or never will be
            try:
                event = json.loads(line)
                if event["event"] == "budget":
                    _ = event["key"], event["steps"], event["tokens_per_second"]
                elif event["event"] in ("finished", "measured"):
                    _ = event["cell"], event["figures"].items(), list(event["measures"])
                elif event["event"] in ("begun", "stopped", "failed"):
                    _ = event["cell"]
                else:
                    raise ValueError(event["event"])
            except (ValueError, KeyError, TypeError, AttributeError):
                contents.garbage += bool(line.strip())
                continue
            yield event

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Whether this process alone works on the cell of that name inside the `with`; a killed process claims nothing.

        Raises InputOutput when the folder cannot be written.
        """
        folder = self.folder / "cells"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / f".{name}.claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InputOutput(f"cannot claim a cell: {error.strerror}", where=str(folder)) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free = True
            except BlockingIOError:
                free = False
            yield free
        finally:
            os.close(descriptor)


def _write(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line  # closes the line of a writer that was killed in the middle of it
    written = os.write(descriptor, line)
    if written != len(line):
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise OSError(28, "no space left on the device")
    os.fsync(descriptor)
