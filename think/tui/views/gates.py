"""The board of gates: the newest stored verdict of each, whether it still stands, and what waits for what.

Only the verdicts are read, without the library that makes evidence: a frame must not wait for it. What a gate asks and
which one it follows is read from its file without importing it.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from think.core import plugins
from think.core.gates.verdict import Finding as StoredFinding
from think.core.gates.verdict import Status, Verdict
from think.core.text import one_line
from think.tui.view import Finding, GateBoard, GateRow, Setting

FAMILY = "think.core.gates.checks"
SCHEMA = "think.gate.record/1"
LARGEST_FILE = 32 * 1024 * 1024
NOT_COMPARED = frozenset({"code", "gates", "runtime"})
"Digests that say nothing about what was judged; all others are compared where both sides have them."


@dataclass(frozen=True)
class Held:
    """One stored verdict as plain data, with the parts that the board needs decoded."""

    gate: str
    verdict: Verdict
    time: str
    record: Mapping[str, Any]


def read(path: Path) -> tuple[list[Held], list[str]]:
    """The verdicts in a file, oldest first, and what is wrong with its lines. A file that is not there holds none."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{path.name} cannot be read: {error.strerror}"]
    found, problems = [], []
    *lines, unfinished = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if record["schema"] != SCHEMA:
                raise ValueError("schema")
            verdict = Verdict.from_json(record["verdict"])
            found.append(Held(str(record["gate"]), verdict, str(record["time"]), record))
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
            problems.append(f"{path.name}:{number} is no stored verdict")
    if unfinished.strip():
        problems.append(f"{path.name} ends in a torn line")
    return found, problems


def board(
    about_run: Iterable[Held],
    fresh: Iterable[Held],
    digests: Mapping[str, str],
    settings: tuple[Setting, ...],
    problems: Iterable[str],
    now: float,
) -> GateBoard:
    """All gates in order. A verdict on a fresh model counts where every digest that both know is equal."""
    candidates = [*(held for held in fresh if _agrees(held, digests)), *about_run]
    newest: dict[str, Held] = {}
    for held in sorted(candidates, key=lambda held: held.time):
        newest[held.gate] = held
    known = declared()
    names = [*known, *sorted(set(newest) - set(known))]
    stale = {name: _stale(newest[name], digests, settings, now) for name in newest}
    stands = {name: newest[name].verdict.status.opens and not stale[name] for name in newest}
    rows = []
    for name in names:
        about, after = known.get(name, ("", None))
        rows.append(
            _row(
                name,
                newest.get(name),
                about=about,
                after=after,
                blocks=tuple(other for other, (_, before) in known.items() if before == name),
                blocked_by=_first_closed(after, known, stands),
                stale=stale.get(name, ""),
                now=now,
            )
        )
    return GateBoard(tuple(rows), tuple(map(one_line, problems)))


@cache
def declared() -> dict[str, tuple[str, str | None]]:
    """Every gate in the order of judging: what it asks, and the gate it follows."""
    found = {}
    for file in plugins.names(FAMILY):
        tree = ast.parse((plugins.folder(FAMILY) / f"{file}.py").read_text(encoding="utf-8"))
        about = (ast.get_docstring(tree) or "").partition("\n")[0]
        found[file.replace("_", ".")] = (about, _after(tree))
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _after(tree: ast.Module) -> str | None:
    """The constant behind `after=` in `SPEC = Gate(...)`."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and any(isinstance(target, ast.Name) and target.id == "SPEC" for target in node.targets)
        ):
            for keyword in node.value.keywords:
                if keyword.arg == "after" and isinstance(keyword.value, ast.Constant):
                    return keyword.value.value if isinstance(keyword.value.value, str) else None
    return None


def _order(gate: str) -> tuple[Any, ...]:
    return tuple(int(part) if part.isdigit() else part for part in gate.lstrip("g").split("."))


def _first_closed(
    gate: str | None, known: Mapping[str, tuple[str, str | None]], stands: Mapping[str, bool]
) -> str | None:
    """The earliest gate in the chain before this one that does not stand; None when all do."""
    closed, seen = None, set()
    while gate is not None and gate not in seen:
        seen.add(gate)
        if not stands.get(gate, False):
            closed = gate
        gate = known[gate][1] if gate in known else None
    return closed


def _row(
    name: str,
    held: Held | None,
    *,
    about: str,
    after: str | None,
    blocks: tuple[str, ...],
    blocked_by: str | None,
    stale: str,
    now: float,
) -> GateRow:
    if held is None:
        return GateRow(one_line(name), one_line(about), after=after, blocks=blocks, blocked_by=blocked_by)
    verdict = held.verdict
    return GateRow(
        gate=one_line(name),
        about=one_line(about),
        verdict=verdict.status.value,
        evidence=one_line(verdict.line()),
        reason=one_line(verdict.reason),
        remedy=None if verdict.remedy is None else one_line(verdict.remedy),
        findings=tuple(map(_finding, verdict.deciding())),
        time=one_line(held.time, 64),
        age=_age(held.time, now),
        after=after,
        blocks=blocks,
        blocked_by=blocked_by,
        stale=one_line(stale),
        source=_source(held.record),
        record=_plain(held.record),
    )


def _finding(found: StoredFinding) -> Finding:
    return Finding(
        name=one_line(found.name),
        status=found.status.value,
        seen=one_line(found.seen()),
        wanted=one_line(found.wanted),
        value=found.value,
        count=found.count,
        interval=found.interval,
    )


def _agrees(held: Held, digests: Mapping[str, str]) -> bool:
    return not _moved(_digests(held.record), digests)


def _moved(theirs: Mapping[str, str], digests: Mapping[str, str]) -> list[str]:
    shared = sorted(set(theirs) & set(digests) - NOT_COMPARED)
    return [name for name in shared if theirs[name] != digests[name]]


def _stale(held: Held, digests: Mapping[str, str], settings: tuple[Setting, ...], now: float) -> str:
    """Why a verdict no longer counts; "" while it does."""
    waiver = held.verdict.waiver
    today = datetime.fromtimestamp(now, UTC).date()
    if held.verdict.status is Status.WAIVED and waiver is not None and not waiver.holds(today):
        return f"its waiver ended on {waiver.until.isoformat()}"
    changed = _moved(_digests(held.record), digests)
    prefix = f"gates.{held.gate.replace('.', '_')}."
    own = {setting.key.removeprefix(prefix): setting.value for setting in settings if setting.key.startswith(prefix)}
    thresholds = held.record.get("thresholds")
    judged = dict(_leaves(thresholds)) if isinstance(thresholds, dict) else {}
    if any(key in judged and not _equal(judged[key], value) for key, value in own.items()):
        changed.append("thresholds")
    return f"{', '.join(changed)} changed since" if changed else ""


def _equal(judged: Any, written: str) -> bool:
    if judged is None:
        return written == "none"
    if isinstance(judged, bool):
        return written == str(judged).lower()
    if isinstance(judged, (int, float)):
        try:
            return float(written) == judged
        except ValueError:
            return False
    return str(judged) == written if isinstance(judged, str) else True


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _digests(record: Mapping[str, Any]) -> dict[str, str]:
    source = record.get("source")
    digests = source.get("digests") if isinstance(source, dict) else None
    return {str(name): str(digest) for name, digest in digests.items()} if isinstance(digests, dict) else {}


def _source(record: Mapping[str, Any]) -> dict[str, str]:
    """Where the evidence comes from, in words."""
    source = record.get("source")
    if not isinstance(source, dict):
        return {}
    found: dict[str, Any] = {name: source.get(name) for name in ("run", "seed", "checkpoint_path", "commit")}
    if source.get("commit") is not None and source.get("dirty"):
        found["commit"] = f"{source['commit']}, with local changes"
    spans = source.get("spans")
    if isinstance(spans, list) and spans:
        found["spans"] = ", ".join(
            f"{span.get('file')} bytes {span.get('start')}-{span.get('stop')}"
            for span in spans
            if isinstance(span, dict)
        )
    found["thresholds sha256"] = record.get("thresholds_sha256")
    evidence = record.get("evidence")
    if isinstance(evidence, dict):
        found["evidence sha256"] = evidence.get("sha256")
    return {one_line(name): one_line(str(value)) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    """The record with every text made harmless."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {one_line(str(name)): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _age(time: str, now: float) -> float | None:
    try:
        when = datetime.fromisoformat(time)
    except ValueError:
        return None
    return max(now - (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp(), 0.0)
