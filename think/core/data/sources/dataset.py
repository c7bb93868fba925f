"""A dataset of the `datasets` library: a name on the hub, or a folder that `save_to_disk` or a download left here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from think.core.data.sources import Document, Origin, Reading, Source, SourceSettings
from think.core.data.sources._records import document_of
from think.core.durable import sha256_of
from think.core.errors import BadData, Missing
from think.presets.base import knob

ROWS_AT_ONCE = 256


class Settings(SourceSettings):
    """Rows with text in one or more columns."""

    kind: Literal["dataset"] = "dataset"
    name: str = knob(acts_on="data")
    "name on the hub, or local folder"
    subset: str | None = knob(None, acts_on="data")
    "configuration of the dataset; None: its only or default one"
    split: str = knob("train", acts_on="data")
    "split of the dataset that is read"
    fields: Annotated[tuple[str, ...], Field(min_length=1)] = knob(("text",), acts_on="data")
    "columns that hold the text, joined by line feeds"


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """One document per row; the rows stay on the disk."""
    rows = _open(settings)
    share = sum(origin.size for origin in _origins(rows)) / max(len(rows), 1)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        columns = rows[start : start + ROWS_AT_ONCE]
        count = len(next(iter(columns.values())))
        for offset in range(count):
            record = {name: values[offset] for name, values in columns.items()}
            yield document_of(record, settings.fields, f"{settings.name}, row {start + offset}")
        reading.advance(int(share * count))


def origins(settings: Settings) -> tuple[Origin, ...]:
    """The Arrow files that hold the rows, with size and sha256."""
    return _origins(_open(settings))


def _origins(rows: Any) -> tuple[Origin, ...]:
    paths = [Path(file["filename"]) for file in rows.cache_files]
    return tuple(Origin(path.name, path.stat().st_size, sha256_of(path)) for path in paths)


def _open(settings: Settings) -> Any:
    import datasets

    folder = Path(settings.name)
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(settings.name)
            if isinstance(found, datasets.DatasetDict):
                found = _split(found, settings)
        else:
            found = datasets.load_dataset(settings.name, settings.subset, split=settings.split)
    except ConnectionError as error:
        raise Missing(
            f"the dataset {settings.name!r} is not on this machine and cannot be fetched: {_first_line(error)}",
            expected="a network, a dataset fetched before, or a local folder",
            remedy="fetch it where there is a network, or pack files: think data pack FILE.txt",
        ) from error
    except FileNotFoundError as error:
        raise Missing(
            f"there is no file, folder or dataset {settings.name!r}: {_first_line(error)}", remedy="check the name"
        ) from error
    except ValueError as error:
        raise BadData(
            f"the dataset cannot be opened: {_first_line(error)}",
            where=settings.name,
            remedy="name its subset and split in the source: subset = …, split = …",
        ) from error
    return found


def _split(found: Any, settings: Settings) -> Any:
    if settings.split not in found:
        raise BadData(
            f"the dataset has no split {settings.split!r}",
            where=settings.name,
            expected=f"one of {', '.join(found)}",
            remedy="name another split in the source",
        )
    return found[settings.split]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


SPEC = Source(Settings, documents, origins)
