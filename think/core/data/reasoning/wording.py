"""People, things and the small grammar that sentences need.

The lists are short on purpose: the embedded corpus is learnt from these words by models of a few hundred thousand
parameters.
"""

from dataclasses import dataclass
from fractions import Fraction
from random import Random

from think.core.data.reasoning.numbers import written


@dataclass(frozen=True)
class Person:
    """A name with its pronouns: he, him, his or she, her, her."""

    name: str
    he: str
    him: str
    his: str


@dataclass(frozen=True)
class Thing:
    """Something that is counted."""

    one: str
    many: str


_SHE = "Ada Anna Bella Clara Ella Emma Grace Ida Julia Kate Lily Lucy Maya Mia Nina Nora Rosa Ruby Sara Zoe"
_HE = "Adam Ben Carl David Eric Felix Hugo Ivan Jack Leo Liam Max Noah Omar Oscar Paul Sam Theo Tom Will"
PEOPLE = tuple(
    [Person(name, "she", "her", "her") for name in _SHE.split()]
    + [Person(name, "he", "him", "his") for name in _HE.split()]
)

THINGS = tuple(
    Thing(one, many)
    for one, many in (
        ("apple", "apples"),
        ("pear", "pears"),
        ("plum", "plums"),
        ("nut", "nuts"),
        ("shell", "shells"),
        ("stamp", "stamps"),
        ("coin", "coins"),
        ("marble", "marbles"),
        ("button", "buttons"),
        ("card", "cards"),
        ("book", "books"),
        ("pencil", "pencils"),
        ("stone", "stones"),
        ("flower", "flowers"),
        ("bead", "beads"),
        ("cookie", "cookies"),
        ("candle", "candles"),
        ("seed", "seeds"),
        ("egg", "eggs"),
        ("leaf", "leaves"),
    )
)


def two_people(random: Random) -> tuple[Person, Person]:
    """Two different people."""
    first, second = random.sample(PEOPLE, 2)
    return first, second


def count(number: int, thing: Thing) -> str:
    """`1 apple`, `5 apples`."""
    return f"{number} {thing.one if number == 1 else thing.many}"


def capital(text: str) -> str:
    """The text with its first letter raised."""
    return text[:1].upper() + text[1:]


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def amount(value: Fraction, one: str, many: str) -> str:
    """A number with its unit: `1 dollar`, `3.25 dollars`."""
    return f"{written(value)} {one if value == 1 else many}"
