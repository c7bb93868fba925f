"""Verdicts on disk, one JSON line each, never changed once written.

    RUN/gates.jsonl      verdicts about a run
    runs/.gates.jsonl    verdicts about fresh models, found again by their digests

A stored verdict counts for a later question only while it stands: same digests, same thresholds, its waiver not over.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from think.core.errors import InputOutput
from think.core.gates.evidence import Source, canonical
from think.core.gates.verdict import Status, Verdict

SCHEMA = "think.gate.record/1"
FRESH = ".gates.jsonl"


@dataclass(frozen=True)
class Stored:
    """One verdict with everything needed to check it again.

    thresholds     the gate's settings as plain data, with their sha256 taken before any evidence was read
    evidence       {"name", "sha256", "values"}, None where there was none
    time           ISO 8601, UTC
    """

    gate: str
    verdict: Verdict
    thresholds: dict[str, Any]
    thresholds_sha256: str
    evidence: dict[str, Any] | None
    source: Source
    time: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "time": self.time,
            "gate": self.gate,
            "verdict": self.verdict.as_json(),
            "thresholds": self.thresholds,
            "thresholds_sha256": self.thresholds_sha256,
            "evidence": self.evidence,
            "source": self.source.as_json(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Stored":
        """Raises ValueError, KeyError or TypeError when this is no stored verdict."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r} is not {SCHEMA!r}")
        return cls(
            gate=data["gate"],
            verdict=Verdict.from_json(data["verdict"]),
            thresholds=data["thresholds"],
            thresholds_sha256=data["thresholds_sha256"],
            evidence=data["evidence"],
            source=Source.model_validate(data["source"]),
            time=data["time"],
            notes=tuple(data["notes"]),
        )


@dataclass(frozen=True)
class Line:
    """One line of a file of verdicts: the verdict, or what is wrong with the line."""

    number: int
    stored: Stored | None
    problem: str = ""


def fresh_file(runs_folder: Path) -> Path:
    """Where verdicts without a run are kept."""
    return runs_folder / FRESH


def append(path: Path, stored: Stored) -> None:
    """Add one verdict in one write; a torn last line is closed off first. Raises InputOutput when it cannot."""
    line = canonical(stored.as_json()) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            if os.write(descriptor, line) != len(line):
                raise OSError("short write")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputOutput(
            f"the verdict could not be stored: {error.strerror or error}",
            where=str(path),
            remedy="free some space, or let this folder be written",
        ) from error


def lines(path: Path) -> list[Line]:
    """Every line of a file of verdicts, oldest first; no file means no verdicts."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputOutput(f"verdicts cannot be read: {error.strerror}", where=str(path)) from error
    found = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(Line(number, Stored.from_json(json.loads(line))))
        except (ValueError, KeyError, TypeError) as error:  # pydantic's and the JSON decoder's are ValueErrors
            found.append(Line(number, None, f"no stored verdict: {type(error).__name__}: {str(error).splitlines()[0]}"))
    return found


def read(paths: Iterable[Path]) -> list[Stored]:
    """All readable verdicts of several files, oldest first."""
    found = [line.stored for path in paths for line in lines(path) if line.stored is not None]
    return sorted(found, key=lambda stored: stored.time)


def standing(
    records: Iterable[Stored], gate: str, digests: Mapping[str, str | None], thresholds_sha256: str, today: date
) -> tuple[Status, str]:
    """The word of a gate's newest verdict for this question, and why it is no better.

    digests: what the gate hangs on, as it is now. A verdict on other digests or thresholds is stale, an expired waiver
    is none; both are NO_EVIDENCE.
    """
    mine = [record for record in records if record.gate == gate]
    if not mine:
        return Status.NO_EVIDENCE, f"{gate} has no stored verdict"
    matching = [record for record in mine if not mismatches(record, digests, thresholds_sha256)]
    if not matching:
        changed = ", ".join(mismatches(mine[-1], digests, thresholds_sha256))
        return Status.NO_EVIDENCE, f"{gate}'s verdict of {mine[-1].time} is stale: {changed} changed"
    newest = matching[-1]
    verdict = newest.verdict
    if verdict.status is Status.WAIVED and (verdict.waiver is None or not verdict.waiver.holds(today)):
        until = verdict.waiver.until.isoformat() if verdict.waiver else "never"
        return Status.NO_EVIDENCE, f"{gate}'s waiver ended on {until}"
    return verdict.status, f"{gate} is {verdict.status}"


def mismatches(record: Stored, digests: Mapping[str, str | None], thresholds_sha256: str) -> list[str]:
    """Names of digests (and "thresholds") in which a stored verdict differs from what is asked about now.

    A digest that is unknown on either side differs.
    """
    held = record.source.digests
    differing = [name for name, digest in digests.items() if digest is None or held.get(name) != digest]
    return differing + (["thresholds"] if record.thresholds_sha256 != thresholds_sha256 else [])
