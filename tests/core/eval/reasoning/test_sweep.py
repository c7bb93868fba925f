"""One option at several values: which of them are compared, what is said of it, and that each is asked as it is."""

from typing import Any

import numpy as np
import pytest

from tests.core.eval.reasoning.test_arms import PUZZLES, SETTINGS, TASK, _player, _tokenizer
from think.core.errors import UsageError
from think.core.eval.reasoning.measure import Exam, Measured
from think.core.eval.reasoning.page import text
from think.core.eval.reasoning.planner import Planner
from think.core.eval.reasoning.searching import Searching
from think.core.eval.reasoning.sweep import OPTIONS, as_json, compared, monotone, split, sweep
from think.core.eval.reasoning.sweep_page import cells, plot, section
from think.core.statistics import holm, mcnemar


def _solved(*counts: int, arm: str = "search", of: int = 200) -> list[Measured]:
    """An arm that solves the first so many puzzles at each value."""
    return [Measured(arm, (np.arange(of) < count).astype(np.int64), of, 1000 * of, 1.0) for count in counts]


@pytest.mark.parametrize(
    ("over", "texts", "values"),
    [
        ("simulations", ["16", "1", "4"], (1, 4, 16)),
        ("considered", ["2", "4"], (2, 4)),
        ("value_scale", ["1", "0.05"], (0.05, 1.0)),
        ("exploration", ["2", "1"], (1.0, 2.0)),
        ("caution", ["0", "1"], (0.0, 1.0)),
        ("rule", ["puct", "gumbel"], ("puct", "gumbel")),
        ("prior", ["model", "fused"], ("model", "fused")),
        ("heads", ["all", "each", "0+2"], (None, (0,), (1,), (2,), (0, 2))),
    ],
)
def test_values_from_words(over: str, texts: list[str], values: tuple[Any, ...]) -> None:
    found = sweep(over, texts, layers=3)
    assert found.values == values
    base = Searching(rule="puct") if over == "exploration" else Searching()
    assert [getattr(found.put(base, value), over) for value in found.values] == list(values)
    again = sweep(over, [found.said(value) for value in found.values], layers=3)
    assert again.values == values
    assert {"simulations", "heads", "rule"} <= set(OPTIONS)


@pytest.mark.parametrize(
    ("over", "texts", "says"),
    [
        ("depth", ["1", "2"], "no option 'depth'"),
        ("simulations", ["4"], "two or more"),
        ("simulations", [], "two or more"),
        ("simulations", ["4", "4"], "each of them once"),
        ("simulations", ["0", "4"], "'0' is no value of simulations"),
        ("simulations", ["1.5", "4"], "whole number"),
        ("rule", ["gumbel", "uct"], "gumbel or puct"),
        ("prior", ["model", "critic"], "model or fused"),
        ("heads", ["all", "first"], "heads 'first'"),
        ("heads", ["each", "0"], "each of them once"),
        ("value_scale", ["a", "b"], "a number"),
    ],
)
def test_values_that_are_none(over: str, texts: list[str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        sweep(over, texts, layers=2)
    assert says in str(error.value)


def test_a_value_that_cannot_be_asked_is_refused_before_anything_is_measured() -> None:
    found = sweep("rule", ["gumbel", "puct"], layers=2)
    with pytest.raises(UsageError, match="of the rule gumbel"):
        found.put(Searching(considered=4), "puct")


def test_arms_that_an_option_does_not_move_are_asked_once() -> None:
    arms = ["search", "best_by_critic", "greedy", "search_latent"]
    assert split("simulations", arms) == (["search", "search_latent"], ["best_by_critic", "greedy"])
    assert split("heads", arms) == (["search", "best_by_critic"], ["greedy", "search_latent"])
    assert split("prior", arms) == (["search"], ["best_by_critic", "greedy", "search_latent"])
    with pytest.raises(UsageError, match="simulations has no effect on greedy"):
        split("simulations", ["greedy"])


def test_numbers_are_held_against_their_neighbours_and_others_against_the_first() -> None:
    arm = _solved(50, 120, 125)
    ordered, first = (compared([arm], ordered=ordered)[0] for ordered in (True, False))
    assert [step.than for step in ordered] == [0, 1]
    assert [step.than for step in first] == [0, 0]
    assert first[1].against["only_this"] == 75
    assert ordered[1].against["only_this"] == 5


def test_verdicts_hold_for_all_comparisons_together() -> None:
    arms = [_solved(100, 107, 114), _solved(100, 100, 107, arm="other")]
    steps = compared(arms, ordered=True)
    plain = [mcnemar(7, 0), mcnemar(7, 0), 1.0, mcnemar(7, 0)]
    assert [step.p for arm in steps for step in arm] == pytest.approx(holm(plain))
    assert plain[0] < 0.05 < steps[0][0].p  # alone it would be told
    assert {step.verdict for arm in steps for step in arm} == {"cannot tell"}


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((20, 60, 120), "yes"),
        ((20, 60, 30), "no"),
        ((20, 60, 60), "cannot tell"),
        ((20, 60, 58), "cannot tell"),
        ((120, 60, 61), "no"),
    ],
)
def test_monotone_where_every_step_is_told_to_rise(counts: tuple[int, ...], says: str) -> None:
    assert monotone(compared([_solved(*counts)], ordered=True)[0]) == says


def _result(over: str, texts: list[str], *counts: int) -> dict[str, Any]:
    beside = _solved(90, arm="greedy")
    found: dict[str, Any] = as_json(sweep(over, texts, layers=2), [_solved(*counts)], beside)
    found |= {"run": "r", "task": {"kind": "sudoku4"}, "split": "test", "count": 200, "seed": 0, "critic": "c"}
    rule = {"kind": "gumbel", "considered": 4, "value_scale": 1.0}
    search = {"simulations": 64, "rule": rule, "rules_below": True}
    return found | {"critic_run": "judge", "search": search, "command": f"think eval sweep r --over {over}"}


def test_the_page_has_every_value_with_what_it_is_held_against() -> None:
    result = _result("simulations", ["1", "4", "16"], 20, 60, 61)
    page = "\n".join(section(2, result, "plots"))
    assert page.startswith("## Sweep 2: simulations")
    assert "64 simulations" not in page
    assert "4 actions considered" in page
    assert "| 4 | search | 60 of 200 | 30.0 % (24.1 – 36.7) |" in page
    assert "| 1 | +20.0 (+14.5 to +25.5) | 40 : 0 |" in page
    assert "**more**" in page
    assert "does more of simulations solve more? **cannot tell**" in page
    assert "(plots/sweep-2.svg)" in page
    assert [row[1] for row in cells(result)] == ["search", "search", "search", "greedy"]


def test_what_is_no_number_has_no_monotony() -> None:
    page = "\n".join(section(1, _result("heads", ["all", "each"], 90, 20, 61), "plots"))
    assert "solve more?" not in page
    assert "held against heads all" in page
    assert page.count("**fewer**") == 2


@pytest.mark.parametrize(
    ("over", "texts"), [("simulations", ["1", "4", "64"]), ("heads", ["all", "0", "1"]), ("caution", ["0", "1", "2"])]
)
def test_every_value_and_every_arm_is_drawn(over: str, texts: list[str]) -> None:
    drawn = plot(_result(over, texts, 20, 60, 61))
    assert drawn.startswith(b"<?xml")
    assert all(f">{word}<".encode() in drawn for word in (*texts, "search", "greedy", over))


def test_each_value_is_searched_as_it_is_asked() -> None:
    """Against an exam of that value alone."""
    player = _player()
    exam = Exam(player.model, _tokenizer(), TASK, SETTINGS, "test", PUZZLES, 0, planner=player.planned)
    costs = []
    for value in sweep("simulations", ["1", "3"], layers=2).values:
        asked = Searching(simulations=value).settings(TASK)
        one = Exam(exam.model, exam.tokenizer, TASK, SETTINGS, "test", PUZZLES, 0, Planner(player.planned.world, asked))
        costs.append(one.measure("search", 1).flops)
    assert costs[0] < costs[1]


def test_a_page_of_sweeps_alone_has_no_table_of_exams() -> None:
    whole = text("T", [], "plots", [_result("simulations", ["1", "4"], 20, 60)])
    assert "## Sweep 1: simulations" in whole
    assert "System 1" not in whole
