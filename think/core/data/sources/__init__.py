"""Where text comes from: one corpus kind or generator a file, each exporting one `SPEC`.

A source streams documents. It never holds more than one of them, and a single document may itself be a stream: then
`text` is an iterator of fragments, read from the file while it is consumed, and must be exhausted before the next
document is asked for.

    class Settings(SourceSettings):
        kind: Literal["poems"] = "poems"
        count: PositiveInt = knob(100, acts_on="data")
        "documents generated"

    def documents(settings: Settings, reading: Reading) -> Iterator[Document]: ...
    def origins(settings: Settings) -> tuple[Origin, ...]: ...

    SPEC = Source(Settings, documents, origins)

Both functions are deterministic: asked twice, a source gives the same documents in the same order, or its origins
differ. Modules import heavy libraries inside functions, so that reading settings stays fast.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import PositiveFloat

from think.presets.base import Settings, knob

Role = Literal["system", "user", "assistant"]
Cut = Literal["file", "blank_line", "record"]

GAP = " "
"Stands in labels where a model has nothing to say; no label is written like this."


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation; only an assistant's turn is scored."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One document: plain text (whole, or lazily as fragments that concatenate to it), or the turns of a chat.

    labels, for text that is whole: as many characters, each what a model has to say after the character of the text in
    the same place, GAP where it has nothing to say. Without them a model has to say what comes next.
    where names the place it came from, for errors: file:line or record number.
    """

    text: str | Iterable[str] = ""
    turns: tuple[Turn, ...] = ()
    labels: str | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """One file, or one generator call, that a source reads: its name, its size in bytes (an estimate for a generator,
    used for progress only), and the sha256 of its content or, for a generator, of everything that determines it."""

    name: str
    size: int
    sha256: str


def _ignore(amount: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is to be read.

    split_on  where text files are cut into documents; in records (JSONL, parquet, datasets) a record is a document
    advance   told the number of bytes consumed since the last call, in the unit of Origin.size
    """

    split_on: Cut = "file"
    advance: Callable[[int], None] = _ignore


class SourceSettings(Settings):
    """What every source has; a source's own class adds `kind` and its knobs."""

    weight: PositiveFloat | None = knob(None, acts_on="data")
    "share of the packed text, relative to the other sources' weights; None: take all of it, unmixed"


@dataclass(frozen=True, slots=True)
class Source:
    """The SPEC of a source: its settings class, its stream of documents, what it reads, whether any of its documents
    has turns (then the pack gets loss masks), and, where its documents have labels, all characters of both."""

    Settings: type[Any]
    documents: Callable[[Any, Reading], Iterator[Document]]
    origins: Callable[[Any], tuple[Origin, ...]]
    has_turns: bool = False
    alphabet: Callable[[Any], str] | None = None
