"""What is asked of searches: what cannot be asked together, and that rule, heads and caution change what is played."""

from dataclasses import replace

import pytest
import torch

from tests.core.eval.reasoning.test_arms import SETTINGS, TASK, _answers, _player, _rules
from think.core.errors import BadSettings, UsageError
from think.core.eval.reasoning import costs
from think.core.eval.reasoning.planner import Planner
from think.core.eval.reasoning.player import Player
from think.core.eval.reasoning.searching import Searching, heads_of, heads_said
from think.core.planning.critic import Judges
from think.core.planning.exact import FUSED, HEADS, ExactWorld
from think.core.planning.fusion import Fusion
from think.core.planning.rules import Gumbel, Puct


def _with(player: Player, searching: Searching) -> Player:
    """The same player, that searches and judges as it is asked to."""
    old = player.planned.world
    judges = old.critic.asked(searching.heads, searching.caution)
    world = ExactWorld(old.model, old.critic, old.actions, judges=judges)
    found = _player()
    found.planner = Planner(world, searching.settings(TASK), searching.rules_below, keep=searching.keep_tree)
    return found


def test_what_is_asked_is_what_the_search_is_told() -> None:
    assert Searching().settings(TASK).rule == Gumbel(considered=len(TASK.actions), noise=0.0, value_scale=1.0)
    asked = Searching(simulations=5, rule="puct", exploration=3.0).settings(TASK)
    assert asked.rule == Puct(exploration=3.0)
    assert asked.simulations == 5
    assert Searching(rule="puct").settings(TASK).rule == Puct()
    assert Searching(considered=2, value_scale=0.5).settings(TASK).rule == Gumbel(
        considered=2, noise=0.0, value_scale=0.5
    )
    assert SETTINGS.kind == "sudoku4"


def test_heads_and_caution_are_told_where_they_were_asked_for() -> None:
    assert not {"heads", "caution", "prior"} & set(Searching().as_json(TASK))
    told = Searching(heads=(0, 1), caution=0.5, rules_below=False, prior="fused").as_json(TASK)
    assert (told["heads"], told["caution"], told["rules_below"], told["prior"]) == ([0, 1], 0.5, False, "fused")
    assert "keep_tree" not in told
    assert Searching(keep_tree=True).as_json(TASK)["keep_tree"] is True


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Searching(rule="uct"), "no rule 'uct'"),
        (Searching(prior="critic"), "no prior 'critic'"),
        (Searching(rule="puct", considered=4), "--considered is of the rule gumbel"),
        (Searching(rule="puct", value_scale=1.0), "--value-scale is of the rule gumbel"),
        (Searching(exploration=1.0), "--exploration is of the rule puct"),
        (Searching(rule="puct", exploration=-1.0), "--exploration -1"),
        (Searching(caution=float("nan")), "--caution nan"),
        (Searching(heads=(1,), caution=1.0), "one head has no deviation"),
        (Searching(value_scale=0.0), "no weight of values"),
    ],
)
def test_what_would_do_nothing_is_refused(asked: Searching, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        asked.check()


@pytest.mark.parametrize("text", ["", "one", "0+", "1+1", "-1", "0,1", "²"])
def test_heads_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="heads"):
        heads_of(text)


@pytest.mark.parametrize(("text", "heads"), [("all", None), ("2", (2,)), ("2+0", (0, 2))])
def test_heads_are_layers(text: str, heads: tuple[int, ...] | None) -> None:
    assert heads_of(text) == heads
    assert heads_of(heads_said(heads)) == heads


def test_judges_are_the_mean_of_those_asked_less_their_deviation() -> None:
    values = torch.tensor([[0.2, 0.6, 0.7], [0.5, 0.5, 0.5]])
    assert Judges().worth(values) == pytest.approx([0.5, 0.5])
    assert Judges(heads=(1,)).worth(values) == pytest.approx([0.6, 0.5])
    assert Judges(2.0, (0, 1)).worth(values) == pytest.approx([0.4 - 2 * 0.08**0.5, 0.5])
    with pytest.raises(BadSettings, match="no head 2"):
        _player().planned.world.critic.asked((0, 2), None)


@pytest.mark.parametrize(
    "other",
    [Searching(6, "puct"), Searching(6, heads=(0,)), Searching(6, heads=(1,)), Searching(6, caution=20.0)],
)
def test_each_changes_what_a_search_plays(other: Searching) -> None:
    usual, changed = (_with(_player(), asked) for asked in (Searching(6), other))
    assert _answers("search", usual).actions == _answers("search", _player()).actions
    assert _answers("search", changed).actions != _answers("search", usual).actions


def _fused(theta: tuple[float, float]) -> Player:
    """The same player, whose searches follow the policy of both layers and hardly heed values."""
    found, fusion = _with(_player(), Searching(6, value_scale=0.01)), Fusion(2)
    old = found.planned
    with torch.no_grad():
        fusion.theta.copy_(torch.tensor(theta))
    world = ExactWorld(old.world.model, old.world.critic, old.world.actions, fusion=fusion)
    found.planner = replace(old, world=world)
    return found


def test_a_fused_policy_changes_what_a_search_plays_and_is_paid_for() -> None:
    usual, other, last = _with(_player(), Searching(6, value_scale=0.01)), _fused((200.0, 0.0)), _fused((0.0, 200.0))
    answers = [_answers("search", one) for one in (usual, other, last)]
    assert answers[1].actions != answers[0].actions
    assert answers[2].actions == answers[0].actions, "the last layer alone is the model's own policy"
    found = [costs.counted(one) for one in (usual, last)]
    assert found[1] - found[0] == {FUSED: found[0][HEADS]}
    assert costs.flops(last) - costs.flops(usual) == found[0][HEADS] * 2 * 2 * 16  # two layers of width 16
    assert costs.parameters(last) == costs.parameters(usual) | {FUSED: 2}
    assert last.planned.fresh().world.fusion is last.planned.world.fusion


def test_heads_judge_the_answers_of_arms_that_do_not_search() -> None:
    usual, other = (_with(_player(), Searching(6, heads=heads)) for heads in (None, (1,)))
    answers = _answers("greedy", usual)
    prompts = usual.prompts(_rules())
    longest = max(map(len, answers.actions))
    actions = torch.tensor([(*one, *[one[-1]] * (longest - len(one))) for one in answers.actions])
    whole, alone = (one.planned.world.judge(one.planned.world.opened(prompts), actions) for one in (usual, other))
    assert not torch.allclose(whole, alone)


def test_a_fresh_planner_keeps_its_judges() -> None:
    planner = _with(_player(), Searching(6, heads=(1,))).planned
    assert planner.fresh().world.judges == Judges(heads=(1,))
    assert replace(planner).world is planner.world
