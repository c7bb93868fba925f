"""One event in one line, for people. Standard library only."""

from collections.abc import Mapping
from typing import Any

from think.core.handoff.events import Event


def tell(event: Event) -> str:
    """What an event did, without its time and owner."""
    about = f"{event.task} " if event.task is not None else ""
    return " ".join(f"{event.kind:<9}{about}{_said(event.kind, event.data)}".split("\n")).rstrip()


def _said(kind: str, data: Mapping[str, Any]) -> str:
    if kind in ("init", "add"):
        return f"{len(data['tasks'])} tasks" + (f": {data['reason']}" if kind == "add" else f" of {data['title']!r}")
    if kind == "start":
        takeover = data["takeover"]
        taken = f"taken over from {takeover['from']} ({takeover['how']})" if takeover else ""
        return "; ".join(part for part in (taken, data["reason"] or "") if part)
    if kind == "progress":
        return _progress(data)
    if kind in ("checked", "done"):
        return "; ".join(f"{each['id']} {each['text']}" for each in data["evidence"])
    if kind == "stale":
        return f"changed: {', '.join(data['changed'])}"
    if kind == "block":
        return f"{data['reason']} (unblocks: {data['unblocks']})"
    if kind == "unblock":
        return str(data["how"])
    if kind == "split":
        return f"into {', '.join(part['id'] for part in data['parts'])}: {data['reason']}"
    if kind == "drop":
        return str(data["reason"])
    if kind == "end":
        return f"{data['status']}; next: {data['next']}"
    return str(data["text"])


def _progress(data: Mapping[str, Any]) -> str:
    parts = [f"wrong: {data['wrong']}; now known:"] if data["wrong"] else []
    parts += [data["text"]] if data["text"] else []
    parts += [f"{each['id']} {each['subject']}: {each['text']}" for each in data["evidence"]]
    if data["claim"]:
        cites = data["claim"]["cites"]
        parts.append(
            f"claim {data['claim']['id']} {data['claim']['text']}" + (f" ({', '.join(cites)})" if cites else "")
        )
    if data["deprecated"]:
        parts.append(f"do not use {data['deprecated']['reference']}: {data['deprecated']['why']}")
    if data["retract"]:
        parts.append(f"takes back {data['retract']['id']}: {data['retract']['why']}")
    return " ".join(parts)
