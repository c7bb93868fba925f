"""The filter behind `/`: a regular expression where it is one, else plain text, in any case."""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

Thing = TypeVar("Thing")

LONGEST = 200
"Characters of an expression, and of a text it is tried on in thousands: nobody waits for a runaway expression."


def matching(filter_text: str, things: Iterable[Thing], text: Callable[[Thing], str]) -> list[Thing]:
    """The things whose text has the filter in it; all of them for an empty one."""
    if not filter_text:
        return list(things)
    found = _finder(filter_text)
    return [thing for thing in things if found(text(thing))]


def _finder(filter_text: str) -> Callable[[str], bool]:
    lowered = filter_text.lower()
    # a group that is repeated, with a repetition inside, can take for ever: such a filter is taken as plain text
    if len(filter_text) > LONGEST or re.search(r"\)[*+{]", filter_text):
        return lambda text: lowered in text.lower()
    try:
        expression = re.compile(filter_text, re.IGNORECASE)
    except re.error:
        return lambda text: lowered in text.lower()
    return lambda text: expression.search(text) is not None
