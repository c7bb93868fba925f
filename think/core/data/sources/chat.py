"""Conversations in JSON lines: {"messages": [{"role": "user", "content": "…"}, …]}; only the assistant is scored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args

from think.core.data.sources import Document, Origin, Reading, Role, Source, SourceSettings, Turn
from think.core.data.sources._records import SUFFIXES, check_text, read_records
from think.core.data.sources.text import files, origins_of
from think.core.errors import BadData
from think.presets.base import knob

ROLES: tuple[str, ...] = get_args(Role)


class Settings(SourceSettings):
    """Conversations, each packed as bos, then for each turn its role, its text and endofturn, then eos."""

    kind: Literal["chat"] = "chat"
    path: str = knob(acts_on="data")
    "file, or folder whose .jsonl, .ndjson and .json files are read in the order of their names"


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """One document per conversation."""
    for path in files(Path(settings.path), SUFFIXES):
        for where, record in read_records(path, reading):
            yield conversation(record, where)


def conversation(record: dict[str, Any], where: str) -> Document:
    """The turns of one record. Raises BadData that names the message."""
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _unfit("it has no list of messages", where)
    turns = tuple(_turn(message, f"{where}, message {number}") for number, message in enumerate(messages))
    return Document(turns=turns, where=where)


def _turn(message: Any, where: str) -> Turn:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        raise _unfit("the message has no text in `content`", where)
    if message.get("role") not in ROLES:
        raise _unfit(f"role {message.get('role')!r} is none of {', '.join(ROLES)}", where)
    check_text(message["content"], where)
    return Turn(cast(Role, message["role"]), message["content"])


def _unfit(what: str, where: str) -> BadData:
    return BadData(
        what,
        where=where,
        expected='{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
        remedy="repair or remove this record",
    )


def origins(settings: Settings) -> tuple[Origin, ...]:
    """The files, with size and sha256."""
    return origins_of(files(Path(settings.path), SUFFIXES))


SPEC = Source(Settings, documents, origins, has_turns=True)
