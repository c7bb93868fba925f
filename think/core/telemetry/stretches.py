"""Complete lines of a growing file: from an offset on, backwards from an offset, and single ones anywhere.

Offsets are those of line starts, and nothing is kept open between calls: a file may be replaced, cut or removed at any
moment. Lines beyond LONGEST_LINE are passed over without being held in memory. Standard library only.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from think.core.telemetry.tail import LONGEST_LINE

BLOCK = 256 * 1024
"Bytes read at once: about 1 ms of decoding, so that whoever shares the interpreter is not kept waiting."

PROBE = 1536
"Bytes around a probe: a line of a step record and the rest of the one before it."


@dataclass(frozen=True, slots=True)
class Stretch:
    """Complete lines of a file: `text` ends with a newline or is empty.

    start, stop: the bytes consumed;   overlong: lines among them that were passed over
    """

    text: bytes
    start: int
    stop: int
    overlong: int = 0


def onwards(path: Path, offset: int, *, skipping: bool = False, block: int = BLOCK) -> tuple[Stretch, bool]:
    """Complete lines from `offset` on, and whether the place reached lies inside a line that is too long.

    skipping: `offset` lies inside such a line. Nothing consumed means: no complete line yet. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size, here = block, offset
        while True:
            chunk = os.pread(descriptor, size, here)
            if skipping:
                end = chunk.find(b"\n")
                if end < 0:
                    return Stretch(b"", offset, here + len(chunk)), True
                here, skipping = here + end + 1, False
                chunk = chunk[end + 1 :]
            end = chunk.rfind(b"\n") + 1
            if end:
                return Stretch(chunk[:end], offset, here + end), False
            if len(chunk) >= LONGEST_LINE:
                return Stretch(b"", offset, here + len(chunk), overlong=1), True
            if len(chunk) < size:  # the file ends here; what there is of a line will be read again
                return Stretch(b"", offset, here), False
            size = min(4 * size, LONGEST_LINE)
    finally:
        os.close(descriptor)


def backwards(path: Path, stop: int, *, least: int = 0, block: int = BLOCK) -> Stretch:
    """The lines that end at `stop`, down to `least`; both are line starts. start == least: none are left.

    Raises OSError; a file that was cut meanwhile gives what is still there.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = block
        while True:
            start = max(least, stop - size)
            chunk = os.pread(descriptor, stop - start, start)
            if start == least:
                return Stretch(chunk[: chunk.rfind(b"\n") + 1], least, stop)
            first = chunk.find(b"\n") + 1
            if 0 < first < len(chunk):
                return Stretch(chunk[first : chunk.rfind(b"\n") + 1], start + first, stop)
            if stop - start > LONGEST_LINE:
                return Stretch(b"", max(_line_start(descriptor, start, block), least), stop, overlong=1)
            size = min(4 * size, LONGEST_LINE + 2)
    finally:
        os.close(descriptor)


def last_line_end(path: Path, size: int, block: int = BLOCK) -> int:
    """Offset behind the last newline among the first `size` bytes; 0 without one. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _line_start(descriptor, size, block)
    finally:
        os.close(descriptor)


def head(path: Path, most: int) -> bytes:
    """Complete lines at the start of a file, within `most` bytes. Raises OSError."""
    chunk = head_bytes(path, most)
    return chunk[: chunk.rfind(b"\n") + 1]


def head_bytes(path: Path, most: int) -> bytes:
    """The first bytes of a file, at most so many. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, most, 0)
    finally:
        os.close(descriptor)


def probes(path: Path, offsets: list[int]) -> list[bytes]:
    """One complete line behind each offset, newline included, where there is one within reach. Raises OSError."""
    found = []
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for offset in offsets:
            chunk = os.pread(descriptor, PROBE, offset)
            first = chunk.find(b"\n") + 1
            second = chunk.find(b"\n", first) + 1
            if first and second:
                found.append(chunk[first:second])
    finally:
        os.close(descriptor)
    return found


def _line_start(descriptor: int, before: int, block: int) -> int:
    """The offset behind the last newline before `before`; 0 without one."""
    while before > 0:
        start = max(0, before - block)
        at = os.pread(descriptor, before - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        before = start
    return 0
