"""What a pack says about itself: manifest.json.

digest  sha256 over tokenizer, shards and counts: what the data *is*, wherever it came from
plan    sha256 over everything that determined it: packing again with an equal plan gives equal bytes
seal    sha256 over the whole manifest, so that a damaged one is noticed
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from think.core.errors import BadData, Missing

FILE_NAME = "manifest.json"
SplitName = Literal["train", "validation"]
SPLITS: tuple[SplitName, ...] = ("train", "validation")
Columns = Literal["tokens", "ends", "mask", "labels"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Record):
    """A file: its name in the folder, size in bytes, sha256."""

    name: str
    bytes: int
    sha256: str


class ShardRecord(_Record):
    """One shard: tokens in it, documents that end in it, and its files.

    tokens  ids, little-endian uint16 or uint32
    ends    for each document that ends here, the position after its last token from the start of the shard, uint64
    mask    one byte a token, 1 where a model is scored; only where some source has turns
    labels  for each token the id that a model has to say after it, pad where it is not scored; only where the sources
            say so, and in place of the next token
    """

    tokens: int
    documents: int
    files: dict[Columns, FileRecord]


class SplitRecord(_Record):
    """Train or validation."""

    tokens: int
    documents: int
    shards: tuple[ShardRecord, ...]


class Division(_Record):
    """How a source was divided into train and validation.

    by document  of each run of 1 / share consecutive documents one, drawn by hash from seed and source, is held out
    by text      from character `character` of document `document` on, everything is held out
    none         nothing is held out
    """

    by: Literal["document", "text", "none"]
    share: float
    seed: int | None = None
    document: int | None = None
    character: int | None = None
    at_line: bool | None = None


class Share(_Record):
    """What one source gave to one split; unused is what a mixture left over."""

    documents: int = 0
    characters: int = 0
    tokens: int = 0
    unknown: int = 0
    unused_documents: int = 0
    unused_characters: int = 0


class SourceRecord(_Record):
    """One source: its settings, the files or generator it read, how it was divided and what it gave."""

    settings: dict[str, Any]
    files: tuple[FileRecord, ...]
    division: Division
    given: dict[SplitName, Share]


class TokenizerRecord(_Record):
    """The tokenizer.json beside the manifest."""

    kind: Literal["character", "bpe"]
    size: int
    sha256: str


class Manifest(_Record):
    """The whole manifest."""

    format: Literal["think.pack/1"] = "think.pack/1"
    digest: str
    plan: str
    dtype: Literal["uint16", "uint32"]
    shard_tokens: int
    split_on: str
    tokenizer: TokenizerRecord
    sources: tuple[SourceRecord, ...]
    splits: dict[SplitName, SplitRecord]

    def to_bytes(self) -> bytes:
        """The text of the file, sealed."""
        body = self.model_dump(mode="json")
        return (json.dumps({"seal": digest_of(body), **body}, indent=1, ensure_ascii=False) + "\n").encode()


def digest_of(value: Any) -> str:
    """sha256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def content_digest(tokenizer: str, dtype: str, splits: dict[SplitName, SplitRecord]) -> str:
    """The digest of a pack's content: equal exactly when tokenizer and all token, end and mask bytes are equal."""
    shards = {
        name: [{column: file.sha256 for column, file in shard.files.items()} for shard in split.shards]
        for name, split in splits.items()
    }
    return digest_of({"tokenizer": tokenizer, "dtype": dtype, "shards": shards})


def files(manifest: Manifest) -> Iterator[FileRecord]:
    """All shard files of a pack."""
    for part in manifest.splits.values():
        for shard in part.shards:
            yield from shard.files.values()


def read(folder: Path) -> Manifest:
    """Read and check the manifest of a pack. Raises Missing or BadData."""
    path = folder / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        seal = values.pop("seal")
        whole = seal == digest_of(values)
        manifest = Manifest.model_validate_json(json.dumps(values))
    except FileNotFoundError:
        raise Missing(
            "there is no packed corpus here",
            where=str(folder),
            expected=f"a folder with {FILE_NAME}",
            remedy=f"`think data pack INPUT --out {folder}` makes one",
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        raise _damaged(path, folder) from error
    if not whole:
        raise _damaged(path, folder)
    return manifest


def _damaged(path: Path, folder: Path) -> BadData:
    return BadData(
        "the manifest is damaged: it does not match its own checksum",
        where=str(path),
        expected="the file as `think data pack` wrote it",
        remedy=f"restore it from a copy, or pack again: think data pack … --out {folder} --force",
    )
