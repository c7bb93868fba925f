"""The search on many positions is the reference on each of them."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.core.planning.tables import Table, figures, figures_of_reference
from think.core.errors import BadData, BadSettings, UsageError
from think.core.planning import reference
from think.core.planning.rules import Gumbel, Puct, SearchSettings
from think.core.planning.search import Result, gumbel_noise, search
from think.core.planning.world import Evaluation, Transition, World


def same(found: Result, expected: reference.Outcome[int], position: int) -> None:
    ours, theirs = figures(found.tree, position), figures_of_reference(expected.tree)
    assert {path: n for path, (n, *_) in ours.items()} == {path: n for path, (n, *_) in theirs.items()}
    for path, numbers in theirs.items():
        assert ours[path] == pytest.approx(numbers, abs=1e-9)
    actions = found.policy.shape[1]
    assert found.policy[position].tolist() == pytest.approx(
        [expected.policy.get(action, 0.0) for action in range(actions)], abs=1e-9
    )
    assert found.visits[position].tolist() == [expected.visits.get(action, 0) for action in range(actions)]
    assert int(found.action[position]) == expected.action
    assert float(found.value[position]) == pytest.approx(expected.value, abs=1e-9)


RULES = st.one_of(
    st.builds(
        Gumbel,
        considered=st.integers(1, 3),
        noise=st.sampled_from([0.0, 1.0, 3.0]),
        value_scale=st.sampled_from([0.1, 1.0]),
        visit_offset=st.sampled_from([0.0, 50.0]),
    ),
    st.builds(Puct, exploration=st.sampled_from([0.0, 1.25, 10.0]), growth=st.sampled_from([2.0, 19652.0])),
)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    actions=st.integers(3, 9),
    simulations=st.integers(1, 45),
    discount=st.sampled_from([0.0, 0.5, 0.97, 1.0]),
    depth=st.sampled_from([None, 1, 2, 4]),
    rule=RULES,
)
def test_equals_the_reference_whatever_the_world(
    seed: int, actions: int, simulations: int, discount: float, depth: int | None, rule: Gumbel | Puct
) -> None:
    agree(seed, actions, simulations, discount, depth, rule)


@pytest.mark.parametrize("rule", [Gumbel(considered=2), Gumbel(considered=1, noise=0.0), Puct()])
def test_equals_the_reference_and_goes_on_with_its_tree(rule: Gumbel | Puct) -> None:
    agree(17, 7, 30, 0.9, None, rule)
    agree(18, 5, 11, 1.0, 2, rule)


def agree(seed: int, actions: int, simulations: int, discount: float, depth: int | None, rule: Gumbel | Puct) -> None:
    """Search some positions of a table at once and one by one, and again from the trees of what was chosen."""
    if isinstance(rule, Gumbel):
        rule = rule.model_copy(update={"considered": min(actions, rule.considered * 3)})
    asked = SearchSettings(simulations=simulations, discount=discount, depth=depth, rule=rule)
    table = Table.draw(seed, 25, actions)
    states = torch.tensor([0, 0, *[s for s in range(25) if not table.terminal[s] and table.legal[s].any()][1:4]])
    noise = gumbel_noise(asked, len(states), actions, torch.Generator().manual_seed(seed))
    rows = [[]] * len(states) if noise is None else noise.tolist()

    found = search(states, table.batched(), asked, noise=noise)
    alone = [reference.search(int(s), table.single(), asked, row) for s, row in zip(states, rows, strict=True)]
    for position, expected in enumerate(alone):
        same(found, expected, position)
    assert found.simulations.tolist() == [simulations] * len(states)

    on = [
        position
        for position, expected in enumerate(alone)
        if expected.tree[expected.action,].logits  # what the chosen action leads to is no end
    ]
    if len(on) == len(states):
        again = search(states, table.batched(), asked, noise=noise, tree=found.tree.below(found.action))
        for position in on:
            tree = reference.below(alone[position].tree, alone[position].action)
            same(again, reference.search(0, table.single(), asked, rows[position], tree), position)
        assert again.simulations.tolist() == [simulations] * len(states)


def test_a_tree_that_is_gone_on_with_is_left_as_it_was() -> None:
    table, asked = Table.draw(3, 25, 6, ends=0.0), SearchSettings(simulations=20, rule=Gumbel(considered=6, noise=0.0))
    found = search(torch.tensor([0]), table.batched(), asked)
    below = found.tree.below(found.action)
    before = figures(below, 0)
    first = search(torch.tensor([0]), table.batched(), asked, tree=below)
    second = search(torch.tensor([0]), table.batched(), asked, tree=below)
    assert figures(below, 0) == before
    assert figures(first.tree, 0) == figures(second.tree, 0)
    assert first.evaluations.item() <= 20


def test_a_mask_at_the_roots_is_the_same_as_a_world_without_these_actions() -> None:
    table, asked = (
        Table.draw(5, 25, 6, forbidden=0.0),
        SearchSettings(simulations=30, rule=Gumbel(considered=6, noise=0.0)),
    )
    table.after[table.after == 0] = 1  # below the root the mask does not hold
    mask = torch.tensor([[True, False, True, True, False, True]])
    found = search(torch.tensor([0]), table.batched(), asked, legal=mask)
    table.legal[0] = mask
    same(found, reference.search(0, table.single(), asked), 0)
    assert found.visits[0, ~mask[0]].tolist() == [0, 0]
    assert found.policy[0, ~mask[0]].tolist() == [0.0, 0.0]
    assert found.considered.tolist() == [4]


def test_a_new_mask_makes_a_kept_tree_forget_what_it_forbids() -> None:
    table, asked = Table.draw(7, 25, 5, ends=0.0, forbidden=0.0), SearchSettings(simulations=25, rule=Puct())
    tree = search(torch.tensor([0]), table.batched(), asked).tree
    tree = tree.below(tree.taken[:, 0].argmax(1))
    mask = torch.ones(1, 5, dtype=torch.bool)
    mask[0, tree.taken[0, 0].argmax()] = False
    found = search(torch.tensor([0]), table.batched(), asked, legal=mask, tree=tree)
    assert found.visits[0, ~mask[0]].item() == 0
    assert found.tree.taken[0, 0, ~mask[0]].item() == 0
    assert found.tree.visits[0, 0].item() == 1 + found.tree.taken[0, 0].sum().item()


def test_batches_and_positions_do_not_meet() -> None:
    table, asked = Table.draw(11, 40, 8), SearchSettings(simulations=33, rule=Gumbel(considered=8, noise=1.0))
    states = torch.tensor([s for s in range(40) if not table.terminal[s] and table.legal[s].any()][:7])
    noise = gumbel_noise(asked, len(states), 8, torch.Generator().manual_seed(0))
    assert noise is not None
    whole = search(states, table.batched(), asked, noise=noise)
    for position in range(len(states)):
        one = search(states[position, None], table.batched(), asked, noise=noise[position, None])
        assert figures(one.tree, 0) == figures(whole.tree, position)


# ---- what a search is for --------------------------------------------------------------------------------------------


def bandit(logits: Tensor, worth: Tensor) -> World[Tensor]:
    """One step, and then the exact worth of what was chosen; every state has its own row of both."""
    actions = logits.shape[1]

    def step(states: Tensor, chosen: Tensor) -> Transition[Tensor]:
        nothing = torch.zeros(len(states), dtype=worth.dtype)
        return Transition(torch.stack((states[:, 0], chosen + 1), 1), nothing, nothing.bool())

    def evaluate(states: Tensor) -> Evaluation:
        row, chosen = states.unbind(1)
        value = torch.where(chosen > 0, worth[row, (chosen - 1).clamp(min=0)], worth[row].mean(1))
        return Evaluation(torch.where(chosen.unsqueeze(1) > 0, 0.0, logits[row]), value)

    return World(step, evaluate, actions)


POSITIONS, ACTIONS = 500, 16


def wrong_priors(random: torch.Generator, next_best: float) -> tuple[Tensor, Tensor]:
    """Logits and worth of every action. The best is worth 1, others up to `next_best`.

    By the prior the worst action is the most probable one, and the best one stands somewhere from second to sixth.
    """
    worth = next_best * torch.rand(POSITIONS, ACTIONS, generator=random, dtype=torch.float64)
    logits = -0.3 * torch.stack([torch.randperm(ACTIONS, generator=random) for _ in range(POSITIONS)]).double()
    order = logits.argsort(1, descending=True)
    rows, rank = torch.arange(POSITIONS), torch.randint(1, 6, (POSITIONS,), generator=random)
    worth[rows, order[:, 0]] = -0.01
    worth[rows, order[rows, rank]] = 1.0
    return logits, worth


def rate(rule: Gumbel | Puct, logits: Tensor, worth: Tensor, random: torch.Generator) -> float:
    """How often eight simulations choose the best action."""
    eight = SearchSettings(simulations=8, rule=rule)
    states = torch.stack((torch.arange(POSITIONS), torch.zeros(POSITIONS, dtype=torch.long)), 1)
    noise = gumbel_noise(eight, POSITIONS, ACTIONS, random)
    found = search(states, bandit(logits, worth), eight, noise=noise)
    return float((found.action == worth.argmax(1)).double().mean())


def rate_of_infinite_bounds(logits: Tensor, worth: Tensor) -> float:
    """The same where an action that was not tried has an infinite bound, and the most visited one is taken."""
    right = 0
    for prior, value in zip(logits.softmax(1).tolist(), worth.tolist(), strict=True):
        visits = [0] * ACTIONS
        by_prior = sorted(range(ACTIONS), key=lambda a: -prior[a])
        for made in range(8):
            bound = [
                value[a] + prior[a] * made**0.5 / (1 + visits[a]) if visits[a] else float("inf") for a in range(ACTIONS)
            ]
            visits[max(by_prior, key=lambda a: bound[a])] += 1
        right += max(by_prior, key=lambda a: visits[a]) == value.index(max(value))
    return right / len(logits)


@pytest.mark.parametrize(
    ("next_best", "scale", "noise"),
    [(0.8, 0.1, 0.0), (0.8, 0.1, 0.2), (1.0, 1.0, 0.0)],
    ids=["as mctx weighs values", "with noise", "values close to the best, weighed more"],
)
def test_eight_simulations_find_the_best_of_sixteen_actions_that_the_prior_has_wrong(
    next_best: float, scale: float, noise: float
) -> None:
    random = torch.Generator().manual_seed(0)
    logits, worth = wrong_priors(random, next_best)
    assert float((logits.argmax(1) == worth.argmax(1)).double().mean()) == 0.0
    for considered in (8, 16):
        assert rate(Gumbel(considered=considered, noise=noise, value_scale=scale), logits, worth, random) >= 0.9
    assert rate(Puct(), logits, worth, random) < 0.3
    assert rate_of_infinite_bounds(logits, worth) == 0.0


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"simulations": 31}),
        ({}, {"discount": 0.5}),
        ({}, {"depth": 2}),
        ({}, {"rule": {"considered": 3}}),
        ({}, {"rule": {"noise": 4.0}}),
        ({}, {"rule": {"visit_offset": 5.0}}),
        ({}, {"rule": {"value_scale": 1.0}}),
        ({"rule": {"kind": "puct"}}, {"rule": {"kind": "puct", "exploration": 8.0}}),
        ({"rule": {"kind": "puct"}}, {"rule": {"kind": "puct", "growth": 3.0}}),
    ],
    ids=str,
)
def test_every_setting_changes_the_tree(base: dict[str, Any], change: dict[str, Any]) -> None:
    table, states = Table.draw(2, 25, 7, ends=0.05), torch.tensor([0])
    trees = []
    for changes in (base, base | change):
        rule = {"kind": "gumbel", "considered": 4} if "rule" not in base else {}
        settings = SearchSettings.model_validate(
            {"simulations": 40, "discount": 0.9, **changes, "rule": rule | changes.get("rule", {})}
        )
        noise = gumbel_noise(settings, 1, 7, torch.Generator().manual_seed(0))
        trees.append(figures(search(states, table.batched(), settings, noise=noise).tree, 0))
    assert trees[0] != trees[1]


# ---- bad input -------------------------------------------------------------------------------------------------------


def asked(**changes: object) -> SearchSettings:
    return SearchSettings.model_validate({"simulations": 4, "rule": Gumbel(considered=4, noise=0.0), **changes})


def test_what_cannot_be_searched() -> None:
    table = Table.draw(0, 25, 4, ends=0.0, forbidden=0.0)
    world, states = table.batched(), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="greater than 0"):
        asked(simulations=0)
    with pytest.raises(BadSettings, match="consider 5 actions, and the world has 4"):
        search(states, world, asked(rule=Gumbel(considered=5, noise=0.0)))
    with pytest.raises(UsageError, match="was given no noise"):
        search(states, world, asked(rule=Gumbel(considered=4)))
    with pytest.raises(UsageError, match="was given noise"):
        search(states, world, asked(), noise=torch.zeros(2, 4))
    with pytest.raises(UsageError, match=r"noise has shape \[2, 3\]"):
        search(states, world, asked(rule=Gumbel(considered=4)), noise=torch.zeros(2, 3))
    with pytest.raises(UsageError, match=r"legal has shape \[1, 4\]"):
        search(states, world, asked(), legal=torch.ones(1, 4, dtype=torch.bool))
    with pytest.raises(BadData, match="position 1 of 2 has no legal action"):
        search(states, world, asked(), legal=torch.tensor([[True] * 4, [False] * 4]))
    found = search(states, world, asked(rule=Gumbel(considered=2, noise=0.0)))
    never = torch.stack((found.visits[0].argmax(), (found.visits[1] == 0).int().argmax()))
    assert found.visits[1, never[1]] == 0
    with pytest.raises(UsageError, match="the tree of position 1 does not go on"):
        found.tree.below(never)


@pytest.mark.parametrize("what", ["value", "reward", "logits"])
def test_a_world_that_gives_no_numbers_is_named_with_the_place(what: str) -> None:
    table = Table.draw(0, 25, 4, ends=0.0, forbidden=0.0)
    getattr(table, what)[5:] = float("nan")
    with pytest.raises(BadData, match=r"not finite, at position 0 after actions \[\d"):
        search(torch.tensor([0]), table.batched(), asked(simulations=20))
