"""Parquet files: a row is a document."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from think.core.data.sources import Document, Origin, Reading, Source, SourceSettings
from think.core.data.sources._records import document_of
from think.core.data.sources.text import files, origins_of
from think.core.errors import BadData
from think.presets.base import knob

SUFFIXES = (".parquet",)

ROWS_AT_ONCE = 256
"""Rows held in memory beside the row group that they come from."""


class Settings(SourceSettings):
    """Rows with text in one or more columns."""

    kind: Literal["parquet"] = "parquet"
    path: str = knob(acts_on="data")
    "file, or folder whose .parquet files are read in the order of their names"
    fields: Annotated[tuple[str, ...], Field(min_length=1)] = knob(("text",), acts_on="data")
    "columns that hold the text, joined by line feeds"


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """One document per row."""
    for path in files(Path(settings.path), SUFFIXES):
        yield from _rows(path, settings.fields, reading)


def _rows(path: Path, fields: tuple[str, ...], reading: Reading) -> Iterator[Document]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    size = path.stat().st_size
    number = 0
    try:
        with ParquetFile(path) as file:
            columns = [name for name in fields if name in file.schema_arrow.names]
            if len(columns) < len(fields):  # then any row tells what is missing, and what there is instead
                columns = file.schema_arrow.names
            total = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    yield document_of(row, fields, f"{path}, row {number}")
                    number += 1
                reading.advance(size * batch.num_rows // total)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError) as error:
        raise BadData(
            f"this is no parquet file that can be read: {error}",
            where=str(path),
            expected="an undamaged parquet file",
            remedy="fetch or write the file again",
        ) from error


def origins(settings: Settings) -> tuple[Origin, ...]:
    """The files, with size and sha256."""
    return origins_of(files(Path(settings.path), SUFFIXES))


SPEC = Source(Settings, documents, origins)
