"""A long run is nearly as good as its baseline's: equal data, tokens and seed, no divergence, balanced gradients.

The baseline is the twin that the preset names, or the run given by --baseline. Without one there is no evidence.
"""

import math
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import BaselineComparison, Contestant, HeldOut
from think.core.gates.verdict import Band, Finding, Status, Verdict
from think.presets.base import Settings as Base
from think.presets.base import knob

Ratio = Annotated[float, Field(ge=1.0)]


class Settings(Base):
    """Thresholds of g3.6."""

    steps: PositiveInt = knob(10_000, acts_on="judge")
    "optimizer steps that the run must have made"
    loss_ratio: Ratio = knob(1.2, acts_on="judge")
    "largest held-out loss that passes, as a multiple of the baseline's; the whole interval must lie below"
    least_blocks: Annotated[int, Field(ge=4)] = knob(8, acts_on="judge")
    "blocks of held-out tokens needed before the two are compared"
    least_evaluations: Annotated[int, Field(ge=2)] = knob(5, acts_on="judge")
    "evaluations while training needed before divergence is judged"
    rise: PositiveFloat = knob(0.05, acts_on="judge")
    "largest rise of the held-out loss above its lowest point that passes, as a share of it"
    rise_warns: PositiveFloat = knob(0.1, acts_on="judge")
    "largest rise that is a warning and not a failure"
    gradient_ratio: Ratio = knob(3.0, acts_on="judge")
    "largest ratio of the branches' gradient norms, either way, that passes"
    gradient_ratio_warns: Ratio = knob(10.0, acts_on="judge")
    "largest ratio, either way, that is a warning and not a failure"
    least_ratios: PositiveInt = knob(10, acts_on="judge")
    "recorded ratios needed before they are judged"

    @model_validator(mode="after")
    def _ordered(self) -> "Settings":
        if self.rise_warns < self.rise or self.gradient_ratio_warns < self.gradient_ratio:
            raise ValueError("rise_warns and gradient_ratio_warns must not be below rise and gradient_ratio")
        return self


def judge(settings: Settings, seen: BaselineComparison) -> Verdict:
    """Runs that cannot be compared are no evidence; the worst of three figures decides."""
    unlike = [
        f"{name}: {getattr(seen.run, name)} and {getattr(seen.baseline, name)}"
        for name in ("pack", "tokens", "seed")
        if getattr(seen.run, name) != getattr(seen.baseline, name)
    ]
    if unlike:
        return Verdict.cannot_tell(
            f"{seen.run.run} and {seen.baseline.run} cannot be compared; {'; '.join(unlike)}",
            remedy="train the baseline on the same data, for as many tokens, with the same seed",
        )
    if seen.run.steps < settings.steps:
        return Verdict.cannot_tell(
            f"the run made {seen.run.steps:,} steps of the {settings.steps:,} that g3.6 judges",
            remedy=f"train longer: `--set stage1.steps={settings.steps}`",
        )
    return Verdict.of(
        [_ratio(settings, seen), _diverges(settings, seen), _balance(settings, seen)],
        remedy="`think gate g3.6 --explain` lists every figure",
    )


def _ratio(settings: Settings, seen: BaselineComparison) -> Finding:
    name, wanted = "loss over the baseline's", f"at most {settings.loss_ratio:g}, interval included"
    own, other = seen.run.loss, seen.baseline.loss
    text = (
        f"held-out {own:.4f} nats, {seen.baseline.run} {other:.4f}, on the same {seen.held_out_tokens:,} tokens; "
        f"{seen.run.parameters:,} and {seen.baseline.parameters:,} parameters"
    )
    if not (math.isfinite(own) and math.isfinite(other) and other > 0):
        return Finding(name, Status.FAIL, text, wanted, math.nan, seen.blocks)
    if seen.blocks < settings.least_blocks or not math.isfinite(seen.low):
        text = f"{seen.blocks} held-out blocks of {settings.least_blocks} needed"
        return Finding(name, Status.NO_EVIDENCE, text, wanted, count=seen.blocks)
    ratio, low, high = (1 + gap / other for gap in (seen.difference, seen.low, seen.high))
    words = {high <= settings.loss_ratio: Status.PASS, low > settings.loss_ratio: Status.FAIL}
    word = words.get(True, Status.WARN)
    return Finding(name, word, text, wanted, ratio, seen.blocks, (low, high))


def _diverges(settings: Settings, seen: BaselineComparison) -> Finding:
    band = Band.at_most(settings.rise, warns=settings.rise_warns)
    name, wanted = "rise above the lowest", f"{band}, as a share of the lowest held-out loss"
    losses = [point.loss for point in seen.evaluations]
    if len(losses) < settings.least_evaluations:
        text = f"{len(losses)} evaluations of {settings.least_evaluations} needed; see stage1.evaluation.every"
        return Finding(name, Status.NO_EVIDENCE, text, wanted, count=len(losses))
    if not all(map(math.isfinite, losses)):
        return Finding(name, Status.FAIL, "a held-out loss is not finite", wanted, math.nan, len(losses))
    lowest = min(losses)
    rise = losses[-1] / lowest - 1
    text = f"held-out loss {losses[-1]:.4f} at the end, {lowest:.4f} at its lowest"
    return Finding(name, band.status(rise), text, wanted, rise, len(losses))


def _balance(settings: Settings, seen: BaselineComparison) -> Finding:
    passes, warns = settings.gradient_ratio, settings.gradient_ratio_warns
    band = Band.between(1 / passes, passes, warn_low=1 / warns, warn_high=warns)
    name, wanted = "gradient ratio", f"median of rwkv over mamba: {band}"
    if not seen.branches:
        return Finding(name, Status.PASS, "the blocks have one path only", "two branches to compare, or one path")
    if len(seen.gradient_ratios) < settings.least_ratios:
        text = (
            f"{len(seen.gradient_ratios)} ratios recorded of {settings.least_ratios} needed; "
            "see stage1.telemetry.gradients_every"
        )
        return Finding(name, Status.NO_EVIDENCE, text, wanted, count=len(seen.gradient_ratios))
    ratio = float(np.median(seen.gradient_ratios))
    text = f"rwkv over mamba {ratio:.3g}, median of all records"
    return Finding(name, band.status(ratio), text, wanted, ratio, len(seen.gradient_ratios))


def _runs(
    *,
    loss: float = 2.0,
    baseline: float = 1.9,
    half: float = 0.02,
    steps: int = 10_000,
    seed: int = 0,
    pack: str = "a" * 64,
    tokens: int = 4_000_000,
    blocks: int = 32,
    rise: float = 0.0,
    evaluations: int = 20,
    ratio: float = 1.4,
    ratios: int = 40,
    branches: tuple[str, ...] = ("mamba", "rwkv"),
) -> BaselineComparison:
    """A made-up pair of runs; `half` is the half-width of the interval around their difference."""
    fall = [loss + 1.0 / (1 + place) for place in range(evaluations - 1)]
    lowest = min(fall, default=loss)
    points = [*fall, lowest * (1 + rise)] if rise else [*fall, loss][:evaluations]
    own = Contestant(
        run="own", steps=steps, tokens=4_000_000, parameters=2_000_000, seed=0, pack="a" * 64, checkpoint="c", loss=loss
    )
    return BaselineComparison(
        run=own,
        baseline=own.model_copy(update={"run": "twin", "loss": baseline, "seed": seed, "pack": pack, "tokens": tokens}),
        difference=loss - baseline,
        low=loss - baseline - half,
        high=loss - baseline + half,
        blocks=blocks,
        held_out_tokens=blocks * 1024,
        evaluations=tuple(HeldOut(step=place * 500, loss=point, tokens=4096) for place, point in enumerate(points)),
        gradient_ratios=(ratio,) * ratios,
        branches=branches,
    )


_CASES: tuple[tuple[str, BaselineComparison, Status], ...] = (
    ("a little worse than the baseline", _runs(), Status.PASS),
    ("better than the baseline", _runs(loss=1.8), Status.PASS),
    ("one path only", _runs(branches=(), ratios=0), Status.PASS),
    ("the edge lies inside the interval", _runs(loss=2.27), Status.WARN),
    ("far worse than the baseline", _runs(loss=2.6), Status.FAIL),
    ("loss is NaN", _runs(loss=math.nan), Status.FAIL),
    ("rises a little", _runs(rise=0.07), Status.WARN),
    ("diverges", _runs(rise=0.5), Status.FAIL),
    ("one branch leads", _runs(ratio=5.0), Status.WARN),
    ("one branch learns alone", _runs(ratio=1e-3), Status.FAIL),
    ("trained on other data", _runs(pack="b" * 64), Status.NO_EVIDENCE),
    ("trained for fewer tokens", _runs(tokens=2_000_000), Status.NO_EVIDENCE),
    ("another seed", _runs(seed=1), Status.NO_EVIDENCE),
    ("too few steps", _runs(steps=500), Status.NO_EVIDENCE),
    ("too few held-out blocks", _runs(blocks=3), Status.NO_EVIDENCE),
    ("never evaluated", _runs(evaluations=1), Status.NO_EVIDENCE),
    ("gradients never recorded", _runs(ratios=0), Status.NO_EVIDENCE),
)

SPEC = Gate(
    Settings=Settings,
    needs=BaselineComparison,
    judge=judge,
    after="g3.5",
    hangs_on=("model", "tokenizer", "data", "stage1", "pack"),
    needs_run=True,
    examples=tuple(Example(name, seen, expected, Settings()) for name, seen, expected in _CASES),
    turns={
        "steps": Turn(_runs(steps=5000), mild=5000, strict=5001),
        "loss_ratio": Turn(_runs(loss=2.6), mild=1.5, strict=1.2),
        "least_blocks": Turn(_runs(blocks=8), mild=8, strict=9),
        "least_evaluations": Turn(_runs(evaluations=5), mild=5, strict=6),
        "rise": Turn(_runs(rise=0.07), mild=0.08, strict=0.06),
        "rise_warns": Turn(_runs(rise=0.2), mild=0.3, strict=0.1),
        "gradient_ratio": Turn(_runs(ratio=5.0), mild=6.0, strict=4.0),
        "gradient_ratio_warns": Turn(_runs(ratio=15.0), mild=20.0, strict=10.0),
        "least_ratios": Turn(_runs(ratios=5), mild=5, strict=6),
    },
)
