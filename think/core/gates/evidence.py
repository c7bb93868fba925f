"""What a gate may be shown: typed measurements, each with its name, and where they come from.

A measurement is a frozen record of plain numbers. Its class is its name: a judge that needs `InitialEntropy` takes
nothing else, however similar the number looks. Producers (`core/evidence/`) make measurements; judges only read them.
"""

import hashlib
import json
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

Number = Annotated[float, BeforeValidator(lambda value: float(value) if isinstance(value, str) else value)]
"A float that may be NaN or infinite; text in JSON."


class Record(BaseModel):
    """Frozen, closed and comparable; NaN and the infinities survive JSON as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings", protected_namespaces=())

    def as_json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.model_dump_json())
        return data


class Evidence(Record):
    """Base of all measurements; `name` is what stored evidence calls itself."""

    name: ClassVar[str]


class Span(Record):
    """A stretch of a run's telemetry: file name inside the run folder, first byte, byte after the last, sha256."""

    file: str
    start: int
    stop: int
    sha256: str


class Source(Record):
    """Where a measurement comes from, so that it can be found and checked again.

    run          name of the run folder, None for a fresh model
    spans        telemetry bytes it was read from
    digests      "model", "tokenizer", "data", "stage1" settings; "pack", "vocabulary" contents; "code" (see code.py)
    checkpoint   sha256 over the checkpoint that was evaluated
    commit       version-control commit of the code, None outside a checkout; `dirty`: it had local changes
    """

    run: str | None = None
    spans: tuple[Span, ...] = ()
    digests: dict[str, str] = {}
    seed: int | None = None
    checkpoint: str | None = None
    checkpoint_path: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    notes: tuple[str, ...] = ()


class Exhibit(Record):
    """A measurement handed to a gate together with its source."""

    evidence: Any
    source: Source


class Absent(Record):
    """Why there is no measurement, and the command that makes one."""

    why: str
    remedy: str | None = None


class ControlToken(Record):
    """What a tokenizer makes of one control token's text form when it is asked for the token itself."""

    text: str
    ids: tuple[int, ...]
    injected: tuple[int, ...]
    "control ids that came out when the same text stood inside a document"


class KernelComparison(Record):
    """One implementation against its reference on one input: max |a - b| / max |reference|, worst tensor."""

    kernel: str
    implementation: str
    case: str
    worst_tensor: str
    error: Number


class Foundations(Evidence):
    """The tokenizer's control tokens and the kernels' agreement with their references."""

    name = "foundations"
    control: tuple[ControlToken, ...]
    expected_control: tuple[str, ...]
    "text forms in the order of their ids"
    implementations: dict[str, tuple[str, ...]]
    "kernel -> every implementation that this machine can run, the reference included"
    comparisons: tuple[KernelComparison, ...]
    tokenizer_origin: str


class Difference(Record):
    """Two ways to the same result: their distance, and the distance when the link under test is cut.

    error     max |a - b| / max |a|
    witness   the same distance with the state dropped (or the reset left out): what a fault would look like
    """

    error: Number
    witness: Number


class ModelInvariants(Evidence):
    """What a model does on random tokens, freshly built and with every parameter shaken awake."""

    name = "model_invariants"
    shape: tuple[int, ...]
    expected_shape: tuple[int, ...]
    values: int
    "logits looked at"
    not_finite: int
    perturbed: int
    "positions whose token was changed"
    change_before: Number
    "largest |change| of any logit before the changed token; 0 is exact causality"
    least_change_after: Number
    "smallest over positions of the largest |change| at or after the changed token"
    chunks: Difference
    "full pass against chunks with the state handed on"
    steps: Difference
    "full pass against one token at a time"
    states: Difference
    "final state of the full pass against that of the chunks"
    handoff: Difference
    "rows split off, joined and moved on against rows left together"
    reset: Difference
    "after a reset, with another history before it; the witness leaves the reset out"
    parameters: int
    "trainable tensors"
    without_gradient: tuple[str, ...]
    ungrouped: tuple[str, ...]
    grouped_twice: tuple[str, ...]
    optimizer_steps: int
    resets: int
    "resets inside the batches of those steps"


class InitialEntropy(Evidence):
    """Mean entropy of the next-token distribution of fresh models on random tokens."""

    name = "initial_entropy"
    nats: tuple[Number, ...]
    "one mean per initialisation seed"
    vocabulary: int
    positions: int
    "positions behind each mean"


class HeldOut(Record):
    """One held-out loss: after how many steps, nats per token, over how many tokens."""

    step: int
    loss: Number
    tokens: int


class TrainingProgress(Evidence):
    """The course of one training run and its end, beside a unigram model on the same tokens.

    model_blocks, unigram_blocks    nats per token of each block of held-out tokens, in order
    """

    name = "training_progress"
    state: str
    "finished, running, interrupted, diverged, dead or stalled"
    steps_planned: int
    steps_done: int
    evaluations: tuple[HeldOut, ...]
    gradient_norms: tuple[Number, ...]
    "global norm before clipping, one per step, oldest first"
    gradient_steps: tuple[int, ...]
    model_blocks: tuple[Number, ...]
    unigram_blocks: tuple[Number, ...]
    block_tokens: tuple[int, ...]
    unigram_fitted_on: int
    "training tokens that the unigram model counted"
    resumed: int
    "how often the run was resumed; what a resumed part repeats counts once"


class BranchState(Record):
    """Figures of the recurrent state of one layer and branch; `core/diagnostics/state_health.py` defines them."""

    layer: int
    branch: str
    cosine: Number
    participation: Number
    saturated: Number
    norms: tuple[Number, ...]


class StateHealth(Evidence):
    """The recurrent states of a trained model on held-out text.

    lengths   tokens after which `norms` were taken
    """

    name = "state_health"
    branches: tuple[BranchState, ...]
    lengths: tuple[int, ...]
    streams: int
    response: Number
    deterministic: bool
    not_finite: int


class Worth(Record):
    """Change of the held-out loss, nats per token, when a branch is replaced; layer None: in every layer at once.

    low, high   95 % of a block bootstrap
    """

    layer: int | None
    branch: str
    by: str
    change: Number
    low: Number
    high: Number


class Metric(Record):
    """One figure of an evaluation, on so many items or tokens.

    low, high   95 %; infinite where nothing can be said
    chance      what guessing would give, None where there is no such thing
    """

    part: str
    name: str
    value: Number
    count: int
    low: Number
    high: Number
    chance: Number | None = None


class EvaluationSuite(Evidence):
    """Every evaluation of a trained model, and what its branches are worth on held-out text.

    parts     names of all evaluations that were begun
    failed    those that ended with an error, and what it said
    branches  empty for a model whose blocks have one path only
    """

    name = "evaluation_suite"
    parts: tuple[str, ...]
    failed: dict[str, str]
    metrics: tuple[Metric, ...]
    branches: tuple[str, ...]
    worths: tuple[Worth, ...]
    blocks: int
    "blocks of held-out tokens behind each of `worths`"


class Contestant(Record):
    """One of two finished runs that are compared: what it was trained on, and its loss on the shared held-out text."""

    run: str
    steps: int
    tokens: int
    "tokens trained on"
    parameters: int
    seed: int
    pack: str
    "digest of the packed data"
    checkpoint: str
    loss: Number
    "nats per token on the held-out tokens that both read"


class BaselineComparison(Evidence):
    """A finished run beside its baseline: the same data, tokens and seed, and the same held-out tokens.

    low, high           95 % of a paired block bootstrap around the difference of losses, run minus baseline
    evaluations         the run's own held-out losses while it trained
    gradient_ratios     gradient norm of the RWKV over that of the Mamba branch, as recorded; empty for one path
    """

    name = "baseline_comparison"
    run: Contestant
    baseline: Contestant
    difference: Number
    low: Number
    high: Number
    blocks: int
    held_out_tokens: int
    evaluations: tuple[HeldOut, ...]
    gradient_ratios: tuple[Number, ...]
    branches: tuple[str, ...]
    "names of the model's branches; empty for a model whose blocks have one path only"


class SeedPair(Record):
    """The model and its baseline, trained with one seed on the same data for as many tokens; nats per token."""

    seed: int
    run: str
    loss: Number
    baseline: str
    baseline_loss: Number


class ScaleComparison(Evidence):
    """Several trainings of one preset beside its baseline and beside models that count, on the same held-out tokens.

    counting          nats per token of counting models by their order: 1 unigram, 2 bigram, ...
    bytes_per_token   of the held-out text, for bits per byte
    """

    name = "scale_comparison"
    preset: str
    parameters: int
    baseline_preset: str
    baseline_parameters: int
    trained_on: int
    "tokens behind each run"
    pairs: tuple[SeedPair, ...]
    unpaired: tuple[str, ...]
    "finished runs left out, with the reason"
    counting: dict[int, Number]
    counted: int
    "training tokens that the counting models saw"
    held_out_tokens: int
    bytes_per_token: Number


def kinds() -> dict[str, type[Evidence]]:
    """Every kind of evidence by its name."""
    return {kind.name: kind for kind in Evidence.__subclasses__()}


def canonical(data: Any) -> bytes:
    """The one JSON text of plain data: sorted keys, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint(data: Any) -> str:
    """sha256 over the canonical JSON of plain data."""
    return hashlib.sha256(canonical(data)).hexdigest()
