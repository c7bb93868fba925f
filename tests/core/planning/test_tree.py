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


def test_rows_are_copies_of_trees_which_may_repeat(tree: Tree) -> None:
    found = tree.rows(torch.tensor([1, 0, 1]))
    assert [figures(found, row) for row in range(3)] == [figures(tree, 1), figures(tree, 0), figures(tree, 1)]
    found.total.zero_()
    found.shelf.write(torch.tensor([0]), torch.tensor([29]))
    assert float(tree.total[1, 0]) != 0.0
    assert int(tree.shelf.read(tree.places(torch.tensor([1]), torch.tensor([0])))) == 0


def test_below_of_some_rows_is_theirs_of_all(tree: Tree) -> None:
    actions = tree.taken[:, 0].argmax(1)
    assert figures(tree.below(actions, torch.tensor([1])), 0) == figures(tree.below(actions), 1)
    never = torch.where(torch.tensor([True, False]), (tree.child[:, 0] < 0).int().argmax(1), actions)
    if bool((tree.child[0, 0] < 0).any()):
        assert tree.goes_on(never).tolist() == [False, True]
        assert figures(tree.below(never, torch.tensor([1])), 0) == figures(tree.below(actions), 1)


def test_trees_of_several_batches_stand_one_after_the_other(tree: Tree) -> None:
    below = tree.below(tree.taken[:, 0].argmax(1))
    found = Tree.together([below, tree, below])
    parts = [below, below, tree, tree, below, below]
    assert [figures(found, row) for row in range(6)] == [
        figures(part, row) for part, row in zip(parts, (0, 1) * 3, strict=True)
    ]
    for row, part in enumerate(parts):
        numbers = torch.arange(int(part.used[row % 2]))
        states = part.shelf.read(part.places(torch.full_like(numbers, row % 2), numbers))
        assert torch.equal(found.shelf.read(found.places(torch.full_like(numbers, row), numbers)), states)
    assert found.used.tolist() == [int(part.used[row % 2]) for row, part in enumerate(parts)]
