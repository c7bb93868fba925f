"""The model is what it claims to be: causal, the same in any cutting, whole in its state, trained everywhere."""

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import Difference, ModelInvariants
from think.core.gates.verdict import Band, Finding, Status, Verdict
from think.presets.base import Settings as Base
from think.presets.base import knob


class Settings(Base):
    """Thresholds of g1."""

    difference: NonNegativeFloat = knob(1e-4, acts_on="judge")
    "largest distance between two ways to the same result, max|a-b| / max|a|, float32"
    visible: PositiveFloat = knob(1e-3, acts_on="judge")
    "smallest effect, same measure, that cutting the link under test must have; below it a fault could not be seen"
    optimizer_steps: PositiveInt = knob(3, acts_on="judge")
    "optimizer steps within which every parameter must have received gradient"
    positions: PositiveInt = knob(4, acts_on="judge")
    "changed tokens needed before causality is judged"


def judge(settings: Settings, seen: ModelInvariants) -> Verdict:
    """All findings must PASS; a comparison in which a fault could not have shown is no evidence."""
    same = [
        ("full == chunks", seen.chunks),
        ("full == steps", seen.steps),
        ("final state", seen.states),
        ("state handoff", seen.handoff),
        ("reset", seen.reset),
    ]
    findings = [
        _output(seen),
        _causality(settings, seen),
        *(_same(settings, name, difference) for name, difference in same),
        _gradients(settings, seen),
        _groups(seen),
    ]
    return Verdict.of(findings, remedy="`think gate g1 --explain` lists every figure")


def _output(seen: ModelInvariants) -> Finding:
    wanted = f"shape {list(seen.expected_shape)}, all finite"
    if seen.values == 0:
        return Finding("output", Status.NO_EVIDENCE, "no logit was looked at", wanted)
    good = seen.shape == seen.expected_shape and seen.not_finite == 0
    text = f"shape {list(seen.shape)}, {seen.not_finite} not finite"
    return Finding("output", Status.PASS if good else Status.FAIL, text, wanted, count=seen.values)


def _causality(settings: Settings, seen: ModelInvariants) -> Finding:
    wanted = "no change before a changed token, some change from it on"
    text = f"change before {seen.change_before:.3g}, from it on at least {seen.least_change_after:.3g}"
    if seen.perturbed < settings.positions:
        text = f"{seen.perturbed} of {settings.positions} positions were tried"
        return Finding("causality", Status.NO_EVIDENCE, text, wanted, count=seen.perturbed)
    # Written so that NaN on either side fails.
    good = seen.change_before == 0 and seen.least_change_after > 0
    return Finding("causality", Status.PASS if good else Status.FAIL, text, wanted, seen.change_before, seen.perturbed)


def _same(settings: Settings, name: str, seen: Difference) -> Finding:
    wanted = f"error <= {settings.difference:g} where a cut link shows >= {settings.visible:g}"
    text = f"{name}: error {seen.error:.2g}, a cut link shows {seen.witness:.2g}"
    near = Band.at_most(settings.difference).status(seen.error)
    visible = Band.at_least(settings.visible).status(seen.witness)
    if near is Status.PASS and visible is Status.FAIL:
        return Finding(name, Status.NO_EVIDENCE, text, wanted, seen.error)
    return Finding(name, near, text, wanted, seen.error)


def _gradients(settings: Settings, seen: ModelInvariants) -> Finding:
    wanted = f"gradient in every parameter within {settings.optimizer_steps} steps on batches with a reset"
    if seen.optimizer_steps < settings.optimizer_steps or seen.resets == 0 or seen.parameters == 0:
        text = f"{seen.optimizer_steps} steps with {seen.resets} resets on {seen.parameters} parameters"
        return Finding("gradients", Status.NO_EVIDENCE, text, wanted)
    if seen.without_gradient:
        text = f"{len(seen.without_gradient)} without gradient: {_some(seen.without_gradient)}"
        return Finding("gradients", Status.FAIL, text, wanted, count=seen.parameters)
    text = f"every parameter received gradient in {seen.optimizer_steps} steps with {seen.resets} resets"
    return Finding("gradients", Status.PASS, text, wanted, count=seen.parameters)


def _groups(seen: ModelInvariants) -> Finding:
    wanted = "every parameter in exactly one optimizer group"
    if seen.parameters == 0:
        return Finding("optimizer groups", Status.NO_EVIDENCE, "no parameter was looked at", wanted)
    faults = []
    if seen.ungrouped:
        faults.append(f"{len(seen.ungrouped)} in none: {_some(seen.ungrouped)}")
    if seen.grouped_twice:
        faults.append(f"{len(seen.grouped_twice)} in several: {_some(seen.grouped_twice)}")
    status = Status.FAIL if faults else Status.PASS
    return Finding("optimizer groups", status, "; ".join(faults) or "each in one group", wanted, count=seen.parameters)


def _some(names: tuple[str, ...], shown: int = 3) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


_SEEN = ModelInvariants(
    shape=(2, 70, 97),
    expected_shape=(2, 70, 97),
    values=2 * 70 * 97,
    not_finite=0,
    perturbed=6,
    change_before=0.0,
    least_change_after=0.2,
    chunks=Difference(error=3e-6, witness=0.3),
    steps=Difference(error=4e-6, witness=0.3),
    states=Difference(error=2e-6, witness=0.4),
    handoff=Difference(error=0.0, witness=0.2),
    reset=Difference(error=0.0, witness=0.3),
    parameters=80,
    without_gradient=(),
    ungrouped=(),
    grouped_twice=(),
    optimizer_steps=3,
    resets=4,
)


def _with(**changes: object) -> ModelInvariants:
    return _SEEN.model_copy(update=changes)


_CASES: tuple[tuple[str, ModelInvariants, Status], ...] = (
    ("all is well", _SEEN, Status.PASS),
    ("wrong shape", _with(shape=(2, 69, 97)), Status.FAIL),
    ("a NaN", _with(not_finite=1), Status.FAIL),
    ("looks ahead by one bit", _with(change_before=1e-9), Status.FAIL),
    ("a change that is NaN", _with(change_before=float("nan")), Status.FAIL),
    ("deaf to a token", _with(least_change_after=0.0), Status.FAIL),
    ("few positions", _with(perturbed=1), Status.NO_EVIDENCE),
    ("chunks differ", _with(chunks=Difference(error=0.01, witness=0.3)), Status.FAIL),
    ("steps differ", _with(steps=Difference(error=0.01, witness=0.3)), Status.FAIL),
    ("the state differs", _with(states=Difference(error=0.01, witness=0.3)), Status.FAIL),
    ("rows are mixed up", _with(handoff=Difference(error=0.2, witness=0.2)), Status.FAIL),
    ("a reset lets the past through", _with(reset=Difference(error=0.2, witness=0.3)), Status.FAIL),
    ("a state too faint to test", _with(chunks=Difference(error=1e-7, witness=1e-6)), Status.NO_EVIDENCE),
    ("an error that is NaN", _with(steps=Difference(error=float("nan"), witness=0.3)), Status.FAIL),
    ("dead h0", _with(without_gradient=("blocks.0.mixer.rwkv.start",)), Status.FAIL),
    ("no reset in the batches", _with(resets=0), Status.NO_EVIDENCE),
    ("two steps only", _with(optimizer_steps=2), Status.NO_EVIDENCE),
    ("outside the optimizer", _with(ungrouped=("norm.weight",)), Status.FAIL),
    ("twice in the optimizer", _with(grouped_twice=("head.weight",)), Status.FAIL),
)

SPEC = Gate(
    Settings=Settings,
    needs=ModelInvariants,
    judge=judge,
    after="g0",
    hangs_on=("model", "code"),
    needs_run=False,
    examples=tuple(Example(name, seen, expected, Settings()) for name, seen, expected in _CASES),
    turns={
        "difference": Turn(_SEEN, mild=1e-4, strict=1e-7),
        "visible": Turn(_SEEN, mild=1e-3, strict=0.9),
        "optimizer_steps": Turn(_SEEN, mild=3, strict=4),
        "positions": Turn(_SEEN, mild=4, strict=7),
    },
)
