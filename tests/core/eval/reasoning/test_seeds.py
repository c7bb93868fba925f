"""The same exam of several trainings: who belongs together, and what is told of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.core.eval.reasoning.test_page import _arm, _result
from think.core.eval.reasoning.page import text
from think.core.eval.reasoning.seeds import BEST, groups, recipe
from think.core.training.predecessor import Predecessor
from think.core.training.stages.stage3 import Stage3Settings

SPAN = 0.01
"Half the width of a difference over puzzles."

SHARES = {"search": (90, 92, 94), "greedy": (20, 22, 21), "beam": (70, 80, 60), "refine": (75, 60, 70)}


def _exam(number: int, **more: Any) -> dict[str, Any]:
    arms = []
    for name, shares in SHARES.items():
        less = (shares[number] - SHARES["search"][number]) / 100
        arms.append(_arm(name, shares[number], None if name == "search" else (less, less - SPAN, less + SPAN)))
    return _result(*arms, run=f"stars_{number}", model=f"m{number}", critic=f"c{number}", **more)


def _recipes(*texts: str) -> Mapping[str, str]:
    return {f"c{number}": text for number, text in enumerate(texts)}


EXAMS = [_exam(number) for number in range(3)]


def test_runs_of_one_recipe_belong_together() -> None:
    (found,) = groups(EXAMS, _recipes("a", "a", "a"))
    assert [result["run"] for result in found.results] == ["stars_0", "stars_1", "stars_2"]
    assert found.ways == ("greedy", "beam", "refine")
    (found,) = groups(EXAMS, _recipes("a", "b", "a"))
    assert [result["run"] for result in found.results] == ["stars_0", "stars_2"]


@pytest.mark.parametrize(
    "other",
    [
        _exam(1, seed=1),
        _exam(1, split="validation"),
        _exam(1, task={"kind": "path_star", "length": 7}),
        _exam(1, samples=4),
        _exam(1) | {"search": EXAMS[0]["search"] | {"simulations": 9}},
        _exam(1) | {"run": "stars_0"},
        _exam(1) | {"run": "stars_0", "step": 9},
    ],
)
def test_other_exams_and_the_same_run_asked_again_do_not(other: dict[str, Any]) -> None:
    assert not list(groups([EXAMS[0], other], _recipes("a", "a")))


def test_what_a_run_was_asked_in_two_sittings_is_one_exam() -> None:
    parts = [EXAMS[0] | {"arms": [arm for arm in EXAMS[0]["arms"] if arm["arm"] in names]} for names in _SITTINGS]
    (found,) = groups([*parts, EXAMS[1], EXAMS[2]], _recipes("a", "a", "a"))
    assert found.ways == ("beam", "greedy", "refine")
    assert found.shares("greedy") == {0: 0.20, 1: 0.22, 2: 0.21}


_SITTINGS = (("search", "beam"), ("search", "greedy", "refine"))


def test_of_a_run_that_was_asked_again_its_last_step_counts() -> None:
    again = _exam(1) | {"run": "stars_0", "model": "m0, later", "step": 9, "arms": EXAMS[1]["arms"][:2]}
    for asked in ([EXAMS[0], again, EXAMS[2]], [again, EXAMS[0], EXAMS[2]]):
        (found,) = groups(asked, _recipes("a", "a", "a"))
        assert [result["step"] for result in found.results] == [9, 5]
        assert found.ways == ("greedy",)


def test_what_two_critics_of_one_model_were_asked_is_not_mixed() -> None:
    first, other = EXAMS[0] | {"arms": EXAMS[0]["arms"][:2]}, _exam(1) | {"run": "stars_0", "critic_run": "another"}
    (found,) = groups([first, other, EXAMS[2]], _recipes("a", "a", "a"))
    assert found.ways == ("greedy",)


def test_the_best_other_way_is_that_of_each_run() -> None:
    (found,) = groups(EXAMS, _recipes("a", "a", "a"))
    assert found.shares(BEST) == {0: 0.75, 1: 0.80, 2: 0.70}
    against = found.against(BEST).difference  # 15, 12 and 24 points: mean 17, deviation 6.245, t(2) = 4.303
    assert against.value == pytest.approx(0.17)
    assert against.low == pytest.approx(0.17 - 4.303 * 0.06245 / 3**0.5, abs=1e-4)


def test_an_exam_whose_first_way_is_not_the_search_stands_in_no_table() -> None:
    turned = [exam | {"arms": [_arm("greedy", 20), _arm("search", 90, (0.7, 0.6, 0.8))]} for exam in EXAMS]
    assert not list(groups(turned, _recipes("a", "a", "a")))
    assert "## Training seeds" not in text("T", turned, "plots", recipes=_recipes("a", "a", "a"))


def test_runs_that_agree_say_nothing_of_other_puzzles() -> None:
    same = [_exam(0) | {"run": f"stars_{number}", "critic": f"c{number}"} for number in range(3)]
    for exam in same:
        exam["arms"] = [_arm("search", 100), _arm("greedy", 99, (-0.01, -0.03, 0.01))]
    page = text("T", same, "plots", recipes=_recipes("a", "a", "a"))
    line = next(line for line in page.splitlines() if line.startswith("| greedy | 99.0, 99.0, 99.0 |"))
    assert line == "| greedy | 99.0, 99.0, 99.0 | 99.0 % (94.0 – 100.0) | +1.0 (-1.0 to +3.0) | **cannot tell** |"


def test_the_page_tells_what_holds_over_trainings() -> None:
    page = text("T", EXAMS, "plots", recipes=_recipes("a", "a", "a"))
    lines = [line for line in page.splitlines() if line.startswith(("| search | 90", "| greedy | 20", f"| {BEST}"))]
    assert lines[0] == "| search | 90.0, 92.0, 94.0 | 92.0 % (87.0 – 97.0) | | |"
    assert lines[1].endswith("| +71.0 (+66.7 to +75.3) | **better** |")
    assert lines[2].endswith("| +17.0 (+1.5 to +32.5) | **better** |")
    assert "## Training seeds" not in text("T", EXAMS, "plots", recipes=_recipes("a", "b", "c"))


def _critic(seed: int, **settings: Any) -> Predecessor:
    before = Predecessor("stage1", "stars", Path("x"), 5, "1" * 64, {"model": "m", "stage1": str(seed)})
    made = Stage3Settings(steps=9, rows=4, learning_rate=0.1, seed=seed, **settings)
    return Predecessor("stage3", "judge", Path("y"), 5, "2" * 64, {"model": "m"}, made, before)


def test_a_recipe_leaves_out_seeds_and_nothing_that_is_learned_by() -> None:
    assert recipe(_critic(0)) == recipe(_critic(1))
    assert recipe(_critic(0)) != recipe(_critic(0, ends=0.25))
