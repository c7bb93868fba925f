"""The recurrent states of a trained model live: neither frozen nor chaotic, of full rank, bounded, sensitive, exact.

Every figure is judged at its worst layer and branch. The rank is that of the state itself: a share held by the largest
singular values rises as a state collapses and is no measure of rank, so it can never stand in for one.
"""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import BranchState, StateHealth
from think.core.gates.verdict import Band, Finding, Status, Verdict, worst
from think.presets.base import Fraction, knob
from think.presets.base import Settings as Base


class CosineBand(Base):
    """Cosine of consecutive states: PASS inside, WARN out to the outer pair, FAIL beyond."""

    passes_low: Fraction = knob(0.05, acts_on="judge")
    "smallest cosine that passes; below, hardly anything survives a token"
    passes_high: Fraction = knob(0.99, acts_on="judge")
    "largest cosine that passes"
    warns_low: Fraction = knob(0.01, acts_on="judge")
    "smallest cosine that is a warning and not a failure"
    warns_high: Fraction = knob(0.999, acts_on="judge")
    "largest cosine that is a warning; above, the state is frozen"

    @model_validator(mode="after")
    def _ordered(self) -> "CosineBand":
        cuts = [self.warns_low, self.passes_low, self.passes_high, self.warns_high]
        if cuts != sorted(cuts):
            raise ValueError(f"warns_low <= passes_low <= passes_high <= warns_high must hold, not {cuts}")
        return self

    def band(self) -> Band:
        return Band.between(self.passes_low, self.passes_high, warn_low=self.warns_low, warn_high=self.warns_high)


class Settings(Base):
    """Thresholds of g3.5."""

    least_tokens: PositiveInt = knob(512, acts_on="judge")
    "tokens of each stream that the states must have seen"
    least_streams: PositiveInt = knob(4, acts_on="judge")
    "streams of held-out text behind each figure"
    cosine: CosineBand = CosineBand()
    "of consecutive states"
    participation: Fraction = knob(0.1, acts_on="judge")
    "least effective rank that passes, as a share of the largest possible one"
    participation_warns: Fraction = knob(0.05, acts_on="judge")
    "least effective rank that is a warning and not a failure"
    saturated: Fraction = knob(0.1, acts_on="judge")
    "largest share of large entries that passes"
    saturated_warns: Fraction = knob(0.3, acts_on="judge")
    "largest share of large entries that is a warning and not a failure"
    growth: PositiveFloat = knob(2.0, acts_on="judge")
    "largest growth of a state's size from one length to the next that passes"
    growth_warns: PositiveFloat = knob(10.0, acts_on="judge")
    "largest growth that is a warning and not a failure"
    response: Annotated[float, Field(gt=0.0)] = knob(0.01, acts_on="judge")
    "least relative change of late logits by another first token that passes"
    response_warns: Annotated[float, Field(gt=0.0)] = knob(0.001, acts_on="judge")
    "least relative change that is a warning and not a failure"

    @model_validator(mode="after")
    def _ordered(self) -> "Settings":
        for name, milder in (("participation", False), ("saturated", True), ("growth", True), ("response", False)):
            passes, warns = getattr(self, name), getattr(self, f"{name}_warns")
            if (warns < passes) if milder else (warns > passes):
                raise ValueError(f"{name}_warns = {warns} is stricter than {name} = {passes}")
        return self


def judge(settings: Settings, seen: StateHealth) -> Verdict:
    """The worst layer and branch decides each figure; too little text is no evidence."""
    if not seen.branches:
        return Verdict.cannot_tell("the model has no recurrent state", remedy="judge a model that has one")
    reached = max(seen.lengths, default=0)
    if seen.streams < settings.least_streams or reached < settings.least_tokens:
        return Verdict.cannot_tell(
            f"{seen.streams} streams of {reached:,} tokens were read; "
            f"{settings.least_streams} of {settings.least_tokens:,} are needed",
            remedy="hold more text out: a larger data.validation, or more text",
        )
    findings = [
        _worst(settings.cosine.band(), seen, "cosine", "of consecutive states", lambda each: each.cosine),
        _worst(
            Band.at_least(settings.participation, warns=settings.participation_warns),
            seen,
            "participation",
            "effective rank over the largest possible",
            lambda each: each.participation,
        ),
        _worst(
            Band.at_most(settings.saturated, warns=settings.saturated_warns),
            seen,
            "saturated",
            "share of large entries",
            lambda each: each.saturated,
        ),
        *_growth(settings, seen),
        _response(settings, seen),
        _exact(seen),
    ]
    return Verdict.of(findings, remedy="`think gate g3.5 --explain` lists every layer; see docs/gates.md")


def _worst(band: Band, seen: StateHealth, name: str, what: str, figure: Callable[[BranchState], float]) -> Finding:
    """The branch with the worst word; among equals the one farthest from the rest of its kind, low or high."""
    values = [(band.status(figure(each)), figure(each), each) for each in seen.branches]
    word = worst(status for status, _, _ in values)
    deciding = [entry for entry in values if entry[0] is word]
    _, value, place = max(deciding, key=lambda entry: abs(entry[1] - _middle(band)))
    text = f"{name} {value:.4g} ({what}) in {place.branch} of layer {place.layer}, the worst of {len(values)}"
    return Finding(name, word, text, f"{band}", value, seen.streams)


def _middle(band: Band) -> float:
    """A point that lies well inside what passes, from which the farther value is the worse."""
    if len(band.cuts) == 4:
        return (band.cuts[1] + band.cuts[2]) / 2
    return band.cuts[-1] if band.statuses[-1] is Status.PASS else band.cuts[0]


def _growth(settings: Settings, seen: StateHealth) -> list[Finding]:
    band = Band.at_most(settings.growth, warns=settings.growth_warns)
    findings = []
    for index in range(1, len(seen.lengths)):
        short, long = seen.lengths[index - 1], seen.lengths[index]
        name = f"growth to {long:,}"

        def grown(each: BranchState, index: int = index) -> float:
            before = each.norms[index - 1]
            return each.norms[index] / before if before else float("inf")

        findings.append(_worst(band, seen, name, f"times the size after {short:,} tokens", grown))
    return findings


def _response(settings: Settings, seen: StateHealth) -> Finding:
    band = Band.at_least(settings.response, warns=settings.response_warns)
    text = f"another first token changes late logits by {seen.response:.4g} of their size"
    return Finding("response", band.status(seen.response), text, f"{band}", seen.response, seen.streams)


def _exact(seen: StateHealth) -> Finding:
    wanted = "the same bytes twice, all of them finite"
    if seen.not_finite:
        return Finding("exact", Status.FAIL, f"{seen.not_finite:,} values are not finite", wanted)
    if not seen.deterministic:
        return Finding("exact", Status.FAIL, "the same text gave other logits the second time", wanted)
    return Finding("exact", Status.PASS, "the same text gave the same bytes twice", wanted)


def _states(
    *,
    cosine: float = 0.9,
    participation: float = 0.4,
    saturated: float = 0.01,
    growth: float = 1.3,
    response: float = 0.2,
    streams: int = 8,
    lengths: tuple[int, ...] = (64, 512, 4096),
    deterministic: bool = True,
    not_finite: int = 0,
) -> StateHealth:
    """A made-up model of two layers whose second rwkv branch has the given figures."""
    healthy = {"cosine": 0.8, "participation": 0.5, "saturated": 0.0, "norms": tuple(1.0 for _ in lengths)}
    branches = [
        BranchState.model_validate({"layer": layer, "branch": branch, **healthy})
        for layer in range(2)
        for branch in ("rwkv", "mamba")
    ]
    branches[2] = BranchState(
        layer=1,
        branch="rwkv",
        cosine=cosine,
        participation=participation,
        saturated=saturated,
        norms=tuple(growth**place for place in range(len(lengths))),
    )
    return StateHealth(
        branches=tuple(branches),
        lengths=lengths,
        streams=streams,
        response=response,
        deterministic=deterministic,
        not_finite=not_finite,
    )


_CASES: tuple[tuple[str, StateHealth, Status], ...] = (
    ("alive", _states(), Status.PASS),
    ("slow", _states(cosine=0.995), Status.WARN),
    ("frozen", _states(cosine=0.9995), Status.FAIL),
    ("chaotic", _states(cosine=0.0), Status.FAIL),
    ("forgetful", _states(cosine=0.02), Status.WARN),
    ("rank collapse", _states(participation=0.033), Status.FAIL),
    ("low rank", _states(participation=0.07), Status.WARN),
    ("saturated", _states(saturated=0.5), Status.FAIL),
    ("partly saturated", _states(saturated=0.2), Status.WARN),
    ("grows", _states(growth=3.0), Status.WARN),
    ("explodes", _states(growth=30.0), Status.FAIL),
    ("forgets the first token", _states(response=1e-5), Status.FAIL),
    ("hardly remembers the first token", _states(response=5e-3), Status.WARN),
    ("another answer the second time", _states(deterministic=False), Status.FAIL),
    ("not finite", _states(not_finite=3), Status.FAIL),
    ("NaN", _states(cosine=float("nan")), Status.FAIL),
    ("one stream", _states(streams=1), Status.NO_EVIDENCE),
    ("short text", _states(lengths=(64,)), Status.NO_EVIDENCE),
    ("no state", _states().model_copy(update={"branches": ()}), Status.NO_EVIDENCE),
)

SPEC = Gate(
    Settings=Settings,
    needs=StateHealth,
    judge=judge,
    after="g3",
    hangs_on=("model", "tokenizer", "data", "stage1", "pack"),
    needs_run=True,
    examples=tuple(Example(name, seen, expected, Settings()) for name, seen, expected in _CASES),
    turns={
        "least_tokens": Turn(_states(lengths=(64, 512)), mild=512, strict=4096),
        "least_streams": Turn(_states(streams=4), mild=4, strict=5),
        "cosine.passes_low": Turn(_states(cosine=0.04), mild=0.03, strict=0.05),
        "cosine.passes_high": Turn(_states(cosine=0.98), mild=0.99, strict=0.97),
        "cosine.warns_low": Turn(_states(cosine=0.02), mild=0.01, strict=0.03),
        "cosine.warns_high": Turn(_states(cosine=0.995), mild=0.999, strict=0.992),
        "participation": Turn(_states(participation=0.09), mild=0.08, strict=0.1),
        "participation_warns": Turn(_states(participation=0.04), mild=0.03, strict=0.05),
        "saturated": Turn(_states(saturated=0.12), mild=0.15, strict=0.1),
        "saturated_warns": Turn(_states(saturated=0.35), mild=0.4, strict=0.3),
        "growth": Turn(_states(growth=2.5), mild=3.0, strict=2.0),
        "growth_warns": Turn(_states(growth=12.0), mild=15.0, strict=10.0),
        "response": Turn(_states(response=0.008), mild=0.005, strict=0.01),
        "response_warns": Turn(_states(response=5e-4), mild=1e-4, strict=1e-3),
    },
)
