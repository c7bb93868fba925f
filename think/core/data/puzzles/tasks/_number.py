"""An answer that is a number, written character by character."""

import re
from fractions import Fraction

from think.core.data.puzzles import Position

ACTIONS = "0123456789-./\n"
NAMES = (*"0123456789-./", "end")

LONGEST = 12
"Characters of a number before its end: more than any answer of these tasks needs."

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+|/0*[1-9][0-9]*)?")
_BEGUN = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*|/(?:0*[1-9][0-9]*|0*))?)?")


class Written(Position):
    """What is written so far, and the number that solves the puzzle."""

    def __init__(self, answer: Fraction, text: str = ""):
        self._answer, self._text = answer, text

    def legal(self) -> tuple[int, ...]:
        if self._text.endswith("\n"):
            return ()
        return tuple(action for action in range(len(ACTIONS)) if self._fits(ACTIONS[action]))

    def play(self, action: int) -> "Written":
        return Written(self._answer, self._text + ACTIONS[action])

    @property
    def solved(self) -> bool:
        return self._text.endswith("\n") and Fraction(self._text[:-1]) == self._answer

    def _fits(self, character: str) -> bool:
        if character == "\n":
            return _NUMBER.fullmatch(self._text) is not None
        room = LONGEST - len(self._text)
        if _BEGUN.fullmatch(self._text + character) is None:
            return False
        if character in "-./":  # a digit other than 0 must still fit behind it
            return room >= 2
        return room >= 1 and (room >= 2 or _NUMBER.fullmatch(self._text + character) is not None)
