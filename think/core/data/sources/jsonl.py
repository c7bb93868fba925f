"""JSON lines, or one JSON array of objects: a record is a document."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from think.core.data.sources import Document, Origin, Reading, Source, SourceSettings
from think.core.data.sources._records import SUFFIXES, document_of, read_records
from think.core.data.sources.text import files, origins_of
from think.presets.base import knob


class Settings(SourceSettings):
    """Records with text in one or more of their fields."""

    kind: Literal["jsonl"] = "jsonl"
    path: str = knob(acts_on="data")
    "file, or folder whose .jsonl, .ndjson and .json files are read in the order of their names"
    fields: Annotated[tuple[str, ...], Field(min_length=1)] = knob(("text",), acts_on="data")
    "fields that hold the text, joined by line feeds"


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """One document per record."""
    for path in files(Path(settings.path), SUFFIXES):
        for where, record in read_records(path, reading):
            yield document_of(record, settings.fields, where)


def origins(settings: Settings) -> tuple[Origin, ...]:
    """The files, with size and sha256."""
    return origins_of(files(Path(settings.path), SUFFIXES))


SPEC = Source(Settings, documents, origins)
