"""Sequential halving: how often an action must have been visited to be looked at next.

A pass visits each of the actions that are still considered once; the considered ones are halved, down to two, whenever
they have had their share of the simulations.    [Karnin et al. 2013; Danihelka et al. 2022, section 3]
"""

import functools
import math
from itertools import groupby
from typing import NamedTuple


class Pass(NamedTuple):
    """One pass over the considered actions: `size` of those with `visits` visits are visited once each."""

    visits: int
    size: int


@functools.cache
def considered_visits(considered: int, simulations: int) -> tuple[int, ...]:
    """For each simulation, how many visits the action has that it visits.

    considered: actions that are looked at, at least 1. Actions are visited again and again when there is only one.
    """
    if considered <= 1:
        return tuple(range(simulations))
    halvings = math.ceil(math.log2(considered))
    sequence: list[int] = []
    visits, left = 0, considered
    while len(sequence) < simulations:
        for _ in range(max(1, simulations // (halvings * left))):
            sequence += [visits] * left
            visits += 1
        left = max(2, left // 2)
    return tuple(sequence[:simulations])


@functools.cache
def passes(considered: int, simulations: int) -> tuple[Pass, ...]:
    """The same as passes; the last one may be cut short by the end of the simulations."""
    sequence = considered_visits(considered, simulations)
    return tuple(Pass(visits, len(list(same))) for visits, same in groupby(sequence))
