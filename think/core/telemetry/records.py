"""The records of a run: one JSON object a line, the same for every writer and reader. Standard library only.

Every record carries the envelope

    v      format version, 1
    run    name of the run
    seq    counts the records of one process from 0, dropped ones included: a gap is a loss
    time   seconds since 1970;   mono  seconds of a clock that never jumps, comparable within one process
    kind   one of KINDS; a reader keeps kinds that it does not know
    step   optimizer steps done when the record was made (the first update makes step 1); null outside training

and beside it the fields of its kind, declared below. NaN and infinities are the strings "nan", "inf" and "-inf", so
that every line is strict JSON; `decode` turns them back into numbers in fields that hold numbers.

A run resumed from step N supersedes every earlier record with step > N, except those of LIFECYCLE, which tell what the
processes did and not what the training did.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any, TypedDict, TypeGuard, get_args, get_type_hints

VERSION = 1
LARGEST_RECORD = 64 * 1024
"Bytes of one line. A larger record leaves out its largest fields and names them in `omitted`."

ENVELOPE = ("v", "run", "seq", "time", "mono", "kind", "step")
LIFECYCLE = frozenset({"run_start", "run_end", "heartbeat", "log"})


class RunStart(TypedDict, total=False):
    """A process begins, or goes on with, the run. The writer adds who it is."""

    pid: int
    host: str
    boot_id: str | None
    process_started: int | None  # clock ticks after boot
    version: str  # of this package
    stage: str
    preset: str
    seed: int
    steps: int  # planned optimizer steps of the run
    tokens_per_step: int
    rows_per_step: int  # in a stage that counts examples
    parameters: int
    resumed_from_step: int | None  # null: from the beginning, superseding everything
    digests: dict[str, str]  # of each settings section, the data and the tokenizer
    device: str
    threads: int


class Step(TypedDict, total=False):
    """One optimizer step."""

    loss: float  # nats per scored token, mean over the step, without auxiliary terms; of a later stage, its whole loss
    objective: float  # what was differentiated: loss and auxiliary terms
    learning_rate: float
    gradient_norm: float  # before clipping
    tokens: int  # scored since the start of the run
    tokens_per_second: float
    rows: int  # examples since the start of the run, in a stage that counts these and no tokens
    rows_per_second: float
    seconds: float  # duration of this step
    length: int  # tokens per row in this step
    entropy: float  # nats, of the predicted distribution
    h0_gradient: float  # norm of the gradient of the trained start states; 0 in a step without a reset
    h0_share: float  # share of the steps so far in which it was above 0


class Evaluation(TypedDict, total=False):
    """Held-out loss."""

    split: str
    loss: float  # nats per token; of a later stage, its whole loss
    tokens: int  # scored: the count behind `loss`
    rows: int  # the same in a stage that counts examples; what else it measures stands beside, by its own name
    interval: list[float]  # low, high: 95 % of the bootstrap
    unigram_loss: float  # of the baseline that knows only token frequencies
    whole: bool  # the split was read to its end
    seconds: float


class Checkpoint(TypedDict, total=False):
    """A verified checkpoint, or (with `passed_over`) the finding that one is damaged."""

    path: str  # inside the run folder
    bytes: int
    seconds: float
    passed_over: list[str]  # damaged checkpoints and why, found while looking for a good one


class Gate(TypedDict, total=False):
    """A verdict."""

    gate: str
    verdict: str
    reason: str


class Anomaly(TypedDict, total=False):
    """A rule fired."""

    rule: str
    value: float
    limit: float
    message: str
    detail_until_step: int  # telemetry is more detailed up to this step


class Heartbeat(TypedDict, total=False):
    """The process lives; every 10 seconds, whatever the training does."""

    resident_bytes: int | None
    dropped: int  # records lost so far by this process


class StateHealth(TypedDict, total=False):
    """The recurrent state of one layer and branch, read before StateNorm."""

    layer: int
    branch: str
    norm: float  # root mean square of the entries
    largest: float  # largest absolute entry
    participation: float  # participation ratio of the squared singular values
    rank: float  # effective rank: exp of the entropy of the normalised singular values
    entropy: float  # nats, of the normalised singular values
    saturated: float  # share of gates beyond their useful range
    cosine: float  # between the state that entered the step and the one that left it
    hidden_entropy: float  # nats, of the last hidden vector's normalised magnitudes
    logit_entropy: float  # nats, of the predicted distribution


class ComponentGradients(TypedDict, total=False):
    """Gradient norms by component (rwkv, mamba, attention, ffn, embedding)."""

    norms: dict[str, float]
    ratio: float | None  # of the recurrent branches, rwkv over mamba; null with fewer than two
    warning: bool  # the ratio is outside its band


class Search(TypedDict, total=False):
    """A search for a plan, made beside a text that is written."""

    generation: int  # counts the texts of the process
    captured: int  # position of the state that it began from
    position: int  # position that the plan is for
    waited: float  # seconds from the request to its begin
    seconds: float  # that it took
    tokens: list[int]  # of the plan
    confidence: list[float]  # of each layer
    simulations: int
    nodes: int
    depth: int  # of the deepest node
    value: float  # of the root
    actions: list[int]  # of the root, the most visited first
    visits: list[int]  # of each of them, and so on
    values: list[float]
    priors: list[float]


class Injection(TypedDict, total=False):
    """What became of a plan."""

    generation: int
    position: int  # that it was for
    fate: str  # see core/planning/plans.py
    lag: int | None  # tokens; null where it was not looked at
    milliseconds: float  # since it was asked for
    alpha: list[float]  # gate of each layer
    moved: list[float]  # how far each layer's matrices went, as a share of their norm
    tokens: list[int]  # of the plan


class Log(TypedDict, total=False):
    """Something worth reading later."""

    level: str  # info, warning or error
    message: str
    dropped: int  # records lost while writing did not work


class RunEnd(TypedDict, total=False):
    """The process leaves the run in order; without this record it was killed."""

    status: str  # one of STATUSES
    message: str
    seconds: float  # since this process started the run
    dropped: int


class Open(TypedDict, total=False):
    """A kind whose fields are declared together with the part that writes it."""


KINDS: dict[str, type] = {
    "run_start": RunStart,
    "step": Step,
    "eval": Evaluation,
    "checkpoint": Checkpoint,
    "gate": Gate,
    "anomaly": Anomaly,
    "heartbeat": Heartbeat,
    "state_health": StateHealth,
    "component_gradients": ComponentGradients,
    "memory_update": Open,
    "search": Search,
    "injection": Injection,
    "workspace": Open,
    "reward": Open,
    "slot_report": Open,
    "policy_update": Open,
    "log": Log,
    "run_end": RunEnd,
}

STATUSES = ("finished", "interrupted", "terminated", "diverged", "failed")

_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _holds_floats(hint: Any) -> bool:
    return hint is float or any(_holds_floats(inner) for inner in get_args(hint))


FLOATS: dict[str, frozenset[str]] = {
    kind: frozenset(name for name, hint in get_type_hints(declared).items() if _holds_floats(hint))
    for kind, declared in KINDS.items()
}


@dataclass(frozen=True, slots=True)
class Record:
    """One line of telemetry. `fields` has what the kind declares, and what a newer writer added."""

    kind: str
    step: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    run: str = ""
    seq: int = 0
    time: float = 0.0
    mono: float = 0.0
    version: int = VERSION

    def number(self, name: str) -> float | None:
        """A numeric field, also of a kind that is not declared here; None when absent or not a number."""
        value = self.fields.get(name)
        if isinstance(value, bool):
            return None
        try:
            return _WORDS.get(value) if isinstance(value, str) else float(value) if _is_number(value) else None
        except OverflowError:
            return None

    def text(self, name: str) -> str | None:
        """A text field; None when absent or no text."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None


def encode(record: Record) -> bytes:
    """The line of a record, newline included, at most LARGEST_RECORD bytes."""
    envelope: dict[str, Any] = {
        "v": record.version,
        "run": record.run,
        "seq": record.seq,
        "time": plain(record.time),
        "mono": plain(record.mono),
        "kind": record.kind,
        "step": plain(record.step),
    }
    fields = {(f"field_{name}" if name in ENVELOPE else name): plain(value) for name, value in record.fields.items()}
    line = _line(envelope | fields)
    if len(line) > LARGEST_RECORD:
        line = _line(envelope | _largest_left_out(fields, LARGEST_RECORD - len(_line(envelope))))
    return line


def decode(line: bytes) -> Record:
    """The record of a line. Raises ValueError when it is none; keeps kinds, fields and versions it does not know."""
    try:
        return of(json.loads(line))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def of(data: object) -> Record:
    """The record in a decoded line, by `decode` or by another decoder of JSON. Raises ValueError when it is none."""
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise ValueError("not a record")
    kind, step, seq, version = data["kind"], data.get("step"), data.get("seq"), data.get("v")
    floats = FLOATS.get(kind, frozenset())
    return Record(
        kind=kind,
        step=step if _is_int(step) else None,
        fields={
            name: _numbers(value) if name in floats else value for name, value in data.items() if name not in ENVELOPE
        },
        run=str(data.get("run", "")),
        seq=seq if _is_int(seq) else 0,
        time=_float(data.get("time")),
        mono=_float(data.get("mono")),
        version=version if _is_int(version) else VERSION,
    )


def plain(value: Any) -> Any:
    """The value as strict JSON: numbers of other libraries become Python's, what has no JSON form becomes its repr."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _word(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    to_list = getattr(value, "tolist", None)  # numbers and arrays of numpy and torch
    return plain(to_list()) if callable(to_list) else repr(value)[:200]


def misfits(kind: str, fields: Mapping[str, Any]) -> list[str]:
    """Names in `fields` that the kind does not declare; a kind that is not in KINDS misfits as a whole."""
    if kind not in KINDS:
        return [kind]
    declared = get_type_hints(KINDS[kind])
    return [] if KINDS[kind] is Open else sorted(set(fields) - set(declared))


def superseded_by(start: Record, record: Record) -> bool:
    """Whether an earlier `record` is made void by a later `run_start`, because its step is done again."""
    if record.kind in LIFECYCLE or record.step is None:
        return False
    resumed_from = start.fields.get("resumed_from_step")
    return not _is_int(resumed_from) or record.step > resumed_from


def _line(data: dict[str, Any]) -> bytes:
    # ASCII only: a torn line can then never split a character
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _largest_left_out(fields: dict[str, Any], room: int) -> dict[str, Any]:
    sizes = {name: len(_line({name: value})) for name, value in fields.items()}
    kept, used = dict(fields), sum(sizes.values())
    omitted: list[str] = []
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if used + len(_line({"omitted": omitted})) <= room:
            break
        del kept[name]
        omitted.append(name[:200])
        used -= sizes[name]
    return kept | {"omitted": omitted[:100]}


def _word(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _numbers(value: Any) -> Any:
    if isinstance(value, str):
        return _WORDS.get(value, value)
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    return value


def _float(value: Any) -> float:
    number = _numbers(value)
    try:
        return float(number) if _is_number(number) else 0.0
    except OverflowError:
        return math.inf


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
