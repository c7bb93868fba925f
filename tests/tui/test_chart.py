"""Curves in text: nothing is drawn away, everything has its place, every size is exact."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.scene import series
from think.tui.view import Limit, read_only
from think.tui.widgets.axes import Scale, labels
from think.tui.widgets.cells import plain, width
from think.tui.widgets.chart import Curve, Look, Plot, chart, smoothed
from think.tui.widgets.dots import Canvas

EMPTY = " "


def drawn(
    values: list[float], cells: int = 60, rows: int = 14, look: Look | None = None, **changes: object
) -> list[str]:
    plot = Plot("loss", (Curve(series("loss", values)),), "nats", **changes)  # type: ignore[arg-type]
    return [plain(line) for line in chart(plot, cells, rows, look or Look())]


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60),
    cells=st.integers(1, 120),
    rows=st.integers(1, 30),
    logarithmic=st.booleans(),
    smooth=st.booleans(),
    by_time=st.booleans(),
)
def test_a_chart_has_exactly_its_size_whatever_the_values(values, cells, rows, logarithmic, smooth, by_time):
    plot = Plot("loss", (Curve(series("loss", values)),) if values else ())
    block = chart(plot, cells, rows, Look(logarithmic, smooth, by_time))
    assert len(block) == rows
    assert all(width(line) <= cells for line in block)


@pytest.mark.parametrize("place", [0, 1, 2047, 4000, 4095])
def test_a_spike_of_one_step_among_thousands_reaches_the_top(place):
    values = [1.0] * 4096
    values[place] = 9.0
    top = drawn(values)[1]
    assert any(character not in " │┤." and not character.isdigit() for character in top)


def test_a_spike_inside_a_bucket_is_seen_though_the_mean_is_not_moved():
    flat = series("loss", [1.0] * 200)
    high = flat.maximum.copy()
    high[100] = 9.0
    shown = [plain(line) for line in chart(Plot("loss", (Curve(replace(flat, maximum=read_only(high))),)), 60, 14)]
    assert shown[1].strip(" │┤.0123456789")


def test_values_that_are_not_finite_are_marked_where_they_are_and_counted():
    values = [1.0, 2.0] * 50
    values[50] = math.nan
    values[51] = math.inf
    lines = drawn(values)
    axis = lines[-2]
    assert "× 2 not finite" in lines[0]
    assert 0.4 < axis.index("×") / len(axis) < 0.65


def test_a_threshold_in_range_is_a_labelled_dashed_line_and_one_far_away_is_told():
    near, far = Limit("loss", 2.5, "g3 passes to"), Limit("loss", 900.0, "g3 fails above")
    lines = drawn([1.0, 2.0] * 20, cells=70, limits=(near, far))
    assert any("g3 passes to 2.50" in line for line in lines[1:])
    assert "g3 fails above 900" in lines[0]
    assert "↑" in lines[0]


def test_a_logarithmic_scale_says_when_it_has_nothing_to_show():
    assert "no value above 0" in drawn([-1.0, -2.0], look=Look(logarithmic=True))[1]
    assert "no value above 0" not in drawn([1.0, 1000.0], look=Look(logarithmic=True))[1]


def test_an_empty_plot_says_so():
    assert "nothing recorded yet" in drawn([])[1]


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-3, 1e9), most=st.integers(1, 8))
def test_ticks_are_round_ascending_inside_and_told_apart(low, span, most):
    scale = Scale(low, low + span)
    ticks = scale.ticks(most)
    assert len(ticks) <= most
    assert ticks == sorted(set(ticks))
    assert all(scale.low - span * 1e-6 <= tick <= scale.high + span * 1e-6 for tick in ticks)


@given(power=st.integers(-6, 6), decades=st.integers(1, 9), most=st.integers(1, 8))
def test_ticks_of_a_logarithmic_scale_stay_inside(power, decades, most):
    scale = Scale(10.0**power, 10.0 ** (power + decades), logarithmic=True)
    ticks = scale.ticks(most)
    assert len(ticks) <= most
    assert all(scale.low * 0.999 <= tick <= scale.high * 1.001 for tick in ticks)
    assert len(set(labels(ticks, logarithmic=True))) == len(ticks)


def test_smoothing_keeps_a_constant_and_follows_a_step():
    assert smoothed(np.full(100, 3.0)) == pytest.approx(np.full(100, 3.0))
    found = smoothed(np.array([0.0] * 100 + [1.0] * 100))
    assert found[99] == pytest.approx(0.0)
    assert 0.0 < found[103] < 1.0
    assert found[-1] == pytest.approx(1.0, abs=1e-3)
    assert np.isnan(smoothed(np.array([1.0, np.nan, 1.0]))[1])


def test_a_steep_curve_has_no_holes():
    canvas = Canvas(20, 10)
    x = np.linspace(0, 1, 5)
    y = np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    canvas.curve(x, y, y, y, "first")
    dots = canvas._dots
    for column in range(1, dots.shape[1]):
        left, here = np.flatnonzero(dots[:, column - 1]), np.flatnonzero(dots[:, column])
        assert len(here)
        assert here.min() <= left.max() + 1
        assert here.max() >= left.min() - 1


def test_a_gap_stays_a_gap():
    canvas = Canvas(20, 10)
    y = np.array([0.5, 0.5, np.nan, 0.5, 0.5])
    canvas.curve(np.linspace(0, 1, 5), y, y, y, "first")
    empty = ~canvas._dots.any(axis=0)
    assert empty.any()
    assert not empty[0]
    assert not empty[-1]
