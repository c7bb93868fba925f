"""Path-star: from the centre of a star of equal arms, walk the one whose last node is the goal.

The edges come in random order, so the right first step is known only to who follows an arm to its end (or the goal back
to the centre); after it there is no choice. A model that is taught to copy gold walks learns each next node from the
one before it and never the first one: it stays at 1 / arms [Bachmann & Nagarajan, ICML 2024].

Ours: `length` counts the steps of an arm, the centre not included; edges are written from the centre outwards, and set
apart by commas: a recurrent model with positive decays cannot count pairs [Grazzi et al., ICLR 2025].
"""

from collections.abc import Sequence
from random import Random
from string import ascii_letters
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from think.core.data.puzzles import Bools, CodePoints, Integers, Position, Puzzle, Split, Task, split_of
from think.core.data.puzzles.hashing import Words, folded, mixed, permutations
from think.presets.base import Settings as Base
from think.presets.base import knob

ALPHABET = ascii_letters[26:] + ascii_letters[:24]
"Names of 50 nodes."

_CODES = np.array([ord(name) for name in ALPHABET], np.uint32)


class Settings(Base):
    """Path-star graphs of one size."""

    kind: Literal["path_star"] = "path_star"
    arms: Annotated[int, Field(ge=2, le=24)] = knob(5, acts_on="data")
    "arms of the star; random play is right once in so many"
    length: Annotated[int, Field(ge=2, le=24)] = knob(5, acts_on="data")
    "steps from the centre to the end of an arm"

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        if self.arms * self.length + 1 > len(ALPHABET):
            raise ValueError(
                f"arms = {self.arms} of length = {self.length} need {self.arms * self.length + 1} nodes; "
                f"there are {len(ALPHABET)} names"
            )
        return self


class Walk(Position):
    """Standing at a node."""

    def __init__(self, following: dict[str, tuple[str, ...]], node: str, goal: str):
        self._following, self._node, self._goal = following, node, goal

    def legal(self) -> tuple[int, ...]:
        return tuple(sorted(ALPHABET.index(name) for name in self._following.get(self._node, ())))

    def play(self, action: int) -> "Walk":
        return Walk(self._following, ALPHABET[action], self._goal)

    @property
    def solved(self) -> bool:
        return self._node == self._goal and self.ended


class Star(Puzzle):
    """A star by its edges, `from` and `to` node by node, and the walk that is asked for."""

    edges: tuple[str, ...]
    start_node: str
    goal: str

    def prompt(self) -> str:
        return ",".join(self.edges) + "/" + self.start_node + self.goal

    def start(self) -> Walk:
        following: dict[str, tuple[str, ...]] = {}
        for edge in self.edges:
            following[edge[0]] = (*following.get(edge[0], ()), edge[1])
        return Walk(following, self.start_node, self.goal)

    def gold(self, random: Random) -> str:
        return next(arm for arm in self._arms() if arm.endswith(self.goal))

    def canonical(self) -> str:
        return " ".join(sorted(self.edges)) + f" {self.start_node}{self.goal}"

    def flaw(self) -> str | None:
        strange = sorted(set("".join(self.edges) + self.start_node + self.goal) - set(ALPHABET))
        if strange or any(len(edge) != 2 for edge in self.edges) or len(self.start_node) != 1 or len(self.goal) != 1:
            return "a node is one of the letters A to Z and a to x, an edge two of them"
        if len({edge[1] for edge in self.edges} | {self.start_node}) != len(self.edges) + 1:
            return "an edge leads to the centre, or two edges lead to one node"
        if len({edge[0] for edge in self.edges if edge[0] != self.start_node}) != sum(
            edge[0] != self.start_node for edge in self.edges
        ):
            return "an arm branches"
        arms = self._arms()
        if sum(map(len, arms)) != len(self.edges):
            return "some edges are not reached from the centre"
        if len({len(arm) for arm in arms}) > 1:
            return "the arms differ in length, so that the shape tells the goal"
        if len(arms) < 2 or not any(arm.endswith(self.goal) for arm in arms):
            return "the goal is not the end of one of two arms or more"
        return None

    def shown(self) -> str:
        return f"{' '.join(self.edges)}   from {self.start_node} to {self.goal}"

    def split(self) -> Split:
        arms = self._arms()
        nodes = np.array([[[ALPHABET.index(name) for name in arm] for arm in arms]], np.int64)
        order = [next(place for place, arm in enumerate(arms) if arm.endswith(self.goal))]
        centre = np.array([ALPHABET.index(self.start_node)], np.int64)
        return split_of(int(_digest(centre, nodes, np.array(order, np.int64))[0]))

    def _arms(self) -> list[str]:
        """The nodes of each arm from the centre outwards, in the order of the edges."""
        following = {edge[0]: edge[1] for edge in self.edges if edge[0] != self.start_node}
        arms = []
        for edge in self.edges:
            if edge[0] == self.start_node:
                arm = edge[1]
                while arm[-1] in following and len(arm) <= len(self.edges):
                    arm += following[arm[-1]]
                arms.append(arm)
        return arms


def _digest(centre: Integers, arms: Integers, goal: Integers) -> Words:
    """A word for the labelled graph: centre [B], arms [B, A, L] in any order, goal [B] the arm that is asked for."""
    each = folded(arms)
    with np.errstate(over="ignore"):
        together = each.sum(axis=1, dtype=np.uint64)
    return mixed(together ^ mixed(each[np.arange(len(arms)), goal]) ^ mixed(mixed(centre)))


def _drawn(settings: Settings, split: Split, seeds: Integers) -> tuple[Integers, Integers, Integers]:
    """centre [B], arms [B, A, L] the first of which leads to the goal, and the order of their edges [B, A * L]."""
    arms, length = settings.arms, settings.length
    centre = np.empty(len(seeds), np.int64)
    nodes = np.empty((len(seeds), arms, length), np.int64)
    order = np.empty((len(seeds), arms * length), np.int64)
    left, attempt = np.arange(len(seeds)), 0
    while len(left):
        labels = permutations(seeds[left], len(ALPHABET), stream=3 * attempt)
        centre[left] = labels[:, 0]
        nodes[left] = labels[:, 1 : arms * length + 1].reshape(-1, arms, length)
        order[left] = permutations(seeds[left], arms * length, stream=3 * attempt + 1)
        digests = _digest(centre[left], nodes[left], np.zeros(len(left), np.int64))
        left = left[[split_of(int(digest)) != split for digest in digests]]
        attempt += 1
    return centre, nodes, order


def _edges(centre: Integers, arms: Integers, order: Integers) -> Integers:
    """[B, E, 2] edges in their order."""
    before = np.concatenate([np.broadcast_to(centre[:, None, None], (*arms.shape[:2], 1)), arms[:, :, :-1]], axis=2)
    edges = np.stack([before, arms], axis=3).reshape(len(arms), -1, 2)
    taken: Integers = np.take_along_axis(edges, order[:, :, None], axis=1)
    return taken


def draw(settings: Settings, split: Split, seeds: Integers) -> list[Star]:
    """The star of each seed."""
    centre, arms, order = _drawn(settings, split, seeds)
    return [
        Star(
            edges=tuple(ALPHABET[one] + ALPHABET[other] for one, other in edges),
            start_node=ALPHABET[start],
            goal=ALPHABET[goal],
        )
        for edges, start, goal in zip(
            _edges(centre, arms, order).tolist(), centre.tolist(), arms[:, 0, -1].tolist(), strict=True
        )
    ]


class Stars:
    """The rules for a batch. following [B, N] the node after each node, -1 at the end of an arm."""

    actions = len(ALPHABET)

    def __init__(self, settings: Settings, split: Split):
        self._settings, self._split = settings, split

    def reset(self, seeds: Integers) -> None:
        centre, arms, order = _drawn(self._settings, self._split, seeds)
        self._begin(_edges(centre, arms, order), centre, arms[:, 0, -1])

    def load(self, puzzles: Sequence[Star]) -> None:
        index = {name: place for place, name in enumerate(ALPHABET)}
        edges = np.array([[[index[name] for name in edge] for edge in puzzle.edges] for puzzle in puzzles], np.int64)
        ends = np.array([[index[puzzle.start_node], index[puzzle.goal]] for puzzle in puzzles], np.int64)
        self._begin(edges, ends[:, 0], ends[:, 1])

    def _begin(self, edges: Integers, centre: Integers, goal: Integers) -> None:
        rows = np.arange(len(edges))
        marks = np.full((*edges.shape[:2], 1), ord(","), np.uint32)
        marks[:, -1] = ord("/")
        shown = np.concatenate([_CODES[edges], marks], axis=2).reshape(len(edges), -1)
        self._prompts: CodePoints = np.concatenate([shown, _CODES[centre][:, None], _CODES[goal][:, None]], axis=1)
        self._first = np.zeros((len(edges), self.actions), np.bool_)
        self._following = np.full((len(edges), self.actions), -1, np.int64)
        for edge in edges.transpose(1, 0, 2):
            inner = edge[:, 0] != centre
            self._first[rows[~inner], edge[~inner, 1]] = True
            self._following[rows[inner], edge[inner, 0]] = edge[inner, 1]
        self._node, self._goal, self._centre = centre.copy(), goal, centre

    def prompts(self) -> CodePoints:
        return self._prompts

    def legal(self) -> Bools:
        mask: Bools = self._first & (self._node == self._centre)[:, None]
        following = self._following[np.arange(len(mask)), self._node]
        going = np.flatnonzero(following >= 0)
        mask[going, following[going]] = True
        return mask

    def step(self, actions: Integers) -> tuple[Bools, Bools]:
        rows = np.arange(len(actions))
        following = self._following[rows, self._node]
        central = self._node == self._centre
        ended = ~central & (following < 0)
        allowed = np.where(central, self._first[rows, actions], following == actions) | ended
        if not allowed.all():
            raise ValueError(f"action {actions[~allowed][0]} of row {np.flatnonzero(~allowed)[0]} is not legal")
        self._node = np.where(ended, self._node, actions)
        finished: Bools = (self._following[rows, self._node] < 0) & (self._node != self._centre)
        return finished, finished & (self._node == self._goal)

    def solvable(self) -> Bools:
        """Whether the goal lies ahead of where each row stands, or is where it stands."""
        rows = np.arange(len(self._node))
        leads = np.zeros_like(self._first)
        leads[rows, self._goal] = True
        onwards, count = np.maximum(self._following, 0), 0
        while (found := int(leads.sum())) > count:
            count = found
            leads |= (self._following >= 0) & np.take_along_axis(leads, onwards, axis=1)
        ahead: Bools = leads[rows, self._node] | (self._node == self._centre) & (self._first & leads).any(axis=1)
        return ahead

    def rows(self, index: NDArray[Any]) -> "Stars":
        copy = Stars(self._settings, self._split)
        copy._prompts, copy._first, copy._following = self._prompts[index], self._first[index], self._following[index]
        copy._node, copy._goal, copy._centre = self._node[index], self._goal[index], self._centre[index]
        return copy

    def put(self, index: NDArray[Any], others: "Stars") -> None:
        self._prompts[index], self._first[index] = others._prompts, others._first
        self._following[index], self._node[index] = others._following, others._node
        self._goal[index], self._centre[index] = others._goal, others._centre


def chance(settings: Settings) -> float:
    """Only the first step has alternatives."""
    return 1 / settings.arms


SPEC = Task(Settings, Star, ALPHABET, tuple(ALPHABET), draw, chance, Stars, Stars.solvable)
