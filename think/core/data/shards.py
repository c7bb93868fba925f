"""Writing a pack shard by shard into a work folder, with a journal from which a killed pack goes on.

A finished shard has been fsynced and renamed before the journal names it. Each journal entry says where the sequence of
pieces stood at the shard's last token, and what had been counted by then, so the next process repeats nothing but the
piece that straddles the boundary.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from think.core.data.manifest import Columns, FileRecord, ShardRecord, Share, SplitName
from think.core.durable import replace_file, sha256_of, sync

JOURNAL = "journal.json"


class Place(BaseModel):
    """A position in the sequence of pieces of a split: pieces behind us, tokens of the next one that are written too,
    and what each source had given before that piece."""

    model_config = ConfigDict(extra="forbid")
    pieces: int = 0
    tokens: int = 0
    given: list[Share]


class Entry(BaseModel):
    """One finished shard."""

    model_config = ConfigDict(extra="forbid")
    split: SplitName
    shard: ShardRecord
    place: Place


class _Contents(BaseModel):
    model_config = ConfigDict(extra="forbid")
    entries: list[Entry] = []
    finished: dict[SplitName, list[Share]] = {}


class Journal:
    """The finished shards of a work folder in order, and what each source gave to each finished split."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.entries: list[Entry] = []
        self.finished: dict[SplitName, list[Share]] = {}

    @classmethod
    def resume(cls, folder: Path) -> "Journal":
        """Read the journal, keep the entries whose shards are whole, and remove every file that they do not name."""
        journal = cls(folder)
        contents = _contents(folder / JOURNAL)
        journal.entries = list(takewhile(lambda entry: _is_whole(folder, entry), contents.entries))
        if len(journal.entries) == len(contents.entries):
            journal.finished = contents.finished
        named = {file.name for entry in journal.entries for file in entry.shard.files.values()}
        for path in folder.iterdir():
            if path.name not in named:
                path.unlink()
        journal._write()
        return journal

    def of(self, split: SplitName) -> list[Entry]:
        """The finished shards of one split."""
        return [entry for entry in self.entries if entry.split == split]

    def add(self, entry: Entry) -> None:
        """Record a finished shard, durably."""
        self.entries.append(entry)
        self._write()

    def finish(self, split: SplitName, given: list[Share]) -> None:
        """Record that a split is complete."""
        self.finished[split] = given
        self._write()

    def _write(self) -> None:
        contents = _Contents(entries=self.entries, finished=self.finished)
        replace_file(self.folder / JOURNAL, contents.model_dump_json().encode())


def _contents(path: Path) -> _Contents:
    try:
        return _Contents.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return _Contents()  # a journal only saves time: without it the pack begins anew


def _is_whole(folder: Path, entry: Entry) -> bool:
    return all(_matches(folder / record.name, record) for record in entry.shard.files.values())


def _matches(path: Path, record: FileRecord) -> bool:
    return path.is_file() and path.stat().st_size == record.bytes and sha256_of(path) == record.sha256


@dataclass(slots=True)
class _Column:
    """One file being written: hashed on its way to the disk."""

    path: Path
    file: IO[bytes]
    size: int = 0
    seen: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @classmethod
    def create(cls, path: Path) -> "_Column":
        return cls(path, path.with_name(path.name + ".part").open("wb"))

    def write(self, values: np.ndarray) -> None:
        content = values.tobytes()
        self.file.write(content)
        self.seen.update(content)
        self.size += len(content)

    def finish(self) -> FileRecord:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        Path(self.file.name).rename(self.path)
        return FileRecord(name=self.path.name, bytes=self.size, sha256=self.seen.hexdigest())


class ShardWriter:
    """Writes the tokens of one split into shards of `shard_tokens`. Call `close_shard` when `room` is 0 and
    at the end. `beside`: columns that have an entry for each token, as `add` gets them."""

    def __init__(self, journal: Journal, split: SplitName, shard_tokens: int, beside: tuple[Columns, ...] = ()):
        self._journal, self._split, self._shard_tokens, self._beside = journal, split, shard_tokens, beside
        self._number = len(journal.of(split))
        self._columns: dict[Columns, _Column] = {}
        self._tokens = self._documents = 0

    @property
    def room(self) -> int:
        """Tokens that still fit into the current shard."""
        return self._shard_tokens - self._tokens

    def add(self, tokens: np.ndarray, ends: np.ndarray, beside: Mapping[Columns, np.ndarray]) -> None:
        """Append at most `room` tokens; `ends` are document ends, counted from the first of them."""
        if not self._columns:
            names: list[Columns] = ["tokens", "ends", *self._beside]
            stem = f"{self._split}-{self._number:05d}"
            self._columns = {name: _Column.create(self._journal.folder / f"{stem}.{name}") for name in names}
        self._columns["tokens"].write(tokens)
        self._columns["ends"].write((ends + self._tokens).astype("<u8"))
        for name in self._beside:
            self._columns[name].write(beside[name])
        self._tokens += len(tokens)
        self._documents += len(ends)

    def close_shard(self, place: Place) -> None:
        """Make the current shard, if one is open, durable and record it."""
        if not self._columns:
            return
        files = {name: column.finish() for name, column in self._columns.items()}
        sync(self._journal.folder)
        shard = ShardRecord(tokens=self._tokens, documents=self._documents, files=files)
        self._journal.add(Entry(split=self._split, shard=shard, place=place))
        self._number += 1
        self._columns = {}
        self._tokens = self._documents = 0

    def abandon(self) -> None:
        """Close what is open without recording it."""
        for column in self._columns.values():
            column.file.close()
