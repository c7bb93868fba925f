"""Path-star: its shape, what cannot be asked, and the goal that only a whole walk tells."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from pydantic import ValidationError

from think.core.data.puzzles.tasks.path_star import SPEC, Settings, Star


@pytest.mark.parametrize("length", [5, 7])
def test_the_shape(length: int) -> None:
    for star in SPEC.draw(Settings(length=length), "test", np.arange(50)):
        degrees = Counter(edge[0] for edge in star.edges)
        assert degrees.pop(star.start_node) == 5
        assert set(degrees.values()) == {1}
        assert len(star.edges) == 5 * length
        gold = star.gold(Random(0))
        assert len(gold) == length
        assert gold[-1] == star.goal
        assert {one + other for one, other in zip(star.start_node + gold, gold, strict=False)} <= set(star.edges)


def test_neither_the_order_of_the_edges_nor_the_names_tell_the_arm() -> None:
    stars = SPEC.draw(Settings(), "train", np.arange(4000))
    first = []
    for star in stars:
        arms = [edge[1] for edge in star.edges if edge[0] == star.start_node]
        first.append(arms.index(star.gold(Random(0))[0]))
    assert np.bincount(first) == pytest.approx([800] * 5, abs=110)


def test_another_order_of_edges_is_the_same_puzzle() -> None:
    star = SPEC.draw(Settings(), "validation", np.array([1]))[0]
    other = star.model_copy(update={"edges": tuple(reversed(star.edges))})
    assert other.canonical() == star.canonical()
    assert other.split() == star.split() == "validation"


@pytest.mark.parametrize(
    ("edges", "goal", "says"),
    [
        (("AB", "AC", "BD"), "D", "differ in length"),
        (("AB", "AC"), "D", "goal"),
        (("AB",), "B", "goal"),
        (("AB", "AC", "BD", "BE"), "D", "branches"),
        (("AB", "AC", "DE", "FD"), "B", "not reached"),
        (("AB", "AC", "BC"), "C", "two edges"),
        (("AB", "A1"), "B", "letters"),
    ],
)
def test_unfair_puzzles_say_why(edges: tuple[str, ...], goal: str, says: str) -> None:
    assert says in (Star(edges=edges, start_node="A", goal=goal).flaw() or "")


def test_a_star_must_fit_its_alphabet() -> None:
    with pytest.raises(ValidationError, match="need 51 nodes"):
        Settings(arms=5, length=10)
