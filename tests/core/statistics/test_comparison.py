"""Comparisons paired by seed: against published values, by simulation, and by what must never be said."""

import math

import numpy as np
import pytest

from think.core.statistics import compare, noise_floor, seeds_needed, smallest_detectable, student

# Hours of sleep gained by ten patients with two drugs, Student 1908; the results are those of R's paired t.test.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def keyed(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def test_students_own_example() -> None:
    found = compare(keyed(FIRST), keyed(SECOND))
    assert found.difference.value == pytest.approx(-1.58)
    assert found.difference.low == pytest.approx(-2.4598858, abs=1e-6)
    assert found.difference.high == pytest.approx(-0.7001142, abs=1e-6)
    assert found.p == pytest.approx(0.002832890, abs=1e-8)
    assert (found.verdict, found.more_pairs) == ("lower", 0)


def test_exchanging_the_two_changes_the_sign_only() -> None:
    one, other = compare(keyed(FIRST), keyed(SECOND)), compare(keyed(SECOND), keyed(FIRST))
    assert other.difference.value == -one.difference.value
    assert other.difference.low == pytest.approx(-one.difference.high)
    assert (other.verdict, other.p) == ("higher", one.p)


def test_pairs_by_key_and_names_what_is_unpaired() -> None:
    shuffled = {key: SECOND[key] for key in reversed(range(10))} | {17: 100.0}
    found = compare(keyed(FIRST), shuffled)
    assert found.difference.value == pytest.approx(-1.58)
    assert found.unpaired == ("17",)


def test_three_close_pairs_cannot_tell_and_say_how_many_more() -> None:
    found = compare({0: 1.40, 1: 1.45, 2: 1.43}, {0: 1.42, 1: 1.44, 2: 1.45})
    assert found.verdict == "cannot tell"
    assert found.more_pairs is not None
    assert found.more_pairs >= 1
    assert found.smallest_detectable > abs(found.difference.value)


def test_one_pair_tells_nothing() -> None:
    found = compare({0: 1.0}, {0: 9.0})
    assert found.verdict == "cannot tell"
    assert found.p == 1.0
    assert math.isinf(found.smallest_detectable)
    assert found.more_pairs is None


def test_equal_results_are_no_difference() -> None:
    found = compare({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0})
    assert found.verdict == "cannot tell"
    assert found.p == 1.0


def test_nothing_to_pair_and_values_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to pair"):
        compare({0: 1.0}, {1: 1.0})
    with pytest.raises(ValueError, match="not finite"):
        compare({0: math.nan}, {0: 1.0})


@pytest.mark.parametrize(
    ("effect", "pairs"),
    [(0.5, 34), (0.2, 199), (0.8, 15), (1.0, 10)],  # G*Power 3.1, two-sided paired t, 5 %, power 80 %
)
def test_pairs_needed_as_power_tables_say(effect: float, pairs: int) -> None:
    assert seeds_needed(effect, 1.0) == pairs
    assert smallest_detectable(1.0, pairs) <= effect
    assert smallest_detectable(1.0, pairs - 1) > effect


def test_scale_matters_only_relative_to_the_spread() -> None:
    assert seeds_needed(0.05, 0.1) == seeds_needed(-5.0, 10.0)
    assert smallest_detectable(10.0, 5) == pytest.approx(10 * smallest_detectable(1.0, 5))


def test_no_number_of_pairs_finds_nothing() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(0.001, 1.0) is None
    assert seeds_needed(1.0, math.nan) is None


@pytest.mark.parametrize("count", [3, 5])
def test_few_seeds_are_covered_as_claimed(count: int) -> None:
    generator = np.random.default_rng(count)
    samples = generator.normal(size=(2000, count))
    covered = sum(found.low <= 0 <= found.high for found in map(student, samples))
    assert 0.935 <= covered / 2000 <= 0.965


def test_noise_floor_bounds_two_runs_of_one_recipe() -> None:
    generator = np.random.default_rng(1)
    inside = 0
    for _ in range(2000):
        *known, one, other = generator.normal(size=7)
        inside += abs(one - other) <= noise_floor(known)
    assert 0.93 <= inside / 2000 <= 0.97
    assert math.isinf(noise_floor([1.0]))
