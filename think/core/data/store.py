"""Reading a pack: memory-mapped shards that look like one long array of tokens per split."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from think.core.data import manifest as manifests
from think.core.data.manifest import Columns, Manifest, SplitName, SplitRecord
from think.core.data.tokenizer import FILE_NAME as TOKENIZER_FILE
from think.core.data.tokenizer import PAD, Tokenizer
from think.core.durable import sha256_of
from think.core.errors import BadData, Missing


class Split:
    """The tokens of one split, in the order in which they were packed. Positions count tokens from its beginning."""

    def __init__(self, folder: Path, record: SplitRecord, shard_tokens: int, dtype: str):
        self._folder, self._record, self._shard_tokens = folder, record, shard_tokens
        self._dtype = np.dtype(dtype).newbyteorder("<")

    @property
    def tokens(self) -> int:
        """Number of tokens, control tokens included."""
        return self._record.tokens

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self._record.documents

    @property
    def masked(self) -> bool:
        """Whether the pack says for each token if a model is scored on it."""
        return "mask" in self._record.shards[0].files

    @property
    def labelled(self) -> bool:
        """Whether the pack says for each token what a model has to say after it, in place of the next token."""
        return "labels" in self._record.shards[0].files

    @cached_property
    def ends(self) -> np.ndarray:
        """For each document the position after its last token, int64."""
        columns = self._columns("ends", np.dtype("<u8"))
        return np.concatenate([column.astype(np.int64) + n * self._shard_tokens for n, column in enumerate(columns)])

    @cached_property
    def starts(self) -> np.ndarray:
        """For each document the position of its first token, int64."""
        return np.concatenate([[0], self.ends[:-1]])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens start … stop as int64."""
        return self.gather(np.arange(start, stop))

    def mask(self, start: int, stop: int) -> np.ndarray:
        """1 for each token that a model is scored on, uint8: all but bos, or what the pack's own mask says.

        Where the pack has labels: 1 for each token after which a model has to say something.
        """
        return self.gather_mask(np.arange(start, stop))

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """Tokens at any positions, int64, in the shape of `positions`."""
        return self._gather(self._tokens, positions).astype(np.int64)

    def gather_mask(self, positions: np.ndarray) -> np.ndarray:
        """Like `mask`, for any positions."""
        if self.labelled:
            return (self.gather_labels(positions) != PAD).astype(np.uint8)
        if self.masked:
            return self._gather(self._mask, positions)
        document = self.starts.searchsorted(positions, side="right") - 1
        return (self.starts[document] != positions).astype(np.uint8)

    def gather_labels(self, positions: np.ndarray) -> np.ndarray:
        """Labels at any positions of a labelled split, int64, pad where there is none."""
        return self._gather(self._labels, positions).astype(np.int64)

    @cached_property
    def _labels(self) -> list[np.ndarray]:
        return self._columns("labels", self._dtype)

    @cached_property
    def _tokens(self) -> list[np.ndarray]:
        return self._columns("tokens", self._dtype)

    @cached_property
    def _mask(self) -> list[np.ndarray]:
        return self._columns("mask", np.dtype("u1"))

    def _columns(self, column: Columns, dtype: np.dtype[Any]) -> list[np.ndarray]:
        return [_mapped(self._folder / shard.files[column].name, dtype) for shard in self._record.shards]

    def _gather(self, columns: list[np.ndarray], positions: np.ndarray) -> np.ndarray:
        if len(columns) == 1:
            return columns[0][positions]
        shard, offset = np.divmod(positions, self._shard_tokens)
        result = np.empty(positions.shape, columns[0].dtype)
        for number in np.unique(shard):
            here = shard == number
            result[here] = columns[number][offset[here]]
        return result


def _mapped(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    if path.stat().st_size == 0:  # nothing to map: a shard inside one long document has no ends
        return np.empty(0, dtype)
    # A plain view: np.memmap's own indexing costs more than the read.
    return np.memmap(path, dtype, mode="r").view(np.ndarray)


class Packed:
    """A packed corpus. `open` checks the manifest and the sizes of all files; `verify` reads every byte."""

    def __init__(self, path: Path, manifest: Manifest):
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: Path | str) -> "Packed":
        """Open a pack. Raises Missing or BadData that name the file and what to do."""
        folder = Path(path)
        manifest = manifests.read(folder)
        for file in manifests.files(manifest):
            place = folder / file.name
            size = place.stat().st_size if place.is_file() else None
            if size != file.bytes:
                raise _damaged(place, f"it has {size} bytes" if size is not None else "it is missing", f"{file.bytes}")
        return cls(folder, manifest)

    @property
    def digest(self) -> str:
        """What the data is: sha256 over tokenizer and shards."""
        return self.manifest.digest

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose ids the shards hold. Raises BadData when it is not the one that packed them."""
        self._verify_tokenizer()
        return Tokenizer.load(self.path)

    def split(self, name: SplitName) -> Split:
        """The train or validation split. Raises Missing when nothing was held out."""
        if name not in self.manifest.splits:
            raise Missing(
                f"this pack has no {name} split",
                where=str(self.path),
                remedy="pack again with data.validation above 0",
            )
        return Split(self.path, self.manifest.splits[name], self.manifest.shard_tokens, self.manifest.dtype)

    def verify(self) -> int:
        """Recompute every checksum and give the number of bytes read. Raises BadData that names the damaged file."""
        total = 0
        for file in manifests.files(self.manifest):
            place = self.path / file.name
            if sha256_of(place) != file.sha256:
                raise _damaged(place, "its checksum differs", file.sha256)
            total += file.bytes
        return total + self._verify_tokenizer()

    def _verify_tokenizer(self) -> int:
        """Size of the tokenizer's file in bytes."""
        path, expected = self.path / TOKENIZER_FILE, self.manifest.tokenizer.sha256
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise _damaged(path, "it is missing", expected) from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise _damaged(path, "its checksum differs", expected)
        return len(content)


def _damaged(path: Path, what: str, expected: str) -> BadData:
    return BadData(
        f"this file of the pack is damaged: {what}",
        where=os.fspath(path),
        expected=expected,
        remedy="restore it from a copy, or pack again: the same `think data pack` command with --force",
    )
