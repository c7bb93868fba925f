"""Numbers in text, read exactly.

A number token is a whole one: `42` does not stand in `1428`, in `x42` or in `4.2`. Understood are

    signs                 -7  −7  +7  (a dash that opens a line and stands apart is a list mark)
    decimals              3.5
    thousands separators  1,250  (groups of exactly three; also a narrow or unbreakable space)
    fractions             7/2  and mixed ones  3 1/2
    per cent              50% is 1/2
    units                 $12  12km  12 apples  (the unit is not judged)

Digits in anything else (`x42`, `1.2.3`, `4e1`) are a number that cannot be read, so that none hides from a reader who
counts them. A decimal comma is not understood: `3,5` is two numbers.
"""

import re
from fractions import Fraction

LONGEST = 30
"Characters of the longest token that is read; more would only serve to stall exact arithmetic."

_INTEGER = r"[0-9]{1,3}(?:[,\u202f\u00a0][0-9]{3})+(?![0-9])|[0-9]+"
_TOKEN = re.compile(
    rf"""
    (?P<sign>                                  # a sign, not the minus of a subtraction
        (?<![\w)\]])[-−–+][$€£]?(?=[0-9])
      | (?<![\w)\]])(?<![\w)\]]\ )[-−–+]\ [$€£]?(?=[0-9])
    )?
    (?:
        (?<![\w.])
        (?:
            (?P<whole>[0-9]+)\ (?P<part>[0-9]+)/(?P<of>[0-9]+)
          | (?P<numerator>{_INTEGER})/(?P<denominator>[0-9]+)
          | (?P<integer>{_INTEGER})(?P<decimals>\.[0-9]+)?
        )
        (?P<percent>\ ?%)?
      | [0-9]+
    )
    """,
    re.VERBOSE,
)
_LIST_MARK = re.compile(r"\n[ \t]*[-−–+*•][ \t]+")


def numbers(text: str) -> list[Fraction | None]:
    """The numbers of a text in order; None stands for one that cannot be read (or over-long, or over zero)."""
    return [_value(token) for token in _TOKEN.finditer(_LIST_MARK.sub("\n", text))]


def magnitudes(text: str) -> set[Fraction]:
    """Every unsigned value that a reader could see in a text, the parts of fractions and number words included."""
    seen = {abs(value) for value in numbers(text) if value is not None}
    seen |= {Fraction(digits) for digits in re.findall(r"[0-9]+", text) if len(digits) <= LONGEST}
    return seen | {Fraction(WORDS[word]) for word in re.findall(r"[a-z]+", text.lower()) if word in WORDS}


def written(value: Fraction) -> str:
    """The shortest exact form: `42`, `3.5`, and `7/3` where no decimal is exact."""
    if value.denominator == 1:
        return str(value.numerator)
    for places in range(1, 7):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return f"{value.numerator}/{value.denominator}"


_COUNTING = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
WORDS = {word: number for number, word in enumerate(_COUNTING.split())} | {
    "twice": 2,
    "double": 2,
    "doubles": 2,
    "dozen": 12,
    "hundred": 100,
}


def _value(token: re.Match[str]) -> Fraction | None:
    if len(token[0]) > LONGEST:
        return None
    if token["whole"] is not None:
        part = _quotient(token["part"], token["of"])
        value = None if part is None or part >= 1 else part + int(token["whole"])
    elif token["numerator"] is not None:
        value = _quotient(_digits(token["numerator"]), token["denominator"])
    elif token["integer"] is not None:
        value = Fraction(_digits(token["integer"]) + (token["decimals"] or ""))
    else:
        value = None
    if value is None:
        return None
    if token["percent"]:
        value /= 100
    return -value if token["sign"] and token["sign"][0] in "-−–" else value


def _quotient(above: str, below: str) -> Fraction | None:
    return Fraction(int(above), int(below)) if int(below) else None


def _digits(grouped: str) -> str:
    return re.sub(r"[,\u202f\u00a0]", "", grouped)
