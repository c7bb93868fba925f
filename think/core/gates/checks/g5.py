"""A model of the size that the ladder begins with beats counting models and stands beside its transformer twin.

Over at least three seeds, each paired with a twin of the same seed, data and tokens. Intervals are Student's over the
seeds. A loss alone would say nothing: ln V of a character vocabulary lies below any fixed bound for a large one.
"""

import math
from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from think.core import statistics
from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import ScaleComparison, SeedPair
from think.core.gates.verdict import Finding, Status, Verdict
from think.presets.base import Settings as Base
from think.presets.base import knob

ORDERS = {1: "unigram", 2: "bigram", 5: "5-gram"}
"Counting models that must be beaten, by order."


class Settings(Base):
    """Thresholds of g5."""

    least_parameters: PositiveInt = knob(7_000_000, acts_on="judge")
    "parameters of the smallest model that this gate is about"
    most_parameters: PositiveInt = knob(9_000_000, acts_on="judge")
    "parameters of the largest model that this gate is about"
    seeds: Annotated[int, Field(ge=2)] = knob(3, acts_on="judge")
    "seeds needed, each with its twin"
    loss_ratio: Annotated[float, Field(ge=1.0)] = knob(1.05, acts_on="judge")
    "largest held-out loss that passes, as a multiple of the twin's; the whole interval must lie below"
    parameter_ratio: Annotated[float, Field(ge=1.0)] = knob(1.1, acts_on="judge")
    "largest ratio of the parameters of model and twin, either way, that still is a fair comparison"

    @model_validator(mode="after")
    def _ordered(self) -> "Settings":
        if self.most_parameters < self.least_parameters:
            raise ValueError("most_parameters must not be below least_parameters")
        return self


def judge(settings: Settings, seen: ScaleComparison) -> Verdict:
    """A model of another size, or too few seeds, is no evidence."""
    remedy = (
        "train it and its twin with the seeds that are missing; `think gate g5 --explain` lists those that are there"
    )
    if not settings.least_parameters <= seen.parameters <= settings.most_parameters:
        return Verdict.cannot_tell(
            f"{seen.preset} has {seen.parameters:,} parameters; this gate is about "
            f"{settings.least_parameters:,} to {settings.most_parameters:,}",
            remedy="`think gate g5 --preset hybrid_8m`",
        )
    ratio = max(seen.parameters, seen.baseline_parameters) / max(min(seen.parameters, seen.baseline_parameters), 1)
    if ratio > settings.parameter_ratio:
        return Verdict.cannot_tell(
            f"{seen.preset} has {seen.parameters:,} parameters and {seen.baseline_preset} "
            f"{seen.baseline_parameters:,}: {ratio:.2f} to 1 is no fair comparison",
            remedy=f"match them within {settings.parameter_ratio:g} to 1",
        )
    seeds = {pair.seed for pair in seen.pairs}
    if len(seeds) < settings.seeds or len(seeds) != len(seen.pairs):
        left_out = f"; left out: {'; '.join(seen.unpaired)}" if seen.unpaired else ""
        return Verdict.cannot_tell(
            f"{len(seeds)} seeds with their twins of {settings.seeds} needed{left_out}", remedy=remedy
        )
    missing = [name for order, name in ORDERS.items() if order not in seen.counting]
    if missing:
        return Verdict.cannot_tell(f"no counting model of order {', '.join(missing)} was fitted", remedy=remedy)
    findings = [_beats(seen, order, name) for order, name in ORDERS.items()]
    return Verdict.of([*findings, _beside(settings, seen)], remedy=remedy)


def _beats(seen: ScaleComparison, order: int, name: str) -> Finding:
    wanted = f"bits per byte below the {name} model's, interval included"
    losses, count = [pair.loss for pair in seen.pairs], len(seen.pairs)
    other = seen.counting[order]
    if not all(map(math.isfinite, [*losses, other])):
        return Finding(f"beats {name}", Status.FAIL, "a held-out loss is not finite", wanted, math.nan, count)
    gap = statistics.student([_bits(seen, loss - other) for loss in losses])
    mean = sum(losses) / count
    text = (
        f"{_bits(seen, mean):.3f} bits per byte, {name} {_bits(seen, other):.3f}, "
        f"on the same {seen.held_out_tokens:,} tokens"
    )
    return Finding(f"beats {name}", _below(gap, 0.0), text, wanted, gap.value, count, (gap.low, gap.high))


def _beside(settings: Settings, seen: ScaleComparison) -> Finding:
    name, wanted = "loss over the twin's", f"at most {settings.loss_ratio:g}, interval included"
    count = len(seen.pairs)
    values = [(pair.loss, pair.baseline_loss) for pair in seen.pairs]
    if not all(math.isfinite(one) and math.isfinite(other) and other > 0 for one, other in values):
        return Finding(name, Status.FAIL, "a held-out loss is not finite", wanted, math.nan, count)
    ratio = statistics.student([one / other for one, other in values])
    means = [sum(losses) / count for losses in zip(*values, strict=True)]
    text = f"{means[0]:.4f} nats per token, {seen.baseline_preset} {means[1]:.4f}, means over seeds"
    word = _below(ratio, settings.loss_ratio)
    return Finding(name, word, text, wanted, ratio.value, count, (ratio.low, ratio.high))


def _below(interval: statistics.Interval, edge: float) -> Status:
    """PASS where the interval lies at or below the edge, FAIL where it lies above, WARN where that cannot be told."""
    words = {interval.high <= edge: Status.PASS, interval.low > edge: Status.FAIL}
    return words.get(True, Status.WARN)


def _bits(seen: ScaleComparison, nats: float) -> float:
    return nats / math.log(2) / seen.bytes_per_token


def _trained(
    *,
    losses: tuple[float, ...] = (3.01, 3.0, 2.99),
    twin: float = 2.95,
    counting: tuple[float, float, float] = (6.2, 4.6, 3.6),
    parameters: int = 8_000_000,
    twin_parameters: int = 8_100_000,
) -> ScaleComparison:
    """Made-up trainings, one a loss."""
    return ScaleComparison(
        preset="own",
        parameters=parameters,
        baseline_preset="twin",
        baseline_parameters=twin_parameters,
        trained_on=80_000_000,
        pairs=tuple(
            SeedPair(seed=seed, run=f"own-{seed}", loss=loss, baseline=f"twin-{seed}", baseline_loss=twin)
            for seed, loss in enumerate(losses)
        ),
        unpaired=(),
        counting=dict(zip(ORDERS, counting, strict=True)),
        counted=10_000_000,
        held_out_tokens=65_536,
        bytes_per_token=3.4,
    )


_TWICE = _trained().model_copy(update={"pairs": (_trained().pairs[0],) * 3})

_CASES: tuple[tuple[str, ScaleComparison, Status], ...] = (
    ("beats what counts, close to its twin", _trained(), Status.PASS),
    ("better than its twin", _trained(losses=(2.8, 2.81, 2.79)), Status.PASS),
    ("seeds scatter around the edge", _trained(losses=(3.0, 3.2, 3.05)), Status.WARN),
    ("clearly behind its twin", _trained(losses=(3.3, 3.31, 3.29)), Status.FAIL),
    ("no better than five tokens of context", _trained(counting=(6.2, 4.6, 2.9)), Status.FAIL),
    (
        "a loss that every small vocabulary has",
        _trained(losses=(4.5, 4.5, 4.51), counting=(3.1, 2.4, 1.9)),
        Status.FAIL,
    ),
    ("one training diverged", _trained(losses=(3.0, math.nan, 3.0)), Status.FAIL),
    ("two seeds", _trained(losses=(3.0, 3.01)), Status.NO_EVIDENCE),
    ("one seed three times", _TWICE, Status.NO_EVIDENCE),
    ("nobody has trained it", _trained(losses=()), Status.NO_EVIDENCE),
    ("a smaller model", _trained(parameters=2_000_000, twin_parameters=2_000_000), Status.NO_EVIDENCE),
    ("a twin half as large", _trained(twin_parameters=4_000_000), Status.NO_EVIDENCE),
)

SPEC = Gate(
    Settings=Settings,
    needs=ScaleComparison,
    judge=judge,
    after="g4",
    hangs_on=("model", "tokenizer", "data", "pack"),
    needs_run=True,
    examples=tuple(Example(name, seen, expected, Settings()) for name, seen, expected in _CASES),
    turns={
        "least_parameters": Turn(_trained(), mild=8_000_000, strict=8_000_001),
        "most_parameters": Turn(_trained(), mild=8_000_000, strict=7_999_999),
        "seeds": Turn(_trained(), mild=3, strict=4),
        "loss_ratio": Turn(_trained(losses=(3.3, 3.31, 3.29)), mild=1.2, strict=1.05),
        "parameter_ratio": Turn(_trained(twin_parameters=9_000_000), mild=1.2, strict=1.1),
    },
)
