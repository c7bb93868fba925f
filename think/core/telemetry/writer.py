"""Writes the telemetry of one process. Standard library only.

One record is one `os.write` on an O_APPEND descriptor, so a killed process loses no record whose `write` returned, and
a reader sees at most one torn line at the very end. Each process start opens a new numbered segment, and so does each
short write, because the line it tore cannot be mended; a live file is never renamed and never cut.

Telemetry must not stop training: a record that cannot be written is dropped and counted, and the count is written as a
`log` record as soon as writing works again.
"""

import contextlib
import os
import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from think.core.errors import Diverged, Interrupted, Terminated
from think.core.telemetry.process import identity, resident_bytes
from think.core.telemetry.records import Record, encode

HEARTBEAT_SECONDS = 10.0
LARGEST_SEGMENT = 64 * 1024 * 1024
"Bytes after which the next record opens a new segment, so that old ones can be archived while a run goes on."

DURABLE = frozenset({"checkpoint", "run_end"})
"Kinds after which the file is forced to the disk: what a checkpoint tells must survive a power cut as it does."

UNWRITABLE = (TypeError, ValueError, RuntimeError, AttributeError, OverflowError)
"What a value without a written form may raise, such as a list that holds itself or a tensor without data."

_SEGMENT = re.compile(r"telemetry-(\d{4,})\.jsonl")


class Clock:
    """Time as the writer sees it; tests hand in another one."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait until `stop` is set or the seconds are over; true when it is set."""
        return stop.wait(seconds)


def segments(folder: Path) -> list[Path]:
    """Telemetry files of a run folder, oldest first; empty when there is no such folder."""
    try:
        found = [(int(match[1]), entry) for entry in folder.iterdir() if (match := _SEGMENT.fullmatch(entry.name))]
    except OSError:
        return []
    return [path for _, path in sorted(found)]


def segment_number(path: Path) -> int:
    """The number in a segment's name."""
    match = _SEGMENT.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is no telemetry segment")
    return int(match[1])


class Writer:
    """The one writer of a run's telemetry in this process; hold the run's lock while it is open.

    folder  the run folder, which exists.   run  the run's name, written into each record.
    Never raises and never retries in a loop; `dropped` counts what was lost.
    """

    def __init__(
        self,
        folder: Path,
        *,
        run: str | None = None,
        clock: Clock | None = None,
        heartbeat_seconds: float | None = HEARTBEAT_SECONDS,
        largest_segment: int = LARGEST_SEGMENT,
    ):
        self.folder, self.run = folder, run if run is not None else folder.name
        self.dropped = 0
        self._clock = clock or Clock()
        self._largest_segment = largest_segment
        self._lock = threading.RLock()  # re-entrant: a signal handler may write while a write is under way
        self._descriptor: int | None = None
        self._size = 0
        self._torn = False
        self._sequence = 0
        self._unreported = 0
        self._step: int | None = None
        self._started = self._clock.monotonic()
        self._pid = os.getpid()
        self._closed = False
        self._stop = threading.Event()
        self._open_segment()
        self._heart: threading.Thread | None = None
        if heartbeat_seconds is not None:
            self._heart = threading.Thread(
                target=self._beat_until_stopped, args=(heartbeat_seconds,), name="telemetry-heartbeat", daemon=True
            )
            self._heart.start()

    def write(self, kind: str, step: int | None = None, **fields: Any) -> None:
        """Append one record; `run_start` gets the identity of this process added. `fields`: see records.py."""
        if os.getpid() != self._pid:
            return  # a forked child holds a copy of this object; the file has one writer
        if kind == "run_start":
            fields = identity().as_json() | fields
        with self._lock:
            if self._closed:
                return
            if step is not None:
                self._step = step
            if self._unreported:
                self._report_dropped()
            if not self._append(kind, step, fields):
                self.dropped += 1
                self._unreported += 1
            elif kind in DURABLE:
                self._sync()

    def beat(self) -> None:
        """Write one heartbeat, with the latest step seen."""
        self.write("heartbeat", self._step, resident_bytes=resident_bytes(), dropped=self.dropped)

    def close(self, status: str, message: str | None = None) -> None:
        """Write `run_end` and stop the heartbeat. status: one of records.STATUSES. A second call does nothing."""
        if self._closed or os.getpid() != self._pid:
            return
        self._stop.set()
        ending = {} if message is None else {"message": message}
        seconds = self._clock.monotonic() - self._started
        self.write("run_end", self._step, status=status, seconds=seconds, dropped=self.dropped, **ending)
        with self._lock:
            self._closed = True
            self._close_segment()
        if self._heart is not None and self._heart is not threading.current_thread():
            self._heart.join(timeout=1.0)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(status_of(error), None if error is None else str(error).partition("\n")[0] or type(error).__name__)

    def _beat_until_stopped(self, seconds: float) -> None:
        while not self._clock.wait(self._stop, seconds):
            self.beat()

    def _report_dropped(self) -> None:
        count = self._unreported
        message = f"{count} telemetry record{'s' if count > 1 else ''} could not be written"
        if self._append("log", self._step, {"level": "warning", "message": message, "dropped": count}):
            self._unreported = 0

    def _append(self, kind: str, step: int | None, fields: dict[str, Any]) -> bool:
        """Write one line; false when it did not get to the file whole."""
        sequence = self._sequence
        self._sequence += 1
        now, mono = self._clock.time(), self._clock.monotonic()
        try:
            line = encode(Record(kind=kind, step=step, fields=fields, run=self.run, seq=sequence, time=now, mono=mono))
        except UNWRITABLE:
            return False
        return self._write_line(line) or (self._torn and self._write_line(line))

    def _write_line(self, line: bytes) -> bool:
        if self._descriptor is None or self._torn or self._size >= self._largest_segment:
            self._open_segment()
        if self._descriptor is None or self._torn:
            return False
        try:
            written = os.write(self._descriptor, line)
        except OSError:
            return False
        self._size += written
        self._torn = 0 < written < len(line)
        return written == len(line)

    def _open_segment(self) -> None:
        """Go on in a new segment; without one (full disk, no permission) stay with what is there."""
        existing = segments(self.folder)
        number = segment_number(existing[-1]) + 1 if existing else 1
        try:
            descriptor = os.open(
                self.folder / f"telemetry-{number:04d}.jsonl",
                os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0),
                0o644,
            )
        except OSError:
            return
        self._close_segment()
        self._descriptor, self._size, self._torn = descriptor, 0, False

    def _close_segment(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _sync(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)


def status_of(error: BaseException | None) -> str:
    """The `run_end` status of a process that leaves with this error, or with none."""
    match error:
        case None:
            return "finished"
        case Diverged():
            return "diverged"
        case Interrupted() | KeyboardInterrupt():
            return "interrupted"
        case Terminated():
            return "terminated"
        case _:
            return "failed"
