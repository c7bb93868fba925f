"""Every gate in the folder: pure, honest about missing evidence, right on its examples, monotone, deaf to nothing."""

from functools import reduce
from typing import Any

import pytest
from pydantic import BaseModel

from think.core import plugins
from think.core.gates import run
from think.core.gates.checks import FAMILY, Example, Gate, gate_name
from think.core.gates.evidence import Absent, Evidence, Exhibit, Source, fingerprint
from think.core.gates.verdict import Status, Verdict

GATES: dict[str, Gate] = {name: plugins.load(FAMILY, name) for name in plugins.names(FAMILY)}
EXAMPLES = [pytest.param(gate, ex, id=f"{name}: {ex.name}") for name, gate in GATES.items() for ex in gate.examples]
TURNS = [pytest.param(gate, leaf, id=f"{name}.{leaf}") for name, gate in GATES.items() for leaf in gate.turns]
EACH = [pytest.param(gate, id=name) for name, gate in GATES.items()]


def leaves(settings: type[BaseModel], prefix: str = "") -> set[str]:
    """Dotted names of all leaves; the members of a union are all looked at, their tag is no leaf."""
    found = set()
    for name, field in settings.model_fields.items():
        inner = _classes(field.annotation)
        if inner:
            found |= {leaf for kind in inner for leaf in leaves(kind, f"{prefix}{name}.")}
        elif name != "kind":
            found.add(prefix + name)
    return found


def _classes(annotation: Any) -> list[type[BaseModel]]:
    parts = getattr(annotation, "__args__", (annotation,))
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def bases(gate: Gate, leaf: str) -> list[BaseModel]:
    """Settings of the examples that have this leaf: the variants of a union come from there."""
    found: list[BaseModel] = []
    for example in gate.examples:
        if _has(example.settings, leaf) and example.settings not in found:
            found.append(example.settings)
    assert found, f"no example has settings with {leaf}"
    return found


def _has(settings: BaseModel, leaf: str) -> bool:
    *path, last = leaf.split(".")
    return last in type(reduce(getattr, path, settings)).model_fields


def changed(settings: BaseModel, leaf: str, value: Any) -> BaseModel:
    data = settings.model_dump()
    *path, last = leaf.split(".")
    reduce(lambda table, key: table[key], path, data)[last] = value
    return type(settings).model_validate(data)


def goodness(verdict: Verdict) -> int:
    return {Status.PASS: 2, Status.WARN: 1}.get(verdict.status, 0)


class TopFiveRatio(Evidence):
    """Share of the top five singular values: high for a collapsed state, so no measure of rank."""

    name = "top_five_ratio"
    ratio: float
    positions: int


@pytest.mark.parametrize(("gate", "example"), EXAMPLES)
def test_example_gets_its_word(gate: Gate, example: Example) -> None:
    assert gate.judge(example.settings, example.evidence).status is example.expected


@pytest.mark.parametrize(("gate", "example"), EXAMPLES)
def test_judge_is_pure(gate: Gate, example: Example) -> None:
    before = fingerprint(example.evidence.as_json())
    first, second = (gate.judge(example.settings, example.evidence) for _ in range(2))
    assert repr(first) == repr(second)
    assert fingerprint(example.evidence.as_json()) == before


@pytest.mark.parametrize(("gate", "example"), EXAMPLES)
def test_evidence_and_verdict_survive_storage(gate: Gate, example: Example) -> None:
    stored = type(example.evidence).model_validate(example.evidence.as_json())
    verdict = gate.judge(example.settings, stored)
    assert repr(verdict) == repr(gate.judge(example.settings, example.evidence))
    assert repr(Verdict.from_json(verdict.as_json())) == repr(verdict)


@pytest.mark.parametrize("gate", EACH)
def test_examples_show_pass_fail_and_no_evidence(gate: Gate) -> None:
    assert {example.expected for example in gate.examples} >= {Status.PASS, Status.FAIL, Status.NO_EVIDENCE}


@pytest.mark.parametrize("gate", EACH)
def test_missing_evidence_is_no_evidence(gate: Gate) -> None:
    verdict = run.judge(gate, gate.Settings(), Absent(why="there is no run", remedy="think train stage1"))
    assert (verdict.status, verdict.remedy) == (Status.NO_EVIDENCE, "think train stage1")


@pytest.mark.parametrize("gate", EACH)
def test_evidence_of_another_kind_never_counts(gate: Gate) -> None:
    other = TopFiveRatio(ratio=0.997, positions=100_000)
    verdict = run.judge(gate, gate.Settings(), Exhibit(evidence=other, source=Source()))
    assert verdict.status is Status.NO_EVIDENCE
    assert "top_five_ratio" in verdict.line()


@pytest.mark.parametrize("gate", EACH)
def test_every_finding_of_a_pass_carries_a_count_or_is_exact(gate: Gate) -> None:
    for example in gate.examples:
        for finding in gate.judge(example.settings, example.evidence).findings:
            assert finding.wanted
            assert finding.text


@pytest.mark.parametrize("gate", EACH)
def test_every_setting_has_a_fixture(gate: Gate) -> None:
    assert set(gate.turns) == leaves(gate.Settings)


@pytest.mark.parametrize(("gate", "leaf"), TURNS)
def test_setting_changes_a_verdict(gate: Gate, leaf: str) -> None:
    turn, base = gate.turns[leaf], bases(gate, leaf)[0]
    mild, strict = (gate.judge(changed(base, leaf, value), turn.evidence) for value in (turn.mild, turn.strict))
    assert goodness(mild) > goodness(strict)


@pytest.mark.parametrize(("gate", "leaf"), TURNS)
def test_stricter_never_improves_a_verdict(gate: Gate, leaf: str) -> None:
    """Over all evidence at hand. Which of PASS and WARN a share of the run gives is no matter of strictness."""
    if leaf in ("tail", "window"):
        pytest.skip("a stretch of the run, neither mild nor strict by itself")
    turn = gate.turns[leaf]
    shown = [example.evidence for example in gate.examples] + [other.evidence for other in gate.turns.values()]
    for base in bases(gate, leaf):
        mild, strict = changed(base, leaf, turn.mild), changed(base, leaf, turn.strict)
        for evidence in shown:
            assert goodness(gate.judge(strict, evidence)) <= goodness(gate.judge(mild, evidence))


@pytest.mark.parametrize("gate", EACH)
def test_chain_of_gates_ends_at_the_first(gate: Gate) -> None:
    seen = []
    while gate.after is not None:
        assert gate.after not in seen
        seen.append(gate.after)
        gate = run.load(gate.after)


def test_gates_are_judged_after_what_they_wait_for() -> None:
    order = run.gates()
    assert order == sorted(order, key=lambda name: float(name[1:]))
    assert set(order) == {gate_name(name) for name in GATES}
    for name in order:
        after = run.load(name).after
        assert after is None or order.index(after) < order.index(name)


def test_recorded_entropy_of_six_nats_fails_the_band_of_two_to_five() -> None:
    from think.core.gates.checks import g2
    from think.core.gates.evidence import InitialEntropy

    seen = InitialEntropy(nats=(6.09,), vocabulary=512, positions=1024)
    assert g2.judge(g2.Settings(band=g2.NatsBand(low=2.0, high=5.0)), seen).status is Status.FAIL
