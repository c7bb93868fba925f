"""One event of the handoff log: a line of JSON that carries the digest of itself and of the line before it.

    {"sha256":"…","previous":"…","schema":"think.handoff/1","seq":7,"time":"…","actor":{…},"kind":"start","task":"T1","data":{…}}

`sha256` is taken over the bytes that follow it, `previous` included, so that a changed byte anywhere breaks the chain
at its own line. Standard library only.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SCHEMA = "think.handoff/1"
START = "0" * 64
"What the first event names as its predecessor."

LARGEST_EVENT = 1024 * 1024
"Bytes of one line; a backlog of a thousand tasks is a quarter of it."

_HEAD = b'{"sha256":"'
_BODY = len(_HEAD) + 64 + 2  # the digest, its closing quote, a comma
_ACTOR = ("owner", "session", "pid", "host")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made an event. owner: a person or an agent; session: from its first event to its `end`, such as "S3"."""

    owner: str
    session: str
    pid: int
    host: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a place in the log."""

    kind: str
    data: Mapping[str, Any]
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it stands in the log. seq counts from 1; time in seconds since 1970."""

    seq: int
    time: float
    actor: Actor
    kind: str
    task: str | None
    data: Mapping[str, Any]
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "time": stamp(self.time),
            "actor": {name: getattr(self.actor, name) for name in _ACTOR},
            "kind": self.kind,
            "task": self.task,
            "data": self.data,
            "sha256": self.sha256,
        }


def encode(draft: Draft, *, seq: int, time: float, actor: Actor, previous: str) -> tuple[bytes, str]:
    """The line of an event, newline included, and its digest. Raises ValueError for what JSON cannot hold."""
    rest = json.dumps(
        {
            "previous": previous,
            "schema": SCHEMA,
            "seq": seq,
            "time": stamp(time),
            "actor": {name: getattr(actor, name) for name in _ACTOR},
            "kind": draft.kind,
            "task": draft.task,
            "data": draft.data,
        },
        ensure_ascii=True,  # lone surrogates survive, and no character of a text can look like an end of line
        separators=(",", ":"),
        allow_nan=False,
    ).encode("ascii")[1:]
    digest = hashlib.sha256(rest).hexdigest()
    return _HEAD + digest.encode("ascii") + b'",' + rest + b"\n", digest


def decode(line: bytes, *, seq: int, previous: str) -> Event:
    """The event in a line (without its newline) that must be number `seq` and follow `previous`.

    Raises ValueError that says in a few words why this line is not that event.
    """
    if not line.startswith(_HEAD) or line[_BODY - 2 : _BODY] != b'",':
        raise ValueError("it is no event of this log")
    digest = line[len(_HEAD) : _BODY - 2].decode("ascii", errors="replace")
    if hashlib.sha256(line[_BODY:]).hexdigest() != digest:
        raise ValueError("its text is not what was hashed when it was written")
    try:
        data = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if data["previous"] != previous:
        raise ValueError("it does not follow the line before it: something between them is gone, added or moved")
    if data["schema"] != SCHEMA:
        raise ValueError(f"its schema is {data['schema']!r}, not {SCHEMA!r}")
    if data["seq"] != seq:
        raise ValueError(f"it is number {data['seq']!r}, not {seq}")
    try:
        return Event(
            seq=seq,
            time=seconds(data["time"]),
            actor=Actor(*(data["actor"][name] for name in _ACTOR)),
            kind=data["kind"],
            task=data["task"],
            data=data["data"],
            sha256=digest,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"it lacks what every event has ({error})") from error


def stamp(time: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    """The reverse of `stamp`. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def day_and_minute(time: float) -> str:
    """A moment for people: 2026-01-31 12:34 UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
