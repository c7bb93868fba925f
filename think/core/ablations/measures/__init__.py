"""Figures taken from a finished cell: one file a measure, found by its name in a study's `measures`.

A measure exports `SPEC = Measure(figures, measure)`. `measure` gets the run folder of a cell that ended as planned and
gives a number for every name in `figures`, in any order; it raises a ThinkError when it cannot, which the ledger keeps
and the report says. It changes nothing in the folder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from think.core.runs import RunFolder

FAMILY = "think.core.ablations.measures"


@dataclass(frozen=True)
class Figure:
    """What a number means: its unit, and which way is the better one."""

    unit: str
    better: Literal["lower", "higher"]


@dataclass(frozen=True)
class Measure:
    """What a measure's file exports."""

    figures: Mapping[str, Figure]
    measure: Callable[[RunFolder], dict[str, float]]
