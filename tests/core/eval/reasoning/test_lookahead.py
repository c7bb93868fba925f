"""One search as people look at it: it is the search of the arms, the rules judge its line, and a context bounds it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from think.core import plugins
from think.core.data.puzzles import FAMILY, Task
from think.core.data.puzzles.batch import environment
from think.core.data.puzzles.encoding import Encoding
from think.core.data.puzzles.items import distinct
from think.core.data.tokenizer import ENDOFTURN, CharacterSettings, train
from think.core.errors import BadData
from think.core.eval.reasoning.lookahead import plan
from think.core.eval.reasoning.planner import Planner
from think.core.models import build
from think.core.models.thinking import Settings as ModelSettings
from think.core.planning.critic import Critic, CriticSettings
from think.core.planning.exact import ExactWorld
from think.core.planning.outline import Branch
from think.core.planning.rules import Gumbel, SearchSettings

TASK: Task = plugins.load(FAMILY, "sudoku4")
SETTINGS = TASK.Settings()
PUZZLE = distinct(TASK, SETTINGS, "test", 1, seed=0)[0]
PROMPT_TOKENS = len(PUZZLE.prompt()) + 4
RECURRENT = {"kind": "mamba2", "expand": 1, "head_width": 8, "state": 8}


def _made(legality: bool, mixer: dict = RECURRENT, simulations: int = 24) -> tuple[Planner, Encoding]:
    tokenizer = train(CharacterSettings(), ["./" + TASK.actions])
    torch.manual_seed(0)
    model = build(
        ModelSettings.model_validate(
            {
                "vocabulary": tokenizer.size,
                "width": 16,
                "layers": 2,
                "mixer": mixer,
                "feed_forward": {"kind": "channel_mix", "inner": 16},
            }
        )
    ).eval()
    critic = Critic(CriticSettings(backbone="frozen"), model.settings).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(12)
        for head in critic.heads.parameters():
            head.add_(torch.randn_like(head))
    encoding = Encoding(TASK, tokenizer)
    end = None if legality else ENDOFTURN
    world = ExactWorld(model, critic, torch.from_numpy(encoding.actions), end=end)
    rule = Gumbel(considered=4, noise=0.0, value_scale=1.0)
    return Planner(world, SearchSettings(simulations=simulations, rule=rule), legality), encoding


def _rules():
    rules = environment(TASK, SETTINGS, "test")
    rules.load([PUZZLE])
    return rules


def _every(branch: Branch) -> Iterator[Branch]:
    yield branch
    for child in branch.children:
        yield from _every(child)


def test_it_is_the_search_of_the_arms_and_leaves_the_rules_alone() -> None:
    planner, encoding = _made(legality=True)
    rules = _rules()
    planned = plan(planner, encoding, PUZZLE.prompt(), rules)
    assert np.array_equal(rules.legal(), _rules().legal())
    prompts = torch.from_numpy(encoding.prompts(rules.prompts()))
    legal = torch.from_numpy(rules.legal())
    chosen = planner.find(planner.root(prompts, rules), planner.foreseen(), legal, torch.Generator())
    assert planned.line[0] == int(planned.found.action[0]) == int(chosen.action[0])


def test_the_line_is_the_chosen_one_of_the_tree_and_the_rules_play_it() -> None:
    planned = plan(*_made(legality=True), PUZZLE.prompt(), _rules())
    tree = planned.tree(most=4, depth=100)
    assert [each.action for each in _every(tree) if each.chosen][1:] == list(planned.line)
    position = PUZZLE.start()
    for action in planned.answer:  # the rules below the root let nothing else into the tree
        assert action in position.legal()
        position = position.play(action)
    judged = planned.judged(PUZZLE, TASK)
    assert judged.solved == position.solved
    assert judged.taken == len(planned.answer) > len(planned.line)


def test_without_rules_every_action_may_follow() -> None:
    planned = plan(*_made(legality=False), PUZZLE.prompt(), None)
    tree = planned.tree(most=4, depth=1)
    assert {child.action for child in tree.children} == {0, 1, 2, 3}
    assert sum(child.prior for child in tree.children) == pytest.approx(1)
    with_rules = plan(*_made(legality=True), PUZZLE.prompt(), _rules()).tree(most=4, depth=1)
    assert {child.action for child in with_rules.children} == set(PUZZLE.start().legal())


def test_a_context_bounds_how_far_it_looks() -> None:
    def looked(context: int) -> int:
        mixer = {"kind": "attention", "heads": 2, "context": context, "sliding": False}
        planned = plan(*_made(legality=False, mixer=mixer), PUZZLE.prompt(), None)
        assert planned.search.depth == context - PROMPT_TOKENS
        tree = planned.found.tree
        return max(len(tree.path(0, node)) for node in range(int(tree.used[0])))

    assert looked(PROMPT_TOKENS + 1) == 1
    assert looked(PROMPT_TOKENS + 3) == 3
    with pytest.raises(BadData, match=f"a prompt of {PROMPT_TOKENS} tokens for a model that sees {PROMPT_TOKENS}"):
        looked(PROMPT_TOKENS)


def test_a_prompt_with_a_character_that_the_model_does_not_know() -> None:
    with pytest.raises(BadData, match=r"does not know 2 of the characters of the prompt, such as '\\x1b'"):
        plan(*_made(legality=False), ".\x1b2\u00e9", None)
