"""Trees as people look at them: the numbers of the search, the chosen line, and a picture that is one."""

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
import torch

from think.core.planning import native
from think.core.planning.gru import GruWorld
from think.core.planning.outline import Branch, outline, picture
from think.core.planning.rules import Gumbel, Puct, SearchSettings
from think.core.planning.search import Result

ACTIONS = 12


@pytest.fixture(scope="module", params=[Gumbel(considered=6, noise=0.0), Puct()])
def found(request: pytest.FixtureRequest) -> Result:
    torch.manual_seed(1)
    world = GruWorld(ACTIONS, 8, squash=True, end=True).requires_grad_(False)
    settings = SearchSettings(simulations=60, rule=request.param)
    return native.search(torch.randn(2, 8), world, settings)


def every(branch: Branch) -> Iterator[Branch]:
    yield branch
    for child in branch.children:
        yield from every(child)


@pytest.mark.parametrize("position", [0, 1])
def test_the_whole_tree_has_every_node_and_its_numbers(found: Result, position: int) -> None:
    root = outline(found, most=ACTIONS, depth=100, position=position)
    tree = found.tree
    assert len(list(every(root))) == int((tree.visits[position] > 0).sum())
    assert sum(child.visits for child in root.children) + 1 == root.visits == 61
    for child in root.children:
        assert child.action is not None
        assert child.visits == int(found.visits[position, child.action])
        assert child.value == pytest.approx(float(tree.q[position, 0, child.action]))
        assert child.prior == pytest.approx(float(tree.prior[position, 0, child.action]))
    assert [child.visits for child in root.children] == sorted((c.visits for c in root.children), reverse=True)
    assert all(each.others == 0 for each in every(root))
    assert all(not each.children for each in every(root) if each.ends)


def test_the_chosen_line_is_shown_whatever_is_left_out(found: Result) -> None:
    root = outline(found, most=1, depth=3)
    chosen = [each.action for each in every(root) if each.chosen]
    action = int(found.action[0])
    line = [action, *found.tree.line(0, int(found.tree.child[0, 0, action]))]
    assert chosen == [None, *line[:3]]
    visited = int((found.tree.taken[0, 0] > 0).sum())
    assert root.others == visited - 1
    assert root.as_json()["children"][0]["action"] == action


def test_a_picture_is_a_picture_of_this_tree(found: Result) -> None:
    root = outline(found, most=4, depth=3)
    drawn = picture(root, lambda action: f"<{action}>\x1b & a long name")
    assert drawn == picture(root, lambda action: f"<{action}>\x1b & a long name")
    svg = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    assert len(svg.findall(f"{space}g")) == len(list(every(root)))
    assert len(svg.findall(f"{space}path")) == len(list(every(root))) - 1
    told = [title.text or "" for title in svg.iter(f"{space}title")]
    assert told[0].startswith(f"root: 61 visits, value {root.value:.4f}")
    assert any(f"{child.visits} visits" in told[1] for child in root.children)
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    for box in svg.findall(f"{space}g/{space}rect"):
        assert 0 <= float(box.attrib["x"]) < width
        assert 0 <= float(box.attrib["y"]) < float(box.attrib["y"]) + 18 <= height
