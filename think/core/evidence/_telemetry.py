"""What a run's telemetry says about its training, and exactly which bytes said it.

Torch-free, so that stored verdicts can be checked again anywhere.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from think.core.gates.evidence import HeldOut, Span
from think.core.telemetry.records import Record, decode
from think.core.telemetry.tail import History
from think.core.telemetry.writer import segments

HELD_OUT = "validation"
UNFINISHED = "unfinished"
"State of a run whose last process has not said how it ended: it runs, or it was killed."


@dataclass(frozen=True)
class Course:
    """The course of a run as its records tell it; what a resumed part does again counts once."""

    state: str
    steps_planned: int
    steps_done: int
    evaluations: tuple[HeldOut, ...]
    gradient_norms: tuple[float, ...]
    gradient_steps: tuple[int, ...]
    gradient_ratios: tuple[float, ...]
    "gradient norm of one branch over that of the other, where recorded"
    tokens: int
    "trained on, as the last step recorded"
    resumed: int
    starts: tuple[Record, ...]
    whole: HeldOut | None
    "the last evaluation over the whole held-out split"


def spans(folder: Path) -> tuple[Span, ...]:
    """All complete lines of every segment of a run, as byte ranges with their sha256."""
    found = []
    for path in segments(folder):
        content = path.read_bytes()
        stop = content.rfind(b"\n") + 1
        if stop:
            digest = hashlib.sha256(content[:stop]).hexdigest()
            found.append(Span(file=path.name, start=0, stop=stop, sha256=digest))
    return tuple(found)


def read(folder: Path, where: tuple[Span, ...]) -> bytes:
    """The bytes of some spans, joined. Raises FileNotFoundError, or ValueError naming a span that has changed."""
    parts = []
    for span in where:
        if Path(span.file).name != span.file:
            raise ValueError(f"{span.file!r} is no file of a run folder")
        with open(folder / span.file, "rb") as file:
            file.seek(span.start)
            content = file.read(span.stop - span.start)
        if hashlib.sha256(content).hexdigest() != span.sha256:
            raise ValueError(f"{span.file}, bytes {span.start} to {span.stop}, is not what was read then")
        parts.append(content)
    return b"".join(parts)


def course(content: bytes) -> Course:
    """Make out the course of a run from its records; lines that are no records are passed over."""
    history = History()
    for line in content.split(b"\n"):
        if not line:
            continue
        try:
            history.add([decode(line)])
        except ValueError:
            continue
    return _course(history.records)


def _course(records: list[Record]) -> Course:
    starts = [record for record in records if record.kind == "run_start"]
    evaluations = [
        (record, _held_out(record)) for record in records if record.kind == "eval" and record.text("split") == HELD_OUT
    ]
    held_out = [(record, point) for record, point in evaluations if point is not None]
    norms = [
        (record.step, record.number("gradient_norm"))
        for record in records
        if record.kind == "step" and record.step is not None and "gradient_norm" in record.fields
    ]
    done = [r.step for r in records if r.kind in ("step", "eval", "checkpoint") and r.step is not None]
    planned = starts[-1].fields.get("steps") if starts else None
    return Course(
        state=_state(records),
        steps_planned=planned if isinstance(planned, int) else 0,
        steps_done=max(done, default=0),
        evaluations=tuple(point for _, point in held_out),
        gradient_norms=tuple(float("nan") if norm is None else norm for _, norm in norms),
        gradient_steps=tuple(step for step, _ in norms),
        gradient_ratios=tuple(
            ratio
            for record in records
            if record.kind == "component_gradients" and (ratio := record.number("ratio")) is not None
        ),
        tokens=max((n for r in records if r.kind == "step" and (n := r.fields.get("tokens")) is not None), default=0),
        resumed=sum(isinstance(start.fields.get("resumed_from_step"), int) for start in starts),
        starts=tuple(starts),
        whole=next((point for record, point in reversed(held_out) if record.fields.get("whole") is True), None),
    )


def _state(records: list[Record]) -> str:
    for record in reversed(records):
        if record.kind == "run_end":
            return record.text("status") or UNFINISHED
        if record.kind == "run_start":
            return UNFINISHED
    return UNFINISHED


def _held_out(record: Record) -> HeldOut | None:
    loss, tokens = record.number("loss"), record.fields.get("tokens")
    if record.step is None or loss is None or not isinstance(tokens, int):
        return None
    return HeldOut(step=record.step, loss=loss, tokens=tokens)
