"""What is measured becomes evidence in the log: results of checks, verdicts of gates, figures of runs.

Each carries the run, seed, count and interval it stands on, and the digest of the bytes it was read from, so that
`recheck` can hold it against them later. An id (E1, E2, …) comes when it is appended.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from think.core.errors import BadData, InputOutput, Missing
from think.core.handoff.state import Evidence, State
from think.core.runs import RunFolder, runs
from think.core.telemetry.summary import Summary
from think.core.telemetry.tail import latest_start, read_backwards
from think.core.telemetry.writer import segments

FIELDS = (
    "kind", "subject", "text", "passed", "run", "value", "count", "interval", "seed", "sources", "commit", "dirty",
    "verdict", "results",
)  # fmt: skip

SCANNED_RECORDS = 50_000
"Records looked at for the newest evaluation: about a second of reading."

_GOOD, _BAD = ("PASS", "WARN"), ("FAIL",)


def of_checks(task: str, results: Sequence[dict[str, Any]], commit: str | None, dirty: bool | None) -> dict[str, Any]:
    """The results of a task's checks, run just now."""
    passed = sum(result["passed"] for result in results)
    return _evidence(
        kind="checks",
        subject=task,
        text=f"{passed} of {len(results)} check{'s' * (len(results) != 1)} passed",
        passed=passed == len(results),
        count=len(results),
        commit=commit,
        dirty=dirty,
        results=list(results),
    )


def of_gate(gate: str, run: RunFolder | None, runs_folder: Path, root: Path) -> dict[str, Any]:
    """The newest stored verdict of a gate. run: None for gates judged on a fresh model.

    Raises Missing when the gate was not judged, InputOutput.
    """
    from think.core.gates import store  # pydantic: only who enters a verdict pays for it

    path = store.fresh_file(runs_folder) if run is None else run.gates_file
    found = [line for line in store.lines(path) if line.stored is not None and line.stored.gate == gate]
    command = f"think gate {gate}" + (f" --run {run.name}" if run is not None else " --preset NAME")
    if not found:
        raise Missing(f"{gate} has no stored verdict", where=str(path), remedy=f"judge it: {command}")
    stored = found[-1].stored
    assert stored is not None
    verdict = stored.verdict
    figure = next(iter(verdict.deciding()), None)
    content = _bytes(path)
    lines = content.split(b"\n")
    size = sum(len(line) + 1 for line in lines[: found[-1].number])
    word = verdict.status.value
    return _evidence(
        kind="gate",
        subject=gate,
        text=verdict.line(),
        passed=True if word in _GOOD else False if word in _BAD else None,
        run=None if run is None else run.name,
        value=None if figure is None else _finite(figure.value),
        count=None if figure is None else figure.count,
        interval=None if figure is None or figure.interval is None else [_finite(edge) for edge in figure.interval],
        seed=stored.source.seed,
        sources={_relative(path, root): _prefix(content, min(size, len(content)))},
        commit=stored.source.commit,
        dirty=stored.source.dirty,
        verdict=word,
    )


def judged_last(gate: str, runs_folder: Path) -> RunFolder | None:
    """The run about which a gate spoke last; None when that was about a fresh model, or when it never spoke."""
    from think.core.gates import store

    spoken = [
        (record.time, place, run)
        for place, run in enumerate((None, *runs(runs_folder)))
        for record in store.read([store.fresh_file(runs_folder) if run is None else run.gates_file])
        if record.gate == gate
    ]
    return max(spoken, key=lambda each: each[:2])[2] if spoken else None


def of_run(run: RunFolder, root: Path) -> dict[str, Any]:
    """The figures of a run as its telemetry has them now. Raises BadData for a run without telemetry, InputOutput."""
    summary = Summary.of(run.path)
    start = latest_start(run.path)
    if summary.state == "created" or start is None:
        raise BadData(
            "this run has recorded nothing yet",
            where=str(run.path),
            expected="a run that was started",
            remedy="train it",
        )
    held_out = None
    for count, record in enumerate(read_backwards(run.path)):
        if record.kind == "eval" or count >= SCANNED_RECORDS:
            held_out = record if record.kind == "eval" else None
            break
    loss = None if held_out is None else held_out.number("loss")
    steps = f"{summary.step or 0:,} steps" + (f" of {summary.steps:,}" if summary.steps is not None else "")
    interval = None if held_out is None else held_out.fields.get("interval")
    proper = isinstance(interval, list) and len(interval) == 2 and all(isinstance(each, float) for each in interval)
    seed = start.fields.get("seed")
    files = [path for path in (run.settings_file, *segments(run.path)) if path.is_file()]
    sources = {}
    for path in files:
        content = _bytes(path)
        whole = content if path == run.settings_file else content[: content.rfind(b"\n") + 1]
        sources[_relative(path, root)] = _prefix(content, len(whole))
    return _evidence(
        kind="run",
        subject=run.name,
        text=f"{summary.state} after {steps}, "
        + ("no held-out loss" if loss is None else f"held-out loss {loss:.4f} nats per token"),
        run=run.name,
        value=_finite(loss),
        count=None if held_out is None else _whole(held_out.fields.get("tokens")),
        interval=[_finite(edge) for edge in interval] if proper and interval is not None else None,
        seed=_whole(seed),
        sources=sources,
    )


def numbered(state: State, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with the next free ids."""
    return [{"id": f"E{len(state.evidence) + place}", **each} for place, each in enumerate(found, start=1)]


def recheck(evidence: Evidence, root: Path) -> tuple[list[str], list[str]]:
    """(what is wrong, what is gone) when evidence is held against the files that it was read from."""
    wrong, gone = [], []
    if _digest({name: _plain(getattr(evidence, name)) for name in FIELDS}) != evidence.digest:
        wrong.append("its text is not what was hashed")
    for name, held in evidence.sources.items():
        try:
            content = _bytes(root / name)
        except Missing:
            gone.append(name)
            continue
        if _prefix(content, held["bytes"]) != held:
            wrong.append(f"{name} is not what it was read from")
    return wrong, gone


def _evidence(
    *,
    kind: str,
    subject: str,
    text: str,
    passed: bool | None = None,
    run: str | None = None,
    value: float | str | None = None,
    count: int | None = None,
    interval: list[float | str | None] | None = None,
    seed: int | None = None,
    sources: dict[str, Any] | None = None,
    commit: str | None = None,
    dirty: bool | None = None,
    verdict: str | None = None,
    results: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    fields = {
        "kind": kind,
        "subject": subject,
        "text": text,
        "passed": passed,
        "run": run,
        "value": value,
        "count": count,
        "interval": interval,
        "seed": seed,
        "sources": sources or {},
        "commit": commit,
        "dirty": dirty,
        "verdict": verdict,
        "results": results or [],
    }
    return {**fields, "digest": _digest(fields)}


def _digest(fields: Any) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True, allow_nan=False).encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Missing("it is not there any more", where=str(path)) from None
    except OSError as error:
        raise InputOutput(f"it cannot be read: {error.strerror}", where=str(path)) from error


def _prefix(content: bytes, size: int) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content[:size]).hexdigest(), "bytes": size}


def _relative(path: Path, root: Path) -> str:
    absolute = path.resolve()
    return absolute.relative_to(root.resolve()).as_posix() if absolute.is_relative_to(root.resolve()) else str(absolute)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _finite(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
