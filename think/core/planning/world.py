"""What a search knows of the world: where an action leads, and what the place is worth.

T nodes, in any mixture of positions   A actions
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.planning.shelf import Shelf, shelve

S = TypeVar("S")


@dataclass(frozen=True)
class Transition(Generic[S]):
    """Where a step led. reward: of the step; terminal: nothing follows, whatever the state is worth."""

    states: S
    reward: Float[Tensor, " T"]
    terminal: Bool[Tensor, " T"]


@dataclass(frozen=True)
class Evaluation:
    """What a state is worth. value: expected discounted sum of the rewards that follow; legal: none means all are."""

    logits: Float[Tensor, "T A"]
    value: Float[Tensor, " T"]
    legal: Bool[Tensor, "T A"] | None = None


@dataclass(frozen=True)
class World(Generic[S]):
    """Behaviours of a world, for many nodes at once.

    step      states of T nodes and an action for each -> Transition; gives the same for a node in any company
    evaluate  states of T nodes -> Evaluation
    actions   how many there are
    shelf     makes the place where states of nodes are kept, from those of the roots; the usual one holds tensors
    """

    step: Callable[[S, Int[Tensor, " T"]], Transition[S]]
    evaluate: Callable[[S], Evaluation]
    actions: int
    shelf: Callable[[S, int], Shelf[S]] = shelve
