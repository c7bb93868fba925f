"""Telemetry as Arrow files, one a kind: `step.arrow`, `eval.arrow`, … with the envelope and fields as columns."""

import json
from pathlib import Path
from typing import Any

from think.core.errors import BadData
from think.core.export import lacks, new_folder
from think.core.runs import RunFolder
from think.core.telemetry.records import FLOATS, Record, plain
from think.core.telemetry.tail import read


def export(run: RunFolder, out: Path) -> int:
    """Write the records of the run into `out`, and return how many.

    A column is of whole numbers, numbers, truth values or texts when all its values are; any other holds JSON texts.
    """
    try:
        import pyarrow as arrow
    except ModuleNotFoundError as error:
        raise lacks("pyarrow", "track") from error
    by_kind: dict[str, list[Record]] = {}
    for record in read(run.path):
        by_kind.setdefault(record.kind, []).append(record)
    with new_folder(out) as folder:
        for kind, records in by_kind.items():
            if not kind.isidentifier():
                raise BadData(f"{kind!r} cannot name a file", where=str(run.path), expected="a kind that is a word")
            table = arrow.table({name: arrow.array(values) for name, values in _columns(records).items()})
            with (
                arrow.OSFile(str(folder / f"{kind}.arrow"), "wb") as file,
                arrow.ipc.new_file(file, table.schema) as sink,
            ):
                sink.write_table(table)
    return sum(map(len, by_kind.values()))


def _columns(records: list[Record]) -> dict[str, list[Any]]:
    names = sorted({name for record in records for name in record.fields})
    envelope: dict[str, list[Any]] = {
        "step": [record.step for record in records],
        "seq": [record.seq for record in records],
        "time": [record.time for record in records],
        "mono": [record.mono for record in records],
    }
    kind = records[0].kind
    fields = {
        name if name not in envelope else f"field_{name}": _column(
            [record.fields.get(name) for record in records], floats=name in FLOATS.get(kind, frozenset())
        )
        for name in names
    }
    return envelope | fields


def _column(values: list[Any], *, floats: bool) -> list[Any]:
    """The values with one type for all."""
    present = [value for value in values if value is not None]
    types = {type(value) for value in present}
    if types <= {int, float} and (floats or float in types):
        return [None if value is None else float(value) for value in values]
    if types in ({bool}, {str}) or (types == {int} and all(abs(value) < 2**63 for value in present)):
        return values
    return [None if value is None else json.dumps(plain(value)) for value in values]
