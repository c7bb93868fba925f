"""Trees that are kept from choice to choice: what is played, beside a loop over one puzzle that keeps its own."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.core.eval.reasoning.test_arms import _generator, _player, _rules
from think.core import plugins
from think.core.eval.reasoning.arms import FAMILY
from think.core.eval.reasoning.player import Answers, Player
from think.core.planning.exact import BACKBONE
from think.core.planning.rules import Puct, SearchSettings
from think.core.planning.search import search
from think.core.planning.tree import NONE


def _searching(**changes: Any) -> Player:
    """A player whose searches are long enough that what they leave matters."""
    player = _player()
    player.planner = replace(player.planned, search=SearchSettings(simulations=20, rule=Puct()), **changes)
    return player


def _keeping(**changes: Any) -> Player:
    return _searching(keep=True, **changes)


def _answers(name: str, player: Player, rows: slice = slice(None)) -> Answers:
    answers: Answers = plugins.load(FAMILY, name).answer(player, _rules(rows=rows), 4, _generator())
    return answers


def _alone(row: int) -> tuple[int, ...]:
    """One puzzle, its tree taken along by hand."""
    planner = _searching().planned
    rules = _rules(rows=slice(row, row + 1))
    nodes = planner.root(_player().prompts(rules), rules)
    world, tree, played = planner.foreseen(), None, list[int]()
    while True:
        legal = torch.from_numpy(rules.legal())
        action = int(legal.int().argmax())
        if legal.sum() > 1:
            found = search(nodes, world, planner.search, legal=legal, tree=tree)
            action = int(found.action)
            child = int(found.tree.child[0, 0, action])
            on = child != NONE and not bool(found.tree.closed[0, child])
            tree = found.tree.below(found.action) if on else None
        played.append(action)
        ended, _ = rules.step(np.array([action]))
        if ended[0]:
            return tuple(played)
        nodes = planner.world.after(nodes, torch.tensor([action]))


def test_puzzles_side_by_side_play_as_each_would_alone() -> None:
    assert _answers("search", _keeping()).actions == [_alone(row) for row in range(6)]


def test_what_is_kept_is_not_foreseen_again() -> None:
    usual, kept = _searching(), _keeping()
    for player in (usual, kept):
        _answers("search", player)
    assert kept.planned.world.used[BACKBONE] < usual.planned.world.used[BACKBONE]


def test_few_at_once_play_as_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _answers("search", _keeping())
    monkeypatch.setattr("think.core.eval.reasoning.planner.MEMORY", 1)
    assert _keeping().planned.at_once(_keeping().planned.root(torch.ones(1, 3).long(), _rules())) == 1
    alone = _answers("search", _keeping())
    assert alone.actions == kept.actions
    assert (alone.solved == kept.solved).all()
    assert np.allclose(alone.likelihood, kept.likelihood)


def test_nothing_is_kept_of_a_world_whose_steps_lead_nowhere() -> None:
    usual, kept = _answers("search_identity", _searching()), _answers("search_identity", _keeping())
    assert kept.actions == usual.actions


@pytest.mark.parametrize("changes", [{"forced": False}, {"forced": False, "legality": False}])
def test_trees_are_kept_from_action_to_action_too(changes: dict[str, Any]) -> None:
    together = _answers("search", _keeping(**changes))
    for row in range(6):
        alone = _answers("search", _keeping(**changes), slice(row, row + 1))
        assert alone.actions == together.actions[row : row + 1]
