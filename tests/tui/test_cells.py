"""Text made of cells: exact widths for every text, cuts that lose nothing, figures as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len as measured

from think.tui.widgets import figures
from think.tui.widgets.cells import beside, cell_len, cut, fit, fit_line, flowing, line, plain, shares, width, wrapped
from think.tui.widgets.table import Column, table

TEXT = st.text(alphabet=st.sampled_from("abc 019日本語é…●│⠿·\u0301"), max_size=30)
LINES = st.lists(st.tuples(TEXT, st.sampled_from(["", "dim", "bad"])), max_size=5).map(tuple)


@given(TEXT)
def test_cells_are_counted_as_the_terminal_counts_them(text):
    assert cell_len(text) == measured(text)


@given(text=TEXT, cells=st.integers(0, 40), align=st.sampled_from(["left", "right", "middle"]))
def test_fit_is_exact(text, cells, align):
    assert cell_len(fit(text, cells, align)) == cells


@given(of=LINES, cells=st.integers(0, 60))
def test_fit_line_is_exact(of, cells):
    assert width(fit_line(of, cells)) == cells


@given(of=LINES, cells=st.integers(0, 60))
def test_a_cut_line_has_the_width_of_its_parts(of, cells):
    left, right = cut(of, cells)
    assert width(left) + width(right) == width(of)
    assert width(left) == min(cells, width(of))


@given(text=st.text(max_size=200), cells=st.integers(8, 60))
def test_wrapped_text_fits_and_loses_no_letter(text, cells):
    block = wrapped(text, cells)
    assert all(width(of) <= max(cells, 8) for of in block)
    letters = "".join(character for character in text if character.isascii() and character.isalnum())
    shown = "".join(character for of in block for character in plain(of) if character.isascii() and character.isalnum())
    assert letters in shown or len(shown) >= len(letters)


def test_a_line_shows_control_characters_as_escapes():
    assert plain(line("a\x1b[31mb\nc\td")) == "a\\x1b[31mb⏎c d"


@given(total=st.integers(3, 300), parts=st.integers(1, 4))
def test_columns_fill_the_width(total, parts):
    found = shares(total, parts)
    if total >= parts + 2 * (parts - 1):
        assert sum(found) + 2 * (parts - 1) == total
    assert max(found) - min(found) <= 1


def test_blocks_beside_each_other_keep_their_widths():
    rows = beside([[line("a"), line("b")], [line("c")]], [3, 4])
    assert [plain(row) for row in rows] == ["a    c   ", "b        "]


def test_flowing_parts_are_left_out_and_never_cut():
    rows = flowing([line("aaaa"), line("bbbb"), line("c")], 9, 1)
    assert [plain(row).split() for row in rows] == [["aaaa"]]
    assert [plain(row).split() for row in flowing([line("aaaa"), line("bbbb")], 9, 2)] == [["aaaa"], ["bbbb"]]


@given(cells=st.integers(6, 120))
def test_a_table_fits_and_keeps_its_most_important_column(cells):
    columns = (Column("name", keep=100, grows=True), Column("a", keep=10), Column("step", "right", keep=50))
    head, body = table(columns, [["first", "x" * 9, "1,000"], ["日本", "", "2"]], cells)
    assert all(width(of) == cells for of in [head, *body])
    assert plain(head).strip().startswith("n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (4.18492, "4.185"),
        (0.00412, "0.004120"),
        (0.000163, "1.63e-4"),
        (12345.6, "12,346"),
        (1.5e12, "1.50e12"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert figures.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(999.0, "999"), (1000.0, "1.00k"), (12800.0, "12.8k"), (999_600.0, "1.00M"), (2.5e9, "2.50G")]
)
def test_short_numbers_have_three_digits_and_a_unit(value, text):
    assert figures.short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (61, "1 m 01 s"), (7620, "2 h 07 m"), (273_600, "3 d 04 h"), (None, "-")]
)
def test_durations(seconds, text):
    assert figures.duration(seconds) == text


def test_ages_move_in_steps_so_that_a_screen_at_rest_stays_at_rest():
    assert {figures.age(seconds) for seconds in range(60)} == {"now", "15 s ago", "30 s ago", "45 s ago"}
    assert figures.age(7300) == "2 h ago"
