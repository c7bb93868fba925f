"""Facts about a person with the values they can have, and small talk that names none of them. No torch.

Values and small talk of the split "test" are none of those of the split "practice", so that a model may be trained on
texts like these and still be asked about something new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Split = Literal["practice", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

LEAST_VALUES = 10
"Fewer would make chance a large share: of two values, half of all answers are right by guessing."


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True)
class Kind:
    """One kind of fact: what it is called in a sentence, and its values, those of both splits."""

    name: str
    said: str
    values: tuple[str, ...]

    def of(self, split: Split) -> tuple[str, ...]:
        """The values of one split, every second one."""
        return self.values[SPLITS.index(split) :: 2]

    def told(self, person: str, value: str) -> str:
        return f"{person}: My {self.said} is {value}.\n"

    def corrected(self, person: str, value: str) -> str:
        return f"{person}: No, I was wrong. My {self.said} is {value}.\n"

    def asked(self, person: str) -> str:
        """The question, and the answer up to the value."""
        return f"{person}: What is my {self.said}?\nBot: {person}, your {self.said} is"


KINDS = (
    Kind(
        "colour",
        "favourite colour",
        _words(
            "red blue green yellow orange purple pink brown black white grey silver golden violet scarlet turquoise "
            "beige crimson lilac amber"
        ),
    ),
    Kind(
        "animal",
        "favourite animal",
        _words(
            "cat dog horse rabbit fox bear deer goat owl mouse frog duck wolf lion tiger whale eagle snake sheep donkey"
        ),
    ),
    Kind(
        "work",
        "work",
        _words(
            "baking fishing teaching painting sewing nursing farming mining hunting gardening cooking weaving sailing "
            "writing printing plumbing building tailoring banking carving"
        ),
    ),
    Kind(
        "home",
        "home town",
        _words(
            "Paris London Rome Berlin Madrid Vienna Oslo Athens Dublin Lisbon Prague Warsaw Cairo Delhi Tokyo Boston "
            "Chicago Moscow Geneva Milan"
        ),
    ),
)

PEOPLE = ("Anna", "Peter")
"Two persons; recall and correction are of the first."

_SMALL_TALK = (
    ("The wind was strong today.", "I hope it will be calm soon."),
    ("It has rained since the morning.", "Then the grass will be wet."),
    ("I could not sleep last night.", "That happens when it is warm."),
    ("My sister came to see me.", "I am glad that she came."),
    ("We had soup for dinner.", "Soup is good on a cold day."),
    ("The train was late again.", "It often is at this time of the year."),
    ("I lost my keys and found them again.", "Where were they hidden?"),
    ("They are mending the road here.", "It will take them some weeks."),
    ("I read a long letter today.", "Long letters are seldom now."),
    ("The clock in the hall stopped.", "Perhaps it wants to be wound."),
    ("There was music in the street.", "I would have liked to hear it."),
    ("I went up the hill before noon.", "The view must have been fine."),
    ("My shoes are full of sand.", "Shake them out at the door."),
    ("The shop was closed today.", "It will open again tomorrow."),
    ("I forgot to close the window.", "Let us hope that it stays dry."),
    ("We played cards all evening.", "Who won the most games?"),
    ("The lamp in my room is broken.", "A new one does not cost much."),
    ("I met an old friend at the market.", "You must have had much to tell."),
    ("The river is very high now.", "The snow is melting early."),
    ("I cannot find my glasses.", "Look for them beside the chair."),
)


def small_talk(split: Split, draw: int, teller: str) -> "SmallTalk":
    """An endless row of exchanges, shuffled by `draw`."""
    pairs = list(_SMALL_TALK[SPLITS.index(split) :: 2])
    return SmallTalk(pairs, Random(f"identity {split} {draw}"), teller)


class SmallTalk:
    """Gives one exchange after the other; each is heard once before any is heard again."""

    def __init__(self, pairs: Sequence[tuple[str, str]], random: Random, teller: str):
        self._pairs, self._random, self._teller = pairs, random, teller
        self._left: list[tuple[str, str]] = []

    def __next__(self) -> str:
        if not self._left:
            self._left = self._random.sample(self._pairs, len(self._pairs))
        said, answered = self._left.pop()
        return f"{self._teller}: {said}\nBot: {answered}\n"

    def __iter__(self) -> "SmallTalk":
        return self
