"""Phase shifts: found soon after a step, never in a drift or a spike, and rarely in a series that only wanders."""

import json
import math

import numpy as np
import pytest

from think.core.training.anomalies import AnomalySettings, Watch
from think.core.training.shifts import Bounds, Levels, remember, shift

WINDOW, FACTOR = 24, 2.0
BOUNDS = Bounds(WINDOW, FACTOR, 4.0)
BEGIN = 4 * WINDOW


def wandering(seed: int, count: int, *, correlation: float, deviation: float) -> np.ndarray:
    """A stationary autoregressive series of logarithms around zero."""
    random = np.random.default_rng(seed)
    values = np.empty(count)
    values[0] = random.normal() * deviation
    noise = random.normal(size=count) * deviation * math.sqrt(1 - correlation**2)
    for at in range(1, count):
        values[at] = correlation * values[at - 1] + noise[at]
    return values


def alarms(logarithms: np.ndarray) -> list[int]:
    """Records at which an alarm begins, counted from zero."""
    series: list[float] = []
    found, before = [], False
    for at, value in enumerate(logarithms):
        series = remember(series, math.exp(value), WINDOW)
        stands = shift(series, BOUNDS)
        now = stands is not None and stands.happened
        if now and not before:
            found.append(at)
        before = now
    return found


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_a_step_is_found_within_a_window_and_not_again_later(factor: float) -> None:
    for seed in range(10):
        values = wandering(seed, 3 * BEGIN, correlation=0.5, deviation=0.2)
        values[BEGIN:] += math.log(factor)
        found = alarms(values)
        assert WINDOW // 2 <= found[0] - BEGIN <= found[-1] - BEGIN <= WINDOW + WINDOW // 2
        assert found[0] - BEGIN <= WINDOW


def test_a_step_smaller_than_the_factor_is_none() -> None:
    values = np.zeros(3 * BEGIN)
    values[BEGIN:] += math.log(FACTOR) * 0.99
    assert alarms(values) == []
    values[BEGIN:] += math.log(FACTOR) * 0.02
    assert len(alarms(values)) == 1


@pytest.mark.parametrize(("correlation", "deviation", "most"), [(0.5, 0.2, 0), (0.9, 0.2, 1), (0.97, 0.3, 6)])
def test_a_series_that_only_wanders_alarms_as_rarely_as_it_is_said(
    correlation: float, deviation: float, most: int
) -> None:
    assert len(alarms(wandering(1, 8000, correlation=correlation, deviation=deviation))) <= most


@pytest.mark.parametrize(
    "drift",
    [
        np.linspace(0, math.log(50), 400),
        np.log(np.linspace(1, 0.02, 400)),
        np.log(0.5 * (1 + np.cos(np.linspace(0, math.pi * 0.95, 400)))),
        np.concatenate([np.zeros(200), np.linspace(0, -3, 400)]),
    ],
    ids=["warm-up", "linear decay", "cosine decay", "flat, then falling"],
)
def test_a_drift_is_no_shift(drift: np.ndarray) -> None:
    for seed in range(5):
        assert alarms(drift + wandering(seed, len(drift), correlation=0.5, deviation=0.1)) == []


def test_a_spike_of_less_than_half_a_window_is_no_shift() -> None:
    values = wandering(0, 3 * BEGIN, correlation=0.5, deviation=0.1)
    values[BEGIN : BEGIN + WINDOW // 2 - 1] += 5.0
    assert alarms(values) == []


def test_nothing_is_said_before_three_windows_and_bad_figures_are_passed_over() -> None:
    series: list[float] = []
    for value in [math.nan, 0.0, math.inf, -1.0, *[1.0] * (3 * WINDOW - 1)]:
        series = remember(series, value, WINDOW)
    assert shift(series, BOUNDS) is None
    assert len(series) == 3 * WINDOW - 1


def test_another_length_of_the_rows_begins_anew() -> None:
    levels = Levels(BOUNDS)
    for step in range(6 * WINDOW):
        length, norm = (64, 1.0) if step < 3 * WINDOW else (128, 5.0)
        stands = levels.look(length, {"gradient norm": norm})
        assert not any(each.happened for each in stands.values())
    assert levels.look(128, {"gradient norm": 5.0}), "and goes on from there"


def spoken(watch: Watch, steps: range, norm: float, state: float) -> list[tuple[int, str | None]]:
    return [
        (step, anomaly.where)
        for step in steps
        for anomaly in watch.look(step, gradient_norm=norm, length=8, states={"norm of layer 0 rwkv": state})
        if anomaly.rule == "phase_shift"
    ]


def test_the_watch_speaks_once_for_each_figure_and_remembers_over_a_resume() -> None:
    settings = AnomalySettings(spike=1e9, detail_steps=3)
    watch = Watch(settings)
    assert spoken(watch, range(1, BEGIN), 1.0, 1.0) == []
    again = Watch(settings)
    again.load(json.loads(json.dumps(watch.as_json())))
    rest = range(BEGIN, 2 * BEGIN)
    found = spoken(watch, rest, 4.0, 0.2)
    assert sorted(str(where) for _, where in found) == ["gradient norm", "norm of layer 0 rwkv"]
    assert all(BEGIN + WINDOW // 2 - 1 <= step <= BEGIN + WINDOW for step, _ in found)
    assert spoken(again, rest, 4.0, 0.2) == found
    assert again.as_json() == watch.as_json()
    assert spoken(watch, range(2 * BEGIN, 3 * BEGIN), 4.0, 0.2) == []


def test_what_was_saved_before_there_were_shifts_can_be_taken_up() -> None:
    held = Watch(AnomalySettings()).as_json()
    del held["levels"]
    Watch(AnomalySettings()).load(held)
