"""Intervals: against known values, by simulation of their coverage, and by what must never happen."""

import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.statistics import (
    Interval,
    block_bootstrap_mean,
    block_bootstrap_median,
    block_bootstrap_slope,
    block_length,
    bootstrap_interval,
    intervals,
    median,
    paired_bootstrap,
    ratio_interval,
    wilson,
)

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


class TestWilson:
    @pytest.mark.parametrize(
        ("successes", "count", "low", "high"),
        [
            (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (20, 20, 1 - 0.1611, 1.0),
        ],
    )
    def test_published_values(self, successes: int, count: int, low: float, high: float) -> None:
        found = wilson(successes, count)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)

    def test_nothing_seen_says_nothing(self) -> None:
        found = wilson(0, 0)
        assert math.isnan(found.value)
        assert (found.low, found.high) == (0.0, 1.0)

    @pytest.mark.parametrize(("successes", "count"), [(-1, 5), (6, 5)])
    def test_impossible_counts_are_refused(self, successes: int, count: int) -> None:
        with pytest.raises(ValueError, match="successes of"):
            wilson(successes, count)

    @given(st.integers(0, 200), st.integers(0, 200))
    def test_the_share_lies_inside(self, successes: int, failures: int) -> None:
        found = wilson(successes, successes + failures)
        assert 0.0 <= found.low <= found.high <= 1.0
        if found.count:
            assert found.low <= found.value <= found.high


class TestBootstrap:
    def test_the_mean_of_many_has_the_normal_interval(self) -> None:
        values = np.random.default_rng(0).normal(3.0, 2.0, size=2000)
        found = bootstrap_interval(values)
        half = 1.96 * values.std() / math.sqrt(values.size)
        assert found.value == pytest.approx(values.mean())
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
        assert found.count == 2000

    def test_any_statistic_of_the_last_axis_will_do(self) -> None:
        found = bootstrap_interval([1.0, 2.0, 3.0, 4.0, 100.0], median)
        assert found.value == 3.0
        assert 1.0 <= found.low < 3.0 < found.high <= 100.0

    def test_pairs_see_what_single_samples_cannot(self) -> None:
        generator = np.random.default_rng(0)
        difficulty = generator.normal(0.0, 10.0, size=40)
        better = difficulty - 0.5 + generator.normal(0.0, 0.2, size=40)
        assert paired_bootstrap(better, difficulty).high < 0
        assert bootstrap_interval(better).high > bootstrap_interval(difficulty).low
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_bootstrap([1.0], [1.0, 2.0])

    @given(numbers, st.integers(0, 5))
    def test_equal_seeds_give_equal_intervals_inside_the_data(self, values: list[float], seed: int) -> None:
        found = bootstrap_interval(values, seed=seed, resamples=50)
        assert found == bootstrap_interval(values, seed=seed, resamples=50)
        slack = 1e-9 * max(map(abs, values))
        assert min(values) - slack <= found.low <= found.high <= max(values) + slack

    def test_memory_is_bounded_and_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = np.random.default_rng(0).normal(size=100)
        whole = bootstrap_interval(values, resamples=70)
        monkeypatch.setattr(intervals, "_ENTRIES_AT_ONCE", 700)
        assert bootstrap_interval(values, resamples=70) == whole

    @pytest.mark.parametrize("values", [[], [[1.0]], [1.0, math.nan], [math.inf]])
    def test_what_has_no_interval_is_refused(self, values: list[float]) -> None:
        with pytest.raises(ValueError, match="entr"):
            bootstrap_interval(values)

    @pytest.mark.parametrize(
        "interval",
        [
            bootstrap_interval([1.0]),
            block_bootstrap_mean([1.0]),
            block_bootstrap_median([1.0, 2.0], block=2),
            block_bootstrap_slope([0.0, 1.0, 2.0], [1.0, 2.0, 3.5]),
            block_bootstrap_slope([1.0] * 9, list(range(9))),
        ],
    )
    def test_too_few_say_nothing(self, interval: Interval) -> None:
        assert (interval.low, interval.high) == (-math.inf, math.inf)
        assert not interval.excludes_zero


class TestBlocks:
    def test_a_straight_line_has_its_slope_exactly(self) -> None:
        found = block_bootstrap_slope(np.arange(20) * 10.0, 5.0 - 0.03 * np.arange(20))
        assert (found.value, found.low, found.high) == pytest.approx((-0.003, -0.003, -0.003))
        assert found.excludes_zero

    def test_the_slope_is_that_of_least_squares(self) -> None:
        generator = np.random.default_rng(0)
        where, values = np.sort(generator.uniform(0, 9, 25)), generator.normal(size=25)
        assert block_bootstrap_slope(where, values).value == pytest.approx(np.polyfit(where, values, 1)[0])

    def test_weights_count(self) -> None:
        values = np.random.default_rng(0).normal(size=40)
        weights = np.repeat([0.0, 1.0], 20)
        found = block_bootstrap_mean(values, weights=weights)
        assert found.value == pytest.approx(values[20:].mean())
        with pytest.raises(ValueError, match="one weight for each entry"):
            block_bootstrap_mean(values, weights=[1.0])
        with pytest.raises(ValueError, match="one weight for each entry"):
            block_bootstrap_mean([1.0, 2.0], weights=[0.0, 0.0])

    def test_series_with_memory_get_wider_intervals(self) -> None:
        values = remembering(200, 0.9, np.random.default_rng(0))
        alone, together = bootstrap_interval(values), block_bootstrap_mean(values)
        assert together.high - together.low > 2 * (alone.high - alone.low)

    @pytest.mark.parametrize("count", [1, 2, 3, 6, 10, 30, 1000])
    def test_blocks_are_a_third_of_the_series_at_most(self, count: int) -> None:
        assert 1 <= block_length(count) <= max(1, count // 3)

    @pytest.mark.parametrize("block", [0, -1])
    def test_an_impossible_block_is_refused(self, block: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            block_bootstrap_mean([1.0, 2.0], block=block)

    @given(numbers, st.floats(0.1, 10.0), st.floats(-100.0, 100.0))
    def test_shifting_and_scaling_go_through(self, values: list[float], scale: float, shift: float) -> None:
        plain = block_bootstrap_mean(values, resamples=50)
        moved = block_bootstrap_mean(np.array(values) * scale + shift, resamples=50)
        close = pytest.approx(
            (plain.value * scale + shift, plain.low * scale + shift, plain.high * scale + shift), rel=1e-6, abs=1e-3
        )
        assert (moved.value, moved.low, moved.high) == close


def remembering(count: int, memory: float, generator: np.random.Generator) -> np.ndarray:
    """Noise of variance 1 that keeps a share `memory` of its last value."""
    series = np.empty(count)
    value = generator.normal()
    for index in range(count):
        value = memory * value + math.sqrt(1 - memory**2) * generator.normal()
        series[index] = value
    return series


Make = Callable[[np.ndarray, int], Interval]
SLOPE: Make = lambda noise, seed: block_bootstrap_slope(  # noqa: E731
    np.arange(noise.size), noise - 0.1 * np.arange(noise.size), resamples=200, seed=seed
)
MEAN: Make = lambda noise, seed: block_bootstrap_mean(noise - 0.1, resamples=200, seed=seed)  # noqa: E731
MEDIAN: Make = lambda noise, seed: block_bootstrap_median(noise - 0.1, resamples=200, seed=seed)  # noqa: E731


@pytest.mark.parametrize(
    ("make", "count", "memory", "least"),
    [
        (SLOPE, 30, 0.0, 0.91),
        (SLOPE, 30, 0.5, 0.82),
        (MEAN, 30, 0.0, 0.91),
        (MEAN, 60, 0.5, 0.87),
        (MEDIAN, 60, 0.5, 0.87),
    ],
)
def test_they_cover_the_truth_about_as_often_as_they_say(make: Make, count: int, memory: float, least: float) -> None:
    generator = np.random.default_rng(0)
    repetitions = 300
    intervals = [make(remembering(count, memory, generator), seed) for seed in range(repetitions)]
    covered = sum(interval.low <= -0.1 <= interval.high for interval in intervals) / repetitions
    assert least <= covered <= 0.99


def test_a_flat_series_is_rarely_called_falling() -> None:
    generator = np.random.default_rng(1)
    falls = [
        block_bootstrap_slope(np.arange(20), remembering(20, 0.3, generator), resamples=200, seed=seed).high < 0
        for seed in range(300)
    ]
    assert sum(falls) / len(falls) < 0.08


def test_it_reads_as_a_sentence_with_its_count() -> None:
    assert str(Interval(1.5, 1.25, 1.75, 1200)) == "1.5000 (95% 1.2500 to 1.7500, n = 1,200)"
    assert wilson(5, 10).as_json()["count"] == 10


def test_the_module_needs_numpy_only() -> None:
    assert not {"torch", "scipy", "pandas"} & set(vars(sys.modules[intervals.__name__]))


def test_a_ratio_of_sums_and_its_interval() -> None:
    random = np.random.default_rng(0)
    below = random.integers(1, 5, 400).astype(float)
    above = below * random.normal(0.7, 0.2, 400)
    found = ratio_interval(above, below)
    assert found.value == pytest.approx(above.sum() / below.sum())
    spread = np.sqrt(((above - found.value * below) ** 2).sum()) / below.sum()  # the delta method
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert found.count == 400
    assert ratio_interval([1.0], [2.0]).low == -np.inf
    assert ratio_interval([1.0, 0.0, 3.0], [1.0, 0.0, 3.0]).value == 1
    for wrong in ([0.0, 0.0], [3.0, -1.0]):
        with pytest.raises(ValueError, match="denominators"):
            ratio_interval([1.0, 1.0], wrong)
