"""Training works: a finished run whose held-out loss still falls, beats a unigram model, and has sane gradients."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from think.core import statistics
from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import HeldOut, TrainingProgress
from think.core.gates.verdict import Band, Finding, Status, Verdict
from think.presets.base import Settings as Base
from think.presets.base import knob

RESAMPLES = 2000
"Bootstrap resamples: a 95 % edge then moves by about one part in thirty of the interval between seeds."
SEED = 0
"Of the bootstrap, so that one measurement always gets one verdict."


class GradientBand(Base):
    """Median gradient norm before clipping: PASS inside, WARN out to the outer pair, FAIL beyond."""

    passes_low: PositiveFloat = knob(0.5, acts_on="judge")
    "smallest norm that passes"
    passes_high: PositiveFloat = knob(1.5, acts_on="judge")
    "largest norm that passes"
    warns_low: PositiveFloat = knob(0.1, acts_on="judge")
    "smallest norm that is a warning and not a failure"
    warns_high: PositiveFloat = knob(5.0, acts_on="judge")
    "largest norm that is a warning and not a failure"

    @model_validator(mode="after")
    def _ordered(self) -> "GradientBand":
        cuts = [self.warns_low, self.passes_low, self.passes_high, self.warns_high]
        if cuts != sorted(cuts):
            raise ValueError(f"warns_low <= passes_low <= passes_high <= warns_high must hold, not {cuts}")
        return self

    def band(self) -> Band:
        return Band.between(self.passes_low, self.passes_high, warn_low=self.warns_low, warn_high=self.warns_high)


class Settings(Base):
    """Thresholds of g3."""

    steps: PositiveInt = knob(1000, acts_on="judge")
    "optimizer steps that the run must have made"
    tail: Annotated[float, Field(gt=0.0, le=1.0)] = knob(0.3, acts_on="judge")
    "last share of the run over which held-out loss must still fall"
    least_evaluations: Annotated[int, Field(ge=4)] = knob(6, acts_on="judge")
    "held-out evaluations needed in that share before judging"
    least_blocks: Annotated[int, Field(ge=4)] = knob(8, acts_on="judge")
    "blocks of held-out tokens needed before the unigram model is compared"
    window: PositiveInt = knob(100, acts_on="judge")
    "last steps whose gradient norms are judged"
    least_norms: Annotated[int, Field(ge=4)] = knob(20, acts_on="judge")
    "recorded gradient norms needed among those steps; a run may record every k-th step only"
    gradient: GradientBand = GradientBand()


def judge(settings: Settings, seen: TrainingProgress) -> Verdict:
    """PASS needs a whole run; a run that diverged FAILs; any other unfinished one is no evidence."""
    remedy = "`think gate g3 --explain` lists every figure; `think runs show` the curve"
    if seen.state == "diverged":
        text = f"the run diverged after {seen.steps_done:,} of {seen.steps_planned:,} steps"
        return Verdict.of([Finding("run", Status.FAIL, text, "a finished run", count=seen.steps_done)], remedy=remedy)
    if seen.state != "finished" or seen.steps_done < seen.steps_planned:
        return Verdict.cannot_tell(
            f"the run is {seen.state} at step {seen.steps_done:,} of {seen.steps_planned:,}; it must be finished",
            remedy="go on with it: `think train stage1 --resume --out RUN`",
        )
    if seen.steps_done < settings.steps:
        return Verdict.cannot_tell(
            f"the run made {seen.steps_done:,} steps of the {settings.steps:,} that g3 judges",
            remedy=f"train longer: `--set stage1.steps={settings.steps}`",
        )
    return Verdict.of(
        [_falls(settings, seen), _beats_unigram(settings, seen), _gradient(settings, seen)], remedy=remedy
    )


def _falls(settings: Settings, seen: TrainingProgress) -> Finding:
    name, wanted = "held-out slope", f"below 0 over the last {settings.tail:.0%}, interval included"
    start = seen.steps_done * (1 - settings.tail)
    points = _alike([point for point in seen.evaluations if point.step >= start])
    if len({point.step for point in points}) < settings.least_evaluations:
        text = (
            f"{len(points)} evaluations since step {start:.0f} of {settings.least_evaluations} needed; "
            "evaluate more often with stage1.evaluation.every"
        )
        return Finding(name, Status.NO_EVIDENCE, text, wanted, count=len(points))
    losses = np.array([point.loss for point in points])
    if not np.isfinite(losses).all():
        text = f"{int((~np.isfinite(losses)).sum())} held-out losses are not finite"
        return Finding(name, Status.FAIL, text, wanted, math.nan, len(points))
    # Per thousand steps: a slope per step has too many zeros to read.
    steps = np.array([point.step for point in points]) / 1000
    slope = statistics.block_bootstrap_slope(steps, losses, resamples=RESAMPLES, seed=SEED)
    word = Status.PASS if slope.high < 0 else Status.FAIL
    text = (
        f"held-out loss {losses[0]:.4f} -> {losses[-1]:.4f} nats since step {points[0].step:,}, "
        f"{slope.value:+.4f} nats per 1,000 steps"
    )
    return Finding(name, word, text, wanted, slope.value, len(points), (slope.low, slope.high))


def _alike(points: list[HeldOut]) -> list[HeldOut]:
    """The evaluations on the commonest number of tokens: only those can be compared, and the last may read more."""
    counts = [point.tokens for point in points]
    commonest = max(set(counts), key=lambda tokens: (counts.count(tokens), tokens), default=0)
    return [point for point in points if point.tokens == commonest]


def _beats_unigram(settings: Settings, seen: TrainingProgress) -> Finding:
    name, wanted = "beats unigram", "model minus unigram below 0, interval included"
    lengths = {len(seen.model_blocks), len(seen.unigram_blocks), len(seen.block_tokens)}
    blocks = len(seen.block_tokens)
    if len(lengths) != 1 or blocks < settings.least_blocks or sum(seen.block_tokens) == 0:
        text = f"{blocks} held-out blocks of {settings.least_blocks} needed"
        return Finding(name, Status.NO_EVIDENCE, text, wanted, count=blocks)
    if seen.unigram_fitted_on == 0:
        return Finding(name, Status.NO_EVIDENCE, "the unigram model was fitted on nothing", wanted)
    weights = np.array(seen.block_tokens, dtype=np.float64)
    model, unigram = np.array(seen.model_blocks), np.array(seen.unigram_blocks)
    tokens = int(weights.sum())
    means = float(np.average(model, weights=weights)), float(np.average(unigram, weights=weights))
    text = f"held-out {means[0]:.4f} nats, unigram {means[1]:.4f}, on the same {tokens:,} tokens in {blocks} blocks"
    if not (np.isfinite(model).all() and np.isfinite(unigram).all()):
        return Finding(name, Status.FAIL, text, wanted, math.nan, blocks)
    gap = statistics.block_bootstrap_mean(model - unigram, weights=weights, resamples=RESAMPLES, seed=SEED)
    word = Status.PASS if gap.high < 0 else Status.FAIL
    return Finding(name, word, text, wanted, gap.value, blocks, (gap.low, gap.high))


def _gradient(settings: Settings, seen: TrainingProgress) -> Finding:
    band = settings.gradient.band()
    name, wanted = "gradient norm", f"median before clipping: {band}"
    first = seen.steps_done - settings.window
    norms = np.array([n for step, n in zip(seen.gradient_steps, seen.gradient_norms, strict=True) if step > first])
    if len(norms) < settings.least_norms:
        text = (
            f"{len(norms)} gradient norms recorded in the last {settings.window} steps, {settings.least_norms} needed; "
            "record more with stage1.telemetry.steps_every"
        )
        return Finding(name, Status.NO_EVIDENCE, text, wanted, count=len(norms))
    if not np.isfinite(norms).all():
        text = f"{int((~np.isfinite(norms)).sum())} gradient norms of the last {settings.window} steps are not finite"
        return Finding(name, Status.FAIL, text, wanted, math.nan, len(norms))
    median = statistics.block_bootstrap_median(norms, resamples=RESAMPLES, seed=SEED)
    text = f"median gradient norm {median.value:.3f} before clipping, last {settings.window} steps"
    return Finding(name, band.status(median.value), text, wanted, median.value, len(norms), (median.low, median.high))


def _run(
    *,
    state: str = "finished",
    steps: int = 1000,
    planned: int = 1000,
    fall: float = 0.3,
    norm: float = 1.0,
    gap: float = 1.5,
    every: int = 25,
    blocks: int = 32,
    norms: int = 200,
) -> TrainingProgress:
    """A made-up run with a small regular ripple in all its figures."""
    where = range(every, steps + 1, every)
    ripple = [0.01 * math.sin(place * 2.4) for place in range(max(len(where), blocks, norms))]
    evaluations = [HeldOut(step=s, loss=2.0 - fall * s / 1000 + ripple[i], tokens=4096) for i, s in enumerate(where)]
    return TrainingProgress(
        state=state,
        steps_planned=planned,
        steps_done=steps,
        evaluations=tuple(evaluations),
        gradient_norms=tuple(norm * (1 + ripple[i]) for i in range(norms)),
        gradient_steps=tuple(range(steps - norms + 1, steps + 1)),
        model_blocks=tuple(1.8 + ripple[i] for i in range(blocks)),
        unigram_blocks=tuple(1.8 + gap + ripple[i // 2] for i in range(blocks)),
        block_tokens=(128,) * blocks,
        unigram_fitted_on=100_000,
        resumed=0,
    )


_NAN_NORMS = _run().model_copy(update={"gradient_norms": (1.0,) * 199 + (math.nan,)})

_CASES: tuple[tuple[str, TrainingProgress, Status], ...] = (
    ("learns, beats unigram, sane gradients", _run(), Status.PASS),
    ("gradients a little strong", _run(norm=2.5), Status.WARN),
    ("gradients a little weak", _run(norm=0.2), Status.WARN),
    ("gradients explode", _run(norm=40.0), Status.FAIL),
    ("gradients vanish", _run(norm=1e-3), Status.FAIL),
    ("one gradient is NaN", _NAN_NORMS, Status.FAIL),
    ("held-out loss is flat", _run(fall=0.0), Status.FAIL),
    ("held-out loss rises", _run(fall=-0.3), Status.FAIL),
    ("knows token frequencies only", _run(gap=0.0), Status.FAIL),
    ("worse than unigram", _run(gap=-0.5), Status.FAIL),
    ("diverged", _run(state="diverged", steps=400), Status.FAIL),
    ("still running", _run(state="running"), Status.NO_EVIDENCE),
    ("stopped early", _run(state="finished", steps=1000, planned=2000), Status.NO_EVIDENCE),
    ("fewer steps than asked", _run(steps=400, planned=400), Status.NO_EVIDENCE),
    ("too few evaluations", _run(every=250), Status.NO_EVIDENCE),
    ("too few held-out blocks", _run(blocks=3), Status.NO_EVIDENCE),
    ("gradient norms recorded now and then", _run(norms=10), Status.NO_EVIDENCE),
)

_LATE = _run().model_copy(
    update={
        "evaluations": tuple(
            HeldOut(step=step, loss=2.0 - max(0, min(step, 800) - 300) * 1e-3 + 0.01 * math.sin(step), tokens=4096)
            for step in range(20, 1001, 20)
        )
    }
)

SPEC = Gate(
    Settings=Settings,
    needs=TrainingProgress,
    judge=judge,
    after="g2",
    hangs_on=("model", "tokenizer", "data", "stage1", "pack"),
    needs_run=True,
    examples=tuple(Example(name, seen, expected, Settings()) for name, seen, expected in _CASES),
    turns={
        "steps": Turn(_run(), mild=1000, strict=1001),
        "tail": Turn(_LATE, mild=0.6, strict=0.15),
        "least_evaluations": Turn(_run(), mild=6, strict=30),
        "least_blocks": Turn(_run(), mild=8, strict=64),
        "window": Turn(_run(), mild=100, strict=10),
        "least_norms": Turn(_run(norms=50), mild=20, strict=80),
        "gradient.passes_low": Turn(_run(norm=0.6), mild=0.5, strict=0.8),
        "gradient.passes_high": Turn(_run(norm=1.4), mild=1.5, strict=1.2),
        "gradient.warns_low": Turn(_run(norm=0.2), mild=0.1, strict=0.4),
        "gradient.warns_high": Turn(_run(norm=4.0), mild=5.0, strict=3.0),
    },
)
