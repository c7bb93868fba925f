"""A search of puzzles thinks where there is a choice: places at which the rules leave one action are passed.

They would take a simulation each, and a branch of them is as deep as it is long. A simulation then ends at the next
choice, or at an end; what is read on the way there is read as ever, and counted.

T nodes
"""

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from think.core.planning.exact import ExactWorld, Nodes
from think.core.planning.world import Transition, World


def past_forced(exact: ExactWorld) -> World[Nodes]:
    """The exact world, whose steps lead to the next place with a choice. Where no rules are known nothing is forced."""

    def step(nodes: Nodes, actions: Int[Tensor, " T"]) -> Transition[Nodes]:
        found = exact.step(nodes, actions)
        return found if nodes.rules is None else replace(found, states=_onward(exact, found.states))

    return replace(exact.world(), step=step)


def _onward(exact: ExactWorld, nodes: Nodes) -> Nodes:
    """The same nodes, each followed for as long as one action is legal."""
    going, rows = nodes, torch.arange(len(nodes))
    done, places = list[Nodes](), list[Tensor]()
    while True:
        assert going.rules is not None, "nodes keep their rules"
        legal = going.rules.legal()
        single = legal.sum(1) == 1
        forced, free = single.nonzero().squeeze(1), (~single).nonzero().squeeze(1)
        if not len(forced):
            done.append(going)
            places.append(rows)
            break
        if len(free):
            done.append(going.rows(free))
            places.append(rows[free])
        going, rows = exact.after(going.rows(forced), legal[forced].int().argmax(1)), rows[forced]
    return done[0] if len(done) == 1 else Nodes.together(done).rows(torch.cat(places).argsort())
