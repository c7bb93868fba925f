"""What was asked of a run is kept in it, and a page of it says no more than its intervals do."""

import json
from pathlib import Path
from typing import Any

import pytest

from think.core.errors import BadData
from think.core.eval.reasoning.page import plot, text
from think.core.eval.results import keep, kept


def _arm(name: str, solved: int, against: tuple[float, float, float] | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"arm": name, "samples": None, "solved": solved, "count": 100, "share": solved / 100}
    found |= {"low": solved / 100 - 0.05, "high": solved / 100 + 0.05, "tokens_per_puzzle": 9.0}
    found |= {"flops_per_puzzle": 2e6, "seconds": 1.0, "parameters": None}
    if against is not None:
        value, low, high = against
        found["against"] = {
            "than": "search",
            "only_this": 1,
            "only_that": 2,
            "p": 0.5 if low <= 0 <= high else 1e-4,
            "difference": value,
        }
        found["against"] |= {"difference_low": low, "difference_high": high}
    return found | more


def _result(*arms: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"run": "stars", "model": "m", "step": 5, "task": {"kind": "path_star", "length": 5}}
    found |= {"split": "test", "count": 100, "samples": None, "critic": "c", "critic_run": "judge", "larger": None}
    rule = {"kind": "gumbel", "considered": 4, "value_scale": 1.0}
    found |= {"search": {"simulations": 8, "rule": rule, "rules_below": True}}
    return found | {"seed": 0, "chance": 0.2, "command": "think eval reasoning", "arms": list(arms)} | more


def _line(*others: dict[str, Any]) -> str:
    """The verdict of a page on one result."""
    page = text("T", [_result(_arm("search", 90), *others)], "plots")
    return next(line for line in page.splitlines() if line.startswith("| [path_star length=5]"))


def test_the_verdict_is_against_the_best_other_way_and_leaves_other_searches_and_chance_out() -> None:
    worse, near = _arm("greedy", 20, (-0.7, -0.8, -0.6)), _arm("best_by_critic", 85, (-0.05, -0.09, -0.01), samples=7)
    control = _arm("search_shuffled", 99, (0.09, 0.05, 0.12))
    chance = _arm("random_legal", 95, (0.05, 0.01, 0.09), flops_per_puzzle=0.0)
    line = _line(worse, near, control, chance)
    assert "best_by_critic × 7, 85.0 %" in line
    assert "+5.0 (+1.0 to +9.0) | **better** |" in line
    assert "| 8, 1 | 20.0 % (15.0 – 25.0) | 90.0 %" in line


@pytest.mark.parametrize(
    ("against", "says"),
    [((-0.02, -0.05, 0.01), "cannot tell"), ((0.05, 0.01, 0.09), "worse"), ((-0.05, -0.09, -0.01), "better")],
)
def test_better_and_worse_are_said_where_the_interval_says_so(against: tuple[float, float, float], says: str) -> None:
    assert f"**{says}**" in _line(_arm("greedy", 80, against))


def test_without_a_search_there_is_no_verdict() -> None:
    page = text("T", [_result(_arm("greedy", 20), search=None, critic=None)], "plots")
    assert "**" not in page
    assert "Search:" not in page


def test_the_page_tells_rule_heads_and_caution_apart() -> None:
    rule = {"kind": "puct", "exploration": 1.25, "growth": 19652.0}
    search = {"simulations": 8, "rule": rule, "rules_below": False, "heads": [0, 2], "caution": 0.5, "keep_tree": True}
    page = text("T", [_result(_arm("search", 90), search=search)], "plots")
    assert "| 8, puct, heads 0+2, caution 0.5, tree kept |" in page
    assert "what was foreseen is kept from choice to choice" in page
    assert "8 simulations, by puct, weight of the policy 1.25, without the rules below" in page
    assert "heads 0+2 of the critic judge, 0.5 standard deviations of the heads taken off" in page
    assert "heads" not in text("T", [_result(_arm("search", 90))], "plots")


def test_the_page_says_whose_policy_was_searched_where_it_is_not_the_models_own() -> None:
    usual, fused = _result(_arm("search", 90)), _result(_arm("search", 90))
    fused["search"] = fused["search"] | {"prior": "fused"}
    page = text("T", [fused], "plots")
    assert "| 8, 1, prior fused |" in page
    assert "the policy is that of all layers, fused" in page
    assert "fused" not in text("T", [usual], "plots")


def test_every_arm_is_drawn(tmp_path: Path) -> None:
    drawn = plot(_result(_arm("search", 90), _arm("greedy", 20), _arm("random_legal", 10, flops_per_puzzle=0.0)))
    assert drawn.startswith(b"<?xml")
    assert b"greedy" in drawn


def test_the_same_exam_again_replaces_its_result_and_another_one_does_not(tmp_path: Path) -> None:
    first = _result(_arm("search", 90))
    assert keep(tmp_path, first) == keep(tmp_path, first | {"arms": [_arm("search", 91)]})
    keep(tmp_path, first | {"seed": 1})
    assert sorted(one["arms"][0]["solved"] for one in kept(tmp_path)) == [90, 91]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"arms": []}'])
def test_a_damaged_result_is_named(tmp_path: Path, content: str) -> None:
    place = keep(tmp_path, _result(_arm("search", 90)))
    place.write_text(content)
    with pytest.raises(BadData, match="result"):
        list(kept(tmp_path))


def test_a_result_is_plain_json(tmp_path: Path) -> None:
    result = _result(_arm("search", 90))
    assert json.loads(keep(tmp_path, result).read_text()) == result
