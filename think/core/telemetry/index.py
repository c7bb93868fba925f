"""The history of one run, read so that a first picture needs no scan and memory does not grow with the run.

    open       heads of all segments and the newest facts: one line in a table of runs
    deepen     the last 1 MiB, and probes spread over the rest: curves that say "sampled"
    backfill   the rest, newest to oldest, a block at a time, until every curve is exact
    follow     what was appended since, and what happened to the files
    save/load  see sidecar.py: what was read once need not be read again

A `run_start` voids the records of later steps that earlier processes wrote; since each process opens a new segment, the
heads tell what is void before anything else is read.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import numpy as np

from think.core.telemetry.buckets import Buckets, joined
from think.core.telemetry.columns import Block, Decoder
from think.core.telemetry.curves import Curves
from think.core.telemetry.latest import Latest
from think.core.telemetry.newest import LATEST_BYTES, evaluation_in, find, record_of, seek_evaluation
from think.core.telemetry.records import LARGEST_RECORD, Record
from think.core.telemetry.segment import GARBAGE, NEWER, OF_LINES, OVERLONG, TORN, Segment, resumed_from
from think.core.telemetry.stretches import backwards, head, onwards, probes
from think.core.telemetry.summary import SPEED_STEPS
from think.core.telemetry.writer import segment_number, segments

TAIL_BYTES = 1024 * 1024
"Read before the first picture: some 2,500 step records."

PROBES = 1000
"Lines looked at all over the history before the first picture, about 10 ms; a curve is some 380 dots wide."

LATEST_LINES = SPEED_STEPS + 2
"Of what was appended at once, decoded record by record: as many as the newest facts are made of."


@dataclass
class Index:
    """One run's history. `notices` counts what is wrong with its files, by what to say about it."""

    folder: Path
    curves: Curves = field(default_factory=Curves)
    sampled: Curves = field(default_factory=Curves)
    latest: Latest = field(default_factory=Latest)
    notices: Counter[str] = field(default_factory=Counter)
    segments: dict[int, Segment] = field(default_factory=dict)
    gone: bool = False
    changed: bool = True
    deep: bool = False
    _decoder: Decoder = field(default_factory=Decoder)
    _evaluation_sought: bool = False

    # ---- what there is ----------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes of telemetry that count."""
        return sum(segment.size for segment in self.segments.values())

    @property
    def exact(self) -> bool:
        """Whether everything written so far is in the curves."""
        return all(not segment.waiting for segment in self.segments.values())

    @property
    def done(self) -> float:
        """Share of the bytes that are in the curves, 0 to 1."""
        waiting = sum(segment.waiting for segment in self.segments.values())
        return 1.0 - waiting / self.size if self.size else 1.0

    def tables(self) -> dict[str, Buckets]:
        """Buckets by kind: the exact ones, together with what was sampled where those are missing."""
        self.curves.flush()
        if self.exact:
            return dict(self.curves.tables)
        found = dict(self.sampled.tables)
        for kind, table in self.curves.tables.items():
            found[kind] = joined(table, found[kind]) if kind in found else table
        return found

    # ---- opening ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Look at the files for the first time: bounded work, however long the run is."""
        self._look_for_segments(first_time=True)
        self._set_cuts()
        find(self.latest, list(self.segments.values()), self._decoder)
        self.changed = True

    def deepen(self, *, tail_bytes: int = TAIL_BYTES, most_probes: int = PROBES) -> None:
        """Begin with the curves: bounded work, however long the run is. A second call does nothing."""
        if self.deep:
            return
        self.deep = self.changed = True
        left = tail_bytes
        for segment in reversed(self.segments.values()):
            while left > 0 and segment.waiting:
                before = segment.first
                self._back(segment)
                left -= before - segment.first
        self.sample(most_probes)

    def flatten(self) -> None:
        """Let go of the curves; `deepen` begins with them anew."""
        self.curves, self.sampled, self.deep = Curves(), Curves(), False
        self._wait_for_all()

    def _wait_for_all(self) -> None:
        for segment in self.segments.values():
            segment.wait()

    def sample(self, most: int) -> None:
        """Probe what waits for the backfill."""
        waiting = [segment for segment in self.segments.values() if segment.waiting and segment.cut >= 0]
        total = sum(segment.waiting for segment in waiting)
        for segment in waiting if most else ():
            count = max(1, round(most * segment.waiting / total))
            offsets = [int(offset) for offset in np.linspace(segment.begun, segment.first, count, endpoint=False)]
            try:
                lines = probes(segment.path, offsets)
            except OSError:
                continue
            self.sampled.add(self._decoder.block(b"".join(lines)), segment.cut)
        self.sampled.flush()

    def _look_for_segments(self, *, first_time: bool) -> list[Segment]:
        """Take note of new segments; those of the first look wait for the backfill, later ones are followed."""
        found = []
        for path in segments(self.folder):
            number = segment_number(path)
            if number in self.segments:
                continue
            try:
                segment = Segment.of(path, waits=first_time)
            except OSError:
                continue
            self.segments[number] = segment
            found.append(segment)
        if found:
            self.segments = dict(sorted(self.segments.items()))
        return found

    def _set_cuts(self) -> None:
        """What each segment's records may not go beyond, told by the starts in the heads of later segments."""
        limit = inf
        for segment in reversed(self.segments.values()):
            segment.cut = min(segment.cut, limit)
            if segment.cut < 0:
                segment.settle()  # all of it is done again: nothing in here counts
                continue
            try:
                lines = head(segment.path, LARGEST_RECORD // 4) or head(segment.path, 2 * LARGEST_RECORD)
            except OSError:
                continue
            for line in lines.split(b"\n")[:4]:
                if (start := self._start(line)) is not None:
                    limit = min(limit, resumed_from(start))
                    if self.latest.start is None:
                        self.latest.start = start
                    break

    def _start(self, line: bytes) -> Record | None:
        record = self._record(line) if b"run_start" in line else None
        return record if record is not None and record.kind == "run_start" else None

    # ---- reading back -----------------------------------------------------------------------------------------------

    def backfill(self, until: Callable[[], bool]) -> bool:
        """Read older and older blocks until `until` says stop or all is read; whether anything was read."""
        read = False
        for segment in reversed(self.segments.values()):
            while segment.waiting:
                self._back(segment)
                read = True
                if until():
                    self._settle()
                    return True
        self._settle()
        return read

    def _settle(self) -> None:
        if self.exact:
            self.sampled = Curves()

    def _back(self, segment: Segment) -> None:
        try:
            stretch = backwards(segment.path, segment.first, least=segment.begun)
        except OSError as error:
            self.notices[f"{segment.path.name} cannot be read: {error.strerror}"] += 1
            segment.settle()
            return
        segment.first = stretch.start
        self._overlong(stretch.overlong)
        evaluation_in(self.latest, stretch.text, segment.cut, self._decoder)
        self._add(stretch.text, segment)

    def _record(self, line: bytes) -> Record | None:
        return record_of(line, self._decoder)

    def _add(self, text: bytes, segment: Segment) -> None:
        """Add complete lines to the curves; a run_start among them voids what stands before it."""
        if not text:
            return
        block = self._decoder.block(text)
        if any(record.kind == "run_start" for record in block.others):
            self._add_around_starts(text, segment)
        else:
            self.curves.add(block, segment.limit)
            self._count(block)

    def _add_around_starts(self, text: bytes, segment: Segment) -> None:
        while (at := text.rfind(b'"run_start"')) >= 0:
            begin = text.rfind(b"\n", 0, at) + 1
            start = self._start(text[begin : text.find(b"\n", at)])
            self._block(text[begin:], segment.limit)
            text = text[:begin]
            if start is not None:
                segment.inner = min(segment.inner, resumed_from(start))
        if text:
            self._block(text, segment.limit)

    def _block(self, text: bytes, cut: float) -> None:
        block = self._decoder.block(text)
        self.curves.add(block, cut)
        self._count(block)

    def _count(self, block: Block) -> None:
        if block.garbage:
            self.notices[GARBAGE] += block.garbage
        if block.newer:
            self.notices[NEWER] += 1
        self.changed = True

    def _overlong(self, lines: int) -> None:
        if lines:
            self.notices[OVERLONG] += lines
            self.changed = True

    def seek_evaluation(self) -> None:
        """Look once for the newest held-out loss beyond what was read at first."""
        if not self._evaluation_sought:
            self._evaluation_sought = True
            seek_evaluation(self.latest, list(self.segments.values()), self._decoder)

    # ---- following --------------------------------------------------------------------------------------------------

    def follow(self, until: Callable[[], bool]) -> bool:
        """Read what was appended, until `until` says stop; whether there is more to read at once."""
        if not self.folder.is_dir():
            self.changed |= not self.gone
            self.gone = True
            return False
        self.changed |= self.gone
        self.gone = False
        self._look_for_segments(first_time=False)
        newest = max(self.segments, default=0)
        for number, segment in list(self.segments.items()):
            if number != newest and segment.closed:
                continue
            try:
                more = self._read_on(segment, until, last=number == newest)
            except FileNotFoundError:
                if not segment.closed:
                    self.notices[f"{segment.path.name} was removed"] += 1
                    segment.closed, self.changed = True, True
                continue
            except OSError as error:
                self.notices[f"{segment.path.name} cannot be read: {error.strerror}"] += 1
                continue
            if more:
                return True
        return False

    def _read_on(self, segment: Segment, until: Callable[[], bool], *, last: bool) -> bool:
        stat = os.stat(segment.path)
        if segment.replaced(stat):
            self.notices[f"{segment.path.name} was replaced; reading all again"] += 1
            segment.begin_again(stat)
            self.latest = Latest()
            self.read_again()
            self.sampled = Curves()
        elif stat.st_size < segment.read:
            self.notices[f"{segment.path.name} was cut from {segment.read:,} to {stat.st_size:,} bytes"] += 1
            segment.cut_to(stat.st_size)
            self.changed = True
        segment.size = stat.st_size
        while segment.read < segment.size:
            was = segment.skipping
            stretch, segment.skipping = onwards(segment.path, segment.read, skipping=was)
            if stretch.stop == segment.read:
                break
            segment.read = stretch.stop
            if not self.deep:
                segment.begun, segment.first = 0, segment.read
            self._overlong(stretch.overlong)
            if stretch.text:
                self._newer_lines(stretch.text, segment)
            if until():
                return segment.read < segment.size
        if not last:
            segment.closed = True  # finished: its process writes to a later one
            if segment.read < segment.size:
                self.notices[TORN] += 1
        return False

    def _newer_lines(self, text: bytes, segment: Segment) -> None:
        while (at := text.find(b'"run_start"')) >= 0:
            begin = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at) + 1
            self._newer_block(text[:begin], segment)
            if (start := self._start(text[begin : end - 1])) is not None:
                self._void(resumed_from(start), segment)
            self._newer_block(text[begin:end], segment)
            text = text[end:]
        self._newer_block(text, segment)

    def _is_added(self, segment: Segment) -> bool:
        """Whether what is followed goes into the curves; not while all that was read waits for the backfill again."""
        return self.deep and segment.first < segment.read

    def _newer_block(self, text: bytes, segment: Segment) -> None:
        if not text:
            return
        block = self._decoder.block(text)
        if self._is_added(segment):
            self.curves.add(block, inf)
            self._count(block)
        self.changed = True
        for record in block.others:
            self.latest.take(record)
        for line in text[-LATEST_BYTES:].split(b"\n")[-LATEST_LINES:]:
            newest = self._record(line) if line else None
            if newest is not None and newest.kind == "step":
                self.latest.take(newest)

    def _void(self, cut: float, beginning: Segment) -> None:
        """A process that starts now does again what came after step `cut`."""
        for segment in self.segments.values():
            if segment is beginning:
                segment.inner = min(segment.inner, cut)
                break
            segment.cut = min(segment.cut, cut)
            if segment.cut < 0:
                segment.settle()
        self.sampled.void_after(cut)
        if not self.curves.void_after(cut):
            self.read_again()

    def read_again(self) -> None:
        """Forget the curves and read all from the files again, in the background; what is known stays as a sample."""
        self.sampled, self.curves, self.changed = self.curves, Curves(), True
        self._wait_for_all()
        for key in OF_LINES:
            del self.notices[key]
