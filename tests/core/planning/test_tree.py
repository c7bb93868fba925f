"""Trees of a batch: what is kept below an action, and what they show."""

import pytest
import torch

from tests.core.planning.tables import Table, figures
from think.core.planning.rules import Puct, SearchSettings
from think.core.planning.search import search
from think.core.planning.tree import Tree


@pytest.fixture
def tree() -> Tree:
    table = Table.draw(1, 30, 5, ends=0.1)
    return search(torch.tensor([0, 0]), table.batched(), SearchSettings(simulations=40, rule=Puct())).tree


def test_below_keeps_the_nodes_under_an_action_and_their_states(tree: Tree) -> None:
    actions = tree.taken[:, 0].argmax(1)
    below = tree.below(actions)
    for position, action in enumerate(actions.tolist()):
        expected = {path[1:]: found for path, found in figures(tree, position).items() if path[:1] == (action,)}
        expected[()] = (*expected[()][:2], 0.0)
        assert figures(below, position) == expected
        assert int(below.used[position]) == len(expected)
        places = {tree.path(position, node): node for node in range(int(tree.used[position]))}
        for node in range(int(below.used[position])):
            rows, number = torch.tensor([position]), torch.tensor([node])
            before = torch.tensor([places[(action, *below.path(position, node))]])
            state = tree.shelf.read(tree.places(rows, before))
            assert torch.equal(below.shelf.read(below.places(rows, number)), state)
            assert torch.equal(below.prior[rows, number], tree.prior[rows, before])


def test_counts_agree_with_each_other(tree: Tree) -> None:
    for position in range(tree.positions):
        for node in range(int(tree.used[position])):
            children = tree.child[position, node]
            visits = torch.where(children >= 0, tree.visits[position, children.clamp(min=0)], 0)
            assert torch.equal(visits, tree.taken[position, node])
            parents = tree.parent[position, children[children >= 0]]
            assert (parents == node).all()
            if not tree.closed[position, node]:
                assert int(tree.visits[position, node]) == 1 + int(visits.sum())


def test_the_line_follows_the_most_visited_actions(tree: Tree) -> None:
    line = tree.line(0)
    assert len(line) > 1
    known = figures(tree, 0)
    for length in range(len(line)):
        siblings = {path[-1]: n for path, (n, *_) in known.items() if path[:-1] == line[:length] and len(path) > length}
        assert siblings[line[length]] == max(siblings.values())
