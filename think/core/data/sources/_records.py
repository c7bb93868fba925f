"""Records of JSON files, and the text in a record: shared by the sources whose documents are records."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from think.core.data.sources import Document, Reading
from think.core.data.sources.text import read_text
from think.core.errors import BadData

SUFFIXES = (".jsonl", ".ndjson", ".json")

LONGEST_RECORD = 1 << 26
"""Characters; a record that has not ended by then is a damaged file, and must not fill the memory."""

_BETWEEN = " \t\r\n"


def read_records(path: Path, reading: Reading) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of place and record, from JSON lines or from one JSON array of objects, whichever the file holds."""
    fragments = read_text(path, "utf-8", reading)
    first = ""
    for fragment in fragments:
        first += fragment
        if first.strip():
            break
    whole = _prepended(first, fragments)
    yield from _array(whole, path) if first.lstrip().startswith("[") else _lines(whole, path)


def _prepended(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(fragments: Iterator[str], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    held: list[str] = []
    number = 0
    for fragment in fragments:
        head, *more = fragment.split("\n")
        held.append(head)
        for line in more:
            number += 1
            yield from _line("".join(held), path, number)
            held = [line]
        if sum(map(len, held)) > LONGEST_RECORD:
            raise _not_a_record(f"{path}:{number + 1}", "the line does not end")
    yield from _line("".join(held), path, number + 1)


def _line(line: str, path: Path, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    if not line.strip():
        return
    where = f"{path}:{number}"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _not_a_record(where, f"the line is not JSON: {error}") from error
    yield where, _object(value, where)


def _array(fragments: Iterator[str], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    decoder = json.JSONDecoder()
    buffer = next(fragments).lstrip(_BETWEEN)[1:]
    number = 0
    while True:
        buffer = buffer.lstrip(_BETWEEN + ",")
        where = f"{path}, record {number}"
        if buffer.startswith("]"):
            return
        try:
            value, end = decoder.raw_decode(buffer)
        except (ValueError, RecursionError) as error:
            more = next(fragments, "")
            if not more or len(buffer) > LONGEST_RECORD:
                raise _not_a_record(where, f"the array is not JSON: {error}") from error
            buffer += more
            continue
        yield where, _object(value, where)
        buffer = buffer[end:]
        number += 1


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _not_a_record(where, f"the record is {type(value).__name__}, not an object")
    return value


def _not_a_record(where: str, what: str) -> BadData:
    return BadData(
        what,
        where=where,
        expected='one JSON object, such as {"text": "…"}',
        remedy="repair or remove this record; plain text has the ending .txt",
    )


def document_of(record: dict[str, Any], fields: Sequence[str], where: str) -> Document:
    """The named fields of a record, joined by line feeds. Raises BadData when one is missing or no text."""
    parts = []
    for name in fields:
        value = record.get(name)
        if not isinstance(value, str):
            raise BadData(
                f"field {name!r} is {'missing' if name not in record else type(value).__name__}",
                where=where,
                expected=f"text in {', '.join(map(repr, fields))}; this record has {', '.join(map(repr, record))}",
                remedy=f"name the field that holds the text: --field {next(_texts(record), 'NAME')}",
            )
        parts.append(value)
    text = "\n".join(parts)
    check_text(text, where)
    return Document(text, where=where)


def check_text(text: str, where: str) -> None:
    """Raise BadData for text that no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadData(
            f"the text contains half a surrogate pair, U+{ord(text[error.start]):04X}",
            where=where,
            expected="Unicode text",
            remedy="repair the escape \\ud800 … \\udfff in this record",
        ) from error


def _texts(record: dict[str, Any]) -> Iterator[str]:
    return (name for name, value in record.items() if isinstance(value, str))
