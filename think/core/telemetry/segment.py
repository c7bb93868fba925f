"""One telemetry file as the index sees it: what of it is read, what waits, and what in it is void."""

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path

from think.core.telemetry.records import Record
from think.core.telemetry.stretches import head_bytes, last_line_end

MARK = 256
"Bytes at the start of a segment that tell it from another: a record with its time."

GARBAGE = "lines that are no records were passed over"
NEWER = "records of a newer format are shown as far as they are understood"
OVERLONG = "lines longer than 1 MiB were passed over"
OF_LINES = (GARBAGE, NEWER, OVERLONG)
"Notices about lines, counted while they are read."

TORN = "segments end in a torn line, which was passed over"


def resumed_from(start: Record) -> float:
    """The last step that a start keeps; -1 when it keeps none."""
    step = start.fields.get("resumed_from_step")
    return float(step) if isinstance(step, int) and not isinstance(step, bool) else -1.0


@dataclass
class Segment:
    """One telemetry file. Bytes [begun, first) wait for the backfill; before and behind them all is in the curves.

    read    where following goes on
    cut     records of later steps in here are superseded by what later segments begin with
    inner   the same by a start inside this segment, for what stands before it
    node    device and inode;   mark: its first bytes, since a new file may get the inode of an old one
    closed  a later segment exists and this one was read to its end
    """

    path: Path
    node: tuple[int, int]
    size: int
    begun: int = 0
    first: int = 0
    read: int = 0
    cut: float = inf
    inner: float = inf
    skipping: bool = False
    closed: bool = False
    mark: bytes = b""

    @property
    def waiting(self) -> int:
        """Bytes that wait for the backfill."""
        return max(self.first - self.begun, 0)

    def settle(self) -> None:
        """Let nothing wait any more."""
        self.first = self.begun

    @classmethod
    def of(cls, path: Path, *, waits: bool) -> "Segment":
        """A file that was not looked at before; `waits`: what is in it waits for the backfill. Raises OSError."""
        stat = os.stat(path)
        end = last_line_end(path, stat.st_size) if waits else 0
        mark = head_bytes(path, MARK) if waits else b""
        return cls(path, (stat.st_dev, stat.st_ino), stat.st_size, first=end, read=end, mark=mark)

    def same_mark(self) -> bool:
        """Whether the file begins as it did; one that was cut below its mark is another matter. Raises OSError."""
        begins = head_bytes(self.path, MARK)
        same = begins[: len(self.mark)] == self.mark[: len(begins)]
        if same and len(begins) > len(self.mark):
            self.mark = begins
        return same

    def replaced(self, stat: os.stat_result) -> bool:
        """Whether another file stands in its place, as far as its size moved. Raises OSError."""
        same_node = (stat.st_dev, stat.st_ino) == self.node
        if same_node and stat.st_size == self.size == self.read:
            return False
        return not same_node or not self.same_mark()

    def begin_again(self, stat: os.stat_result) -> None:
        """Take what stands in its place now, of which nothing is read."""
        self.node, self.size, self.cut, self.read = (stat.st_dev, stat.st_ino), stat.st_size, inf, 0
        self.skipping, self.mark = False, b""

    def cut_to(self, size: int) -> None:
        """The file has lost its end."""
        self.size = self.read = size
        self.begun, self.first, self.skipping = min(self.begun, size), min(self.first, size), False

    def wait(self) -> None:
        """Let all that was read, and counts, wait for the backfill again."""
        self.begun, self.first, self.inner = 0, self.read if self.cut >= 0 else 0, inf

    @property
    def limit(self) -> float:
        """The last step that counts in what waits."""
        return min(self.cut, self.inner)
