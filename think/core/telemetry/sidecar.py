"""Indexes of runs in the user's cache folder: what was read once need not be read again.

One file a run folder. It names the bytes that it covers of each segment by device, inode, size, a hash of the first
block and one of the last; when anything differs it is not believed and the run is read again. It is only ever a copy:
deleting it loses nothing. Problems with the folder are told, and nothing fails.
"""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import msgspec
import numpy as np

from think.core.telemetry.buckets import Buckets
from think.core.telemetry.curves import Curves
from think.core.telemetry.index import Index
from think.core.telemetry.records import decode, encode
from think.core.telemetry.segment import OF_LINES, Segment

FORMAT = 1
CHECKED = 4096
"Bytes at either end of what is covered that are compared by their hash."
_TABLES = ("low", "high", "total", "last", "last_step", "count", "bad")


class Covered(msgspec.Struct):
    """The bytes of one segment that an index has read. cut: None for none."""

    number: int
    node: tuple[int, int]
    read: int
    cut: float | None
    first_hash: str
    last_hash: str


class Table(msgspec.Struct):
    """Buckets as bytes of little-endian float64."""

    names: list[str]
    width: int
    rows: bytes
    columns: bytes


class Content(msgspec.Struct):
    """All that is kept; lines are records as the writer writes them."""

    format: int
    folder: str
    covered: list[Covered]
    tables: dict[str, Table]
    counts: dict[str, int]
    event_counts: dict[str, int]
    notices: dict[str, int]
    events: dict[str, list[bytes]]
    layers: dict[str, list[bytes]]
    evaluation: bytes | None


def default_folder(environment: Mapping[str, str]) -> Path:
    """think/telemetry below XDG_CACHE_HOME, or below ~/.cache."""
    given = environment.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "think" / "telemetry"


@dataclass
class Sidecars:
    """The indexes in one folder. problems: what a person should know, each once."""

    folder: Path
    problems: list[str] = field(default_factory=list)

    def path(self, run: Path) -> Path:
        name = hashlib.sha256(os.fsencode(run.absolute())).hexdigest()[:32]
        return self.folder / f"{name}.index"

    def load(self, index: Index) -> bool:
        """Fill an index that was opened and has no curves yet; whether there was something to believe."""
        try:
            packed = self.path(index.folder).read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._tell(f"indexes in {self.folder} cannot be read: {error.strerror}")
            return False
        try:
            digest, body = packed[:32], packed[32:]
            if hashlib.sha256(body).digest() != digest:
                raise ValueError("damaged")
            content = msgspec.msgpack.decode(body, type=Content)
            curves = _curves(content)
        except (msgspec.DecodeError, ValueError):
            return False
        if content.format != FORMAT or content.folder != str(index.folder.absolute()) or not _believed(content, index):
            return False
        index.curves = curves
        index.notices.update(content.notices)
        if index.latest.evaluation is None and content.evaluation is not None:
            index.latest.earlier(decode(content.evaluation))
        for held in content.covered:
            segment = index.segments[held.number]
            segment.begun = min(held.read, segment.first)
        return True

    def save(self, index: Index) -> None:
        """Write the index of a run of which everything was read; of any other nothing is written."""
        if not index.exact or not index.segments:
            return
        index.curves.flush()
        covered = [_covered(number, segment) for number, segment in index.segments.items()]
        if any(held is None for held in covered):
            return
        evaluation = index.latest.evaluation
        content = Content(
            format=FORMAT,
            folder=str(index.folder.absolute()),
            covered=[held for held in covered if held is not None],
            tables={kind: _packed(table) for kind, table in index.curves.tables.items()},
            counts=dict(index.curves.counts),
            event_counts=dict(index.curves.event_counts),
            notices={text: index.notices[text] for text in OF_LINES},
            events={sort: [encode(record) for record in kept] for sort, kept in index.curves.events.items()},
            layers={kind: [encode(record) for record in kept.values()] for kind, kept in index.curves.layers.items()},
            evaluation=None if evaluation is None else encode(evaluation),
        )
        body = msgspec.msgpack.encode(content)
        self._write(self.path(index.folder), hashlib.sha256(body).digest() + body)

    def _write(self, path: Path, packed: bytes) -> None:
        new = path.with_suffix(f".{os.getpid()}.new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            new.write_bytes(packed)
            os.replace(new, path)
        except OSError as error:
            self._tell(f"indexes cannot be kept in {self.folder}: {error.strerror}")
            with contextlib.suppress(OSError):
                new.unlink()

    def _tell(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _covered(number: int, segment: Segment) -> Covered | None:
    hashes = _hashes(segment.path, segment.read)
    if hashes is None:
        return None
    cut = None if segment.cut == inf else segment.cut
    return Covered(number, segment.node, segment.read, cut, *hashes)


def _hashes(path: Path, read: int) -> tuple[str, str] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = min(CHECKED, read)
            return tuple(  # type: ignore[return-value]
                hashlib.sha256(os.pread(descriptor, size, offset)).hexdigest() for offset in (0, read - size)
            )
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _believed(content: Content, index: Index) -> bool:
    """Whether the segments still begin with just what was read, and no later start voids part of it."""
    if [held.number for held in content.covered] != sorted(index.segments)[: len(content.covered)]:
        return False
    for held in content.covered:
        segment = index.segments[held.number]
        if segment.node != held.node or segment.size < held.read or segment.read < held.read:
            return False
        if _hashes(segment.path, held.read) != (held.first_hash, held.last_hash):
            return False
        if segment.cut != (inf if held.cut is None else held.cut):
            return False
    return True


def _packed(table: Buckets) -> Table:
    rows = np.stack((table.keys, table.steps, table.times))
    columns = np.stack([getattr(table, name) for name in _TABLES])
    return Table(list(table.names), table.width, rows.astype("<f8").tobytes(), columns.astype("<f8").tobytes())


def _unpacked(table: Table) -> Buckets:
    rows = np.frombuffer(table.rows, "<f8").reshape(3, -1).astype(np.float64)
    shape = (len(_TABLES), len(table.names), rows.shape[1])
    columns = np.frombuffer(table.columns, "<f8").reshape(shape).astype(np.float64)
    return Buckets(tuple(table.names), table.width, *rows, *columns)


def _curves(content: Content) -> Curves:
    curves = Curves(
        tables={kind: _unpacked(table) for kind, table in content.tables.items()},
        counts=Counter(content.counts),
        event_counts=Counter(content.event_counts),
        events={sort: [decode(line) for line in lines] for sort, lines in content.events.items()},
    )
    for lines in content.layers.values():
        for line in lines:
            curves.keep_layer(decode(line))
    return curves
