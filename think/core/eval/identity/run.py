"""All identity probes before a listener, counted by what was asked and how long after it was told.

recall       a fact told once, asked for after 1, 5 and 10 turns of small talk, and after 512 to 8,192 tokens of it
isolation    two persons tell their fact of one kind; each asks for the own one
correction   a fact is told, then corrected; the corrected one counts
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from think.core.errors import BadData
from think.core.eval.identity.facts import KINDS, LEAST_VALUES, PEOPLE, Kind, Split, small_talk
from think.core.statistics import Interval, wilson

TURNS = (1, 5, 10)
TOKENS = (512, 2048, 8192)
SHORT = 1
"Turns between facts and question of isolation and correction, which are about whose fact it is and not how old."


class Listener(Protocol):
    """Whoever reads a text and can be asked."""

    def read(self, text: str, *, forget: bool = False) -> int:
        """Take in a text and give its tokens. forget: all that was read before is cleared from the state first."""
        ...

    def another(self) -> "Listener":
        """One that has read the same."""
        ...

    def likelihoods(self, prompt: str, values: Sequence[str]) -> list[float] | None:
        """Log-likelihood, nats, of each value after the prompt; None when the text is too long for the model."""
        ...


@dataclass(frozen=True)
class Told:
    """The facts of one truth: what is read, who asks, the right value, and another one that was told as well."""

    text: str
    person: str
    right: int
    other: int | None = None


@dataclass
class Count:
    """Answers under one condition. confused: the answer was another value that had been told."""

    probe: str
    unit: str
    distance: int
    chance: float
    asked: int = 0
    right: int = 0
    confused: int = 0
    control_right: int = 0
    tokens: int = 0
    too_long: bool = False

    @property
    def accuracy(self) -> Interval:
        return wilson(self.right, self.asked)

    @property
    def control(self) -> Interval:
        return wilson(self.control_right, self.asked)

    @property
    def remembers(self) -> bool:
        """Whether the interval lies above chance."""
        return self.asked > 0 and self.accuracy.low > self.chance

    def as_json(self) -> dict[str, Any]:
        return {
            "probe": self.probe,
            "unit": self.unit,
            "distance": self.distance,
            "asked": self.asked,
            "right": self.right,
            "accuracy": self.accuracy.as_json() if self.asked else None,
            "chance": self.chance,
            "control": self.control.as_json() if self.asked else None,
            "confused": self.confused,
            "tokens": self.tokens / self.asked if self.asked else None,
            "too_long": self.too_long,
        }


@dataclass
class Counts:
    """By probe, unit and distance, in the order in which they were first asked."""

    found: dict[tuple[str, str, int], Count] = field(default_factory=dict)

    def of(self, probe: str, unit: str, distance: int, values: int) -> Count:
        return self.found.setdefault((probe, unit, distance), Count(probe, unit, distance, 1 / values))


def run(
    fresh: Listener,
    *,
    split: Split = "test",
    draws: int = 1,
    turns: Sequence[int] = TURNS,
    longest: int = TOKENS[-1],
    kinds: Sequence[Kind] = KINDS,
) -> list[Count]:
    """Ask everything. fresh: one that has read nothing.   draws: rows of small talk for each kind of fact.

    longest: tokens after which the last question comes. Raises BadData for a kind with fewer than ten values.
    """
    counts = Counts()
    distances = [distance for distance in TOKENS if distance <= longest]
    for kind in kinds:
        if len(kind.of(split)) < LEAST_VALUES:
            raise BadData(f"{kind.name} has {len(kind.of(split))} values", expected=f"{LEAST_VALUES} or more")
        for draw in range(draws):
            for told in _recall(kind, split):
                _probe("recall", kind, split, draw, told, fresh, turns, distances, counts)
            for told in _isolation(kind, split):
                _probe("isolation", kind, split, draw, told, fresh, (SHORT,), (), counts)
            for told in _correction(kind, split):
                _probe("correction", kind, split, draw, told, fresh, (SHORT,), (), counts)
    return list(counts.found.values())


def _recall(kind: Kind, split: Split) -> Iterator[Told]:
    for at, value in enumerate(kind.of(split)):
        yield Told(kind.told(PEOPLE[0], value), PEOPLE[0], at)


def _isolation(kind: Kind, split: Split) -> Iterator[Told]:
    """Each value is each person's once, and each person asks."""
    values = kind.of(split)
    for at, value in enumerate(values):
        beside = (at + 1) % len(values)
        text = kind.told(PEOPLE[0], value) + kind.told(PEOPLE[1], values[beside])
        yield Told(text, PEOPLE[0], at, beside)
        yield Told(text, PEOPLE[1], beside, at)


def _correction(kind: Kind, split: Split) -> Iterator[Told]:
    values = kind.of(split)
    for at, value in enumerate(values):
        before = (at + 1) % len(values)
        yield Told(kind.told(PEOPLE[0], values[before]) + kind.corrected(PEOPLE[0], value), PEOPLE[0], at, before)


def _probe(
    probe: str,
    kind: Kind,
    split: Split,
    draw: int,
    told: Told,
    fresh: Listener,
    turns: Sequence[int],
    tokens: Sequence[int],
    counts: Counts,
) -> None:
    """One truth: the facts, then small talk, with a question at each distance; beside it, one that has to forget."""
    values = kind.of(split)
    listeners = [fresh.another(), fresh.another()]
    for listener in listeners:
        listener.read(told.text)
    talk, heard, between = small_talk(split, draw, told.person), 0, 0
    due = [("turns", distance) for distance in turns] + [("tokens", distance) for distance in tokens]
    while due:
        said = next(talk)
        between += listeners[0].read(said)
        listeners[1].read(said, forget=heard == 0)
        heard += 1
        for unit, distance in [each for each in due if (heard if each[0] == "turns" else between) >= each[1]]:
            due.remove((unit, distance))
            _ask(counts.of(probe, unit, distance, len(values)), kind, told, values, listeners, between)


def _ask(
    count: Count, kind: Kind, told: Told, values: Sequence[str], listeners: Sequence[Listener], between: int
) -> None:
    prompt = kind.asked(told.person)
    own, control = (listener.likelihoods(prompt, values) for listener in listeners)
    if own is None or control is None:
        count.too_long = True
        return
    best = own.index(max(own))
    count.asked += 1
    count.tokens += between
    count.right += best == told.right
    count.confused += best == told.other
    count.control_right += control.index(max(control)) == told.right
