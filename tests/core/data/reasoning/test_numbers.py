"""Numbers in text: whole tokens, exact values."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.data.reasoning.numbers import LONGEST, magnitudes, numbers, written


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("42", [42]),
        ("-7", [-7]),
        ("−7 and –8", [-7, -8]),
        ("+7", [7]),
        ("x = - 7", [-7]),
        ("-$3.50", ["-3.5"]),
        ("3.50 dollars.", ["3.5"]),
        ("1,250,000", [1250000]),
        ("1\u202f250", [1250]),
        ("7/2", ["7/2"]),
        ("3 1/2", ["7/2"]),
        ("-3 1/2", ["-7/2"]),
        ("50%", ["1/2"]),
        ("$12, 12km, 12 apples", [12, 12, 12]),
        ("12 - 5", [12, 5]),
        ("12-5", [12, 5]),
        ("(3)-2", [3, 2]),
        ("\n- 42\n* 43", [42, 43]),
        ("1428", [1428]),
        ("3:5", [3, 5]),
        ("3,5", [3, 5]),
        ("1,4200", [1, 4200]),
        ("x42", [None]),
        ("1.2.3", ["1.2", None]),
        ("4e1", [4, None]),
        ("1/0", [None]),
        ("5 7/2", [None]),
        ("...42", [None]),
    ],
)
def test_reads(text: str, values: list[int | str | None]) -> None:
    assert numbers(text) == [None if value is None else Fraction(value) for value in values]


def test_over_long_digits_are_a_number_that_cannot_be_read() -> None:
    assert numbers("9" * 100_000) == [None]
    assert numbers("9" * LONGEST) == [10**LONGEST - 1]


@given(st.fractions(max_denominator=1000).filter(lambda value: abs(value) < 10**9))
def test_what_is_written_is_read_back_exactly(value: Fraction) -> None:
    assert numbers(f"it is {written(value)} apples.") == [value]


@given(st.integers(-(10**9), 10**9), st.sampled_from([",", "\u202f", "\u00a0"]))
def test_thousands_separators_do_not_change_a_number(value: int, separator: str) -> None:
    assert numbers(f"{value:,}".replace(",", separator)) == [value]


@given(st.text(alphabet="0123456789.,-+/% \n:x=a", max_size=60))
def test_every_digit_is_part_of_some_number(text: str) -> None:
    assert bool(numbers(text)) == any(character.isdigit() for character in text)


def test_magnitudes_see_words_and_parts_of_fractions() -> None:
    assert magnitudes("twice the 3/4 of -5") == {2, Fraction(3, 4), 3, 4, 5}
