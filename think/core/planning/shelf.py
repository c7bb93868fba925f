"""Where the states of a tree's nodes are kept, by number.

The search reads and writes states and never looks into them. A world whose states are no tensors, or want to be kept
otherwise, brings a shelf of its own.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

S = TypeVar("S")


class Shelf(Protocol[S]):
    """Places for states, numbered from 0."""

    def read(self, places: Int[Tensor, " T"]) -> S:
        """The states at some places."""
        ...

    def write(self, places: Int[Tensor, " T"], states: S) -> None:
        """Put states where they belong."""
        ...

    def moved(self, places: Int[Tensor, " T"], to: Int[Tensor, " T"], size: int) -> "Shelf[S]":
        """Another shelf of `size` places that holds some of these states, each at its new place."""
        ...


class Tensors:
    """States that are one tensor, [T, ...]."""

    def __init__(self, places: Tensor):
        self.places = places

    def read(self, places: Int[Tensor, " T"]) -> Tensor:
        return self.places[places]

    def write(self, places: Int[Tensor, " T"], states: Tensor) -> None:
        self.places[places] = states

    def moved(self, places: Int[Tensor, " T"], to: Int[Tensor, " T"], size: int) -> "Tensors":
        other = Tensors(self.places.new_zeros(size, *self.places.shape[1:]))
        other.write(to, self.read(places))
        return other


class Named:
    """States that are several tensors by name, each [T, ...]."""

    def __init__(self, parts: Mapping[str, Tensors]):
        self.parts = dict(parts)

    def read(self, places: Int[Tensor, " T"]) -> dict[str, Tensor]:
        return {name: part.read(places) for name, part in self.parts.items()}

    def write(self, places: Int[Tensor, " T"], states: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            part.write(places, states[name])

    def moved(self, places: Int[Tensor, " T"], to: Int[Tensor, " T"], size: int) -> "Named":
        return Named({name: part.moved(places, to, size) for name, part in self.parts.items()})


def shelve(like: Any, size: int) -> Any:
    """An empty shelf for states such as these: a tensor, or tensors by name."""
    if isinstance(like, Tensor):
        return Tensors(torch.zeros(size, *like.shape[1:], dtype=like.dtype, device=like.device))
    return Named({name: shelve(part, size) for name, part in like.items()})
