"""What somebody names on a command line, as the settings of a source: the kind follows from the file."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from think.core.data.sources import Reading, parquet, text
from think.core.data.sources import _records as records
from think.core.errors import Missing, UsageError

_KINDS = {
    **dict.fromkeys(text.SUFFIXES, "text"),
    **dict.fromkeys(records.SUFFIXES, "jsonl"),
    **dict.fromkeys(parquet.SUFFIXES, "parquet"),
}


def sources_for(
    inputs: Sequence[str],
    *,
    weights: Sequence[float] = (),
    encoding: str | None = None,
    fields: Sequence[str] = (),
    split: str | None = None,
) -> list[dict[str, Any]]:
    """The `data.sources` that these inputs mean, as plain tables.

    weights   one for each input, or none
    encoding  of the inputs that are text
    fields    of the inputs that have records
    split     of the inputs that are datasets

    Raises UsageError for what does not fit together and Missing for a path that leads nowhere.
    """
    if weights and len(weights) != len(inputs):
        raise UsageError(
            f"{len(weights)} weights for {len(inputs)} inputs",
            where="--weight",
            expected="one --weight for each INPUT, in their order",
        )
    found = [_table(given) for given in inputs]
    for table, weight in zip(found, weights, strict=False):
        table["weight"] = weight
    _apply(found, ("text",), "encoding", encoding, "--encoding")
    _apply(found, ("jsonl", "parquet", "dataset"), "fields", list(fields) or None, "--field")
    _apply(found, ("dataset",), "split", split, "--dataset-split")
    return found


def _apply(tables: list[dict[str, Any]], kinds: tuple[str, ...], key: str, value: Any, option: str) -> None:
    if value is None:
        return
    fitting = [table for table in tables if table["kind"] in kinds]
    if not fitting:
        raise UsageError(
            f"{option} means nothing here", where=option, expected=f"an input of kind {' or '.join(kinds)}"
        )
    for table in fitting:
        table[key] = value


def _table(given: str) -> dict[str, Any]:
    if not given:
        raise UsageError("an INPUT is empty", where="INPUT", expected="a file, a folder or the name of a dataset")
    path = Path(given).expanduser()
    if path.is_dir():
        kind = _kind_of_folder(path)
        return {"kind": kind, "name" if kind == "dataset" else "path": str(path)}
    if path.exists():
        kind = _KINDS.get(path.suffix.lower(), "text")
        return {"kind": "chat" if kind == "jsonl" and _holds_messages(path) else kind, "path": str(path)}
    if path.suffix.lower() in _KINDS or given.startswith(("/", ".", "~")) or given.endswith("/"):
        raise Missing("there is no such file or folder", where=given, remedy="check the path")
    return {"kind": "dataset", "name": given}


def _kind_of_folder(folder: Path) -> str:
    if any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return "dataset"
    kinds: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        kind = _KINDS.get(path.suffix.lower())
        if kind is not None and path.is_file():
            kinds.setdefault("chat" if kind == "jsonl" and _holds_messages(path) else kind, path)
    if not kinds:
        raise Missing(
            "the folder holds no file that could be packed",
            where=str(folder),
            expected=f"files that end in {', '.join(_KINDS)}, or a dataset",
            remedy="check the path, or name the files",
        )
    if len(kinds) > 1:
        several = ", ".join(f"{kind} ({path.name})" for kind, path in kinds.items())
        raise UsageError(
            f"the folder holds files of several kinds: {several}",
            where=str(folder),
            expected="files of one kind",
            remedy="name the files one by one",
        )
    return next(iter(kinds))


def _holds_messages(path: Path) -> bool:
    first = next(islice(records.read_records(path, Reading()), 1), None)
    return first is not None and isinstance(first[1].get("messages"), list)


def shown(table: dict[str, Any]) -> str:
    """A source on one line, for people."""
    rest = {key: value for key, value in table.items() if key not in ("kind", "path", "name") and value is not None}
    name = table.get("path", table.get("name", ""))
    return " ".join([str(table["kind"]), str(name), *(f"{key}={json.dumps(value)}" for key, value in rest.items())])
