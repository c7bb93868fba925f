"""The evaluations run from end to end and say something, and every branch of the model is worth what it costs.

A branch is judged by true ablation: its output is replaced in all layers at once, by zero, by its mean and by what it
says about another text. The cheapest of the three decides, so neither a constant nor a loud branch can pass for one
that reads.
"""

import math
from typing import Annotated

from pydantic import Field, PositiveFloat

from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import EvaluationSuite, Metric, Worth
from think.core.gates.verdict import Finding, Status, Verdict
from think.presets.base import Settings as Base
from think.presets.base import knob

WAYS = ("zero", "mean", "other")


class Settings(Base):
    """Thresholds of g4."""

    worth: PositiveFloat = knob(0.05, acts_on="judge")
    "nats per token that the held-out loss must rise when a branch is removed, interval included"
    least_blocks: Annotated[int, Field(ge=4)] = knob(8, acts_on="judge")
    "blocks of held-out tokens needed before a branch is judged"


def judge(settings: Settings, seen: EvaluationSuite) -> Verdict:
    """A part that failed or measured nothing fails the gate; then the cheapest branch decides."""
    if not seen.parts:
        return Verdict.cannot_tell("no evaluation was begun", remedy="think gate g4")
    return Verdict.of(
        [_runs(seen), *(_branch(settings, seen, branch) for branch in seen.branches)],
        remedy="`think gate g4 --explain` lists every figure",
    )


def _runs(seen: EvaluationSuite) -> Finding:
    wanted = "every part ends and gives finite figures on one item or more"
    metrics = {part: [metric for metric in seen.metrics if metric.part == part] for part in seen.parts}
    silent = [part for part, found in metrics.items() if not found and part not in seen.failed]
    bad = [f"{each.part} {each.name}" for each in seen.metrics if each.count == 0 or not math.isfinite(each.value)]
    problems = [f"{part}: {why}" for part, why in seen.failed.items()]
    problems += [f"{part} measured nothing" for part in silent]
    problems += [f"{name} is not finite, or was measured on nothing" for name in bad]
    if problems:
        return Finding("evaluations", Status.FAIL, "; ".join(problems), wanted, count=len(seen.metrics))
    text = f"{len(seen.parts)} evaluations gave {len(seen.metrics)} figures: {', '.join(seen.parts)}"
    return Finding("evaluations", Status.PASS, text, wanted, count=len(seen.metrics))


def _branch(settings: Settings, seen: EvaluationSuite, branch: str) -> Finding:
    name, wanted = f"worth of {branch}", f"at least {settings.worth:g} nats, interval included, however it is removed"
    whole = {worth.by: worth for worth in seen.worths if worth.branch == branch and worth.layer is None}
    missing = [by for by in WAYS if by not in whole]
    if missing or seen.blocks < settings.least_blocks:
        text = f"{seen.blocks} held-out blocks of {settings.least_blocks} needed"
        if missing:
            text = f"{branch} was never replaced by {', '.join(missing)}"
        return Finding(name, Status.NO_EVIDENCE, text, wanted, count=seen.blocks)
    listed = ", ".join(f"{by} {whole[by].change:+.4f}" for by in WAYS)
    text = f"held-out loss without {branch}: {listed} nats"
    if not all(math.isfinite(worth.change) for worth in whole.values()):
        return Finding(name, Status.FAIL, text, wanted, math.nan, seen.blocks)
    least = min(whole.values(), key=lambda worth: worth.change)
    words = {least.low >= settings.worth: Status.PASS, least.high < settings.worth: Status.FAIL}
    word = words.get(True, Status.WARN)
    return Finding(name, word, text, wanted, least.change, seen.blocks, (least.low, least.high))


def _suite(
    *,
    rwkv: float = 0.6,
    mamba: float = 0.5,
    by: str = "zero",
    half: float = 0.01,
    blocks: int = 32,
    failed: tuple[str, ...] = (),
    value: float = 2.1,
    ways: tuple[str, ...] = WAYS,
    branches: tuple[str, ...] = ("mamba", "rwkv"),
) -> EvaluationSuite:
    """A made-up suite of two parts; `by` is the way of removal that gives the figures named, others cost 1 nat."""
    worths = [
        Worth(layer=None, branch=branch, by=way, change=cost, low=cost - half, high=cost + half)
        for branch, figure in (("rwkv", rwkv), ("mamba", mamba))
        for way in ways
        for cost in (figure if way == by else 1.0,)
    ]
    metrics = [
        Metric(part="held_out", name="loss", value=value, count=60_000, low=2.0, high=2.2),
        Metric(part="states", name="response", value=0.2, count=8, low=-math.inf, high=math.inf),
    ]
    return EvaluationSuite(
        parts=("held_out", "states"),
        failed=dict.fromkeys(failed, "it ended with an error"),
        metrics=tuple(metric for metric in metrics if metric.part not in failed),
        branches=branches,
        worths=tuple(worths),
        blocks=blocks,
    )


_SILENT = _suite().model_copy(update={"parts": ("held_out", "states", "recall")})

_CASES: tuple[tuple[str, EvaluationSuite, Status], ...] = (
    ("both branches matter", _suite(), Status.PASS),
    ("one path only", _suite(branches=()), Status.PASS),
    ("at the edge", _suite(mamba=0.055), Status.WARN),
    ("one branch is dead", _suite(mamba=0.0), Status.FAIL),
    ("better off without it", _suite(rwkv=-0.2), Status.FAIL),
    ("one branch is a constant", _suite(mamba=0.0, by="mean"), Status.FAIL),
    ("one branch does not read the text", _suite(rwkv=0.01, by="other"), Status.FAIL),
    ("an evaluation crashed", _suite(failed=("states",)), Status.FAIL),
    ("an evaluation measured nothing", _SILENT, Status.FAIL),
    ("a figure is NaN", _suite(value=math.nan), Status.FAIL),
    ("branches measured on three blocks", _suite(blocks=3), Status.NO_EVIDENCE),
    ("branches never replaced by their mean", _suite(ways=("zero", "other")), Status.NO_EVIDENCE),
    ("nothing was begun", _suite().model_copy(update={"parts": ()}), Status.NO_EVIDENCE),
)

SPEC = Gate(
    Settings=Settings,
    needs=EvaluationSuite,
    judge=judge,
    after="g3.6",
    hangs_on=("model", "tokenizer", "data", "stage1", "pack"),
    needs_run=True,
    examples=tuple(Example(name, seen, expected, Settings()) for name, seen, expected in _CASES),
    turns={
        "worth": Turn(_suite(mamba=0.2), mild=0.1, strict=0.3),
        "least_blocks": Turn(_suite(blocks=8), mild=8, strict=9),
    },
)
