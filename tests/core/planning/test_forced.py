"""Places without a choice are passed: every node of a tree is one where there is a choice, or an end."""

import torch

from tests.core.planning.test_exact import TOKENS, prompts, sudokus, world
from think.core.planning.exact import BACKBONE, HEADS, Nodes
from think.core.planning.forced import past_forced
from think.core.planning.legality import Legality
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.planning.search import search
from think.core.planning.tree import Tree

ASKED = SearchSettings(simulations=40, rule=Gumbel(considered=4, noise=0.0, value_scale=1.0))


def alone(nodes: Nodes) -> Nodes:
    """The row of a single puzzle after its forced actions, one after the other, and what was read on the way."""
    assert nodes.rules is not None
    exact = world()
    while (legal := nodes.rules.legal()).sum() == 1:
        nodes = exact.after(nodes, legal.int().argmax(1))
        assert nodes.rules is not None
    return nodes


def test_a_step_leads_to_where_single_steps_lead() -> None:
    exact = world()
    nodes = exact.root(prompts(8), Legality(sudokus(8)))
    assert nodes.rules is not None
    actions = nodes.rules.legal().int().argmax(1)
    found = past_forced(exact).step(nodes, actions).states
    assert found.rules is not None
    lengths = set()
    for row in range(8):
        expected = alone(exact.after(nodes.rows(torch.tensor([row])), actions[row : row + 1]))
        assert expected.rules is not None
        assert found.rules.legal()[row].tolist() == expected.rules.legal()[0].tolist()
        lengths.add(int(found.parts["position"][row]))
        for name, part in expected.parts.items():
            torch.testing.assert_close(found.parts[name][row], part[0], atol=1e-4, rtol=1e-4)
    assert len(lengths) > 1, "all rows went equally far, so their order was not tried"


def choices(tree: Tree) -> torch.Tensor:
    """How many actions are open at each node below the roots."""
    return (tree.logits > -torch.inf).sum(2)[:, 1:][tree.visits[:, 1:] > 0]


def test_no_node_but_the_root_is_without_a_choice() -> None:
    exact, rules = world(), Legality(sudokus(8))
    passed = choices(search(exact.root(prompts(8), rules), past_forced(exact), ASKED).tree)
    plain = choices(search(exact.root(prompts(8), rules), exact.world(), ASKED).tree)
    assert not (passed == 1).any()
    assert (passed == 0).any()
    assert (passed > 1).any()
    assert (plain == 1).any()


def test_what_is_read_on_the_way_is_counted() -> None:
    exact = world("frozen")
    nodes = exact.root(prompts(2), Legality(sudokus(2)))
    before = exact.used[BACKBONE]
    assert nodes.rules is not None
    after = past_forced(exact).step(nodes, nodes.rules.legal().int().argmax(1)).states
    read = int((after.parts["position"] - nodes.parts["position"]).sum())
    assert exact.used[BACKBONE] - before == read == exact.used[HEADS] - 2 > 2


def test_without_rules_nothing_is_forced() -> None:
    exact = world()
    nodes = exact.root(prompts(2))
    actions = torch.tensor([0, len(TOKENS) - 1])
    one, other = exact.step(nodes, actions).states, past_forced(exact).step(nodes, actions).states
    assert all(torch.equal(part, other.parts[name]) for name, part in one.parts.items())
