"""What every kind of reasoning problem must obey; a new file in the folder is tested from its first day."""

import json
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from think.core import plugins
from think.core.data.reasoning import records, reports
from think.core.data.reasoning.checking import check
from think.core.data.reasoning.kinds import FAMILY, Kind, Problem
from think.core.data.reasoning.numbers import magnitudes

KINDS = plugins.names(FAMILY)
every_kind = pytest.mark.parametrize("name", KINDS)
seeds = st.integers(0, 2**63)


def _proposed(name: str, seed: int) -> tuple[Kind[Any], Problem[Any]]:
    kind: Kind[Any] = plugins.load(FAMILY, name)
    return kind, records.propose(kind, Random(seed))


@every_kind
@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_its_answer_solves_it_and_other_numbers_do_not(name: str, seed: int) -> None:
    kind, problem = _proposed(name, seed)
    assert kind.holds(problem.operands, problem.answer)
    for other in (problem.answer + 1, problem.answer - 1, problem.answer + Fraction(1, 7)):
        assert not kind.holds(problem.operands, other)


@every_kind
@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_a_problem_is_consistent(name: str, seed: int) -> None:
    _, problem = _proposed(name, seed)
    assert problem == _proposed(name, seed)[1]
    assert abs(problem.answer) not in magnitudes(problem.question)
    assert problem.steps[-1].value == problem.answer
    assert problem.difficulty in (1, 2, 3)
    assert problem.question[-1] in ".?"
    assert problem.keywords


@every_kind
@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_operands_survive_json(name: str, seed: int) -> None:
    kind, problem = _proposed(name, seed)
    text = json.dumps(problem.operands.model_dump(mode="json"))
    assert kind.operands.model_validate_json(text) == problem.operands


@every_kind
@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_reports_state_the_answer_also_after_a_slip(name: str, seed: int) -> None:
    _, problem = _proposed(name, seed)
    record = {
        "id": "example",
        "validator": {"kind": name, "operands": problem.operands.model_dump(mode="json")},
        "markers": ["Plan", "Step", "Monitor", "Diagnosis", "Confidence", "Answer"],
        "keywords": list(problem.keywords),
    }
    for report in (reports.correct, reports.mended):
        outcome = check(record, report(problem, Random(seed)))
        assert outcome.correct
        assert not outcome.missing_markers
        assert not outcome.missing_keywords
    assert reports.mended(problem, Random(seed)) != reports.correct(problem, Random(seed))


@every_kind
def test_it_does_not_run_out_soon(name: str) -> None:
    assert len({record["prompt"] for record in records.generate(400, seed=1, kinds=[name])}) == 400
