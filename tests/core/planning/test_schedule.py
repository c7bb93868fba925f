"""Sequential halving's schedule, against figures worked out apart."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.planning.schedule import considered_visits, passes


@pytest.mark.parametrize(
    ("considered", "simulations", "expected"),
    [
        (4, 8, [0, 0, 0, 0, 1, 1, 2, 2]),
        (16, 32, [0] * 16 + [1] * 8 + [2] * 4 + [3] * 4),
        (8, 4, [0, 0, 0, 0]),
        (1, 3, [0, 1, 2]),
    ],
)
def test_golden_schedules(considered: int, simulations: int, expected: list[int]) -> None:
    assert list(considered_visits(considered, simulations)) == expected


@given(st.integers(1, 40), st.integers(1, 200))
def test_every_visit_is_of_an_action_that_can_have_so_many(considered: int, simulations: int) -> None:
    found = passes(considered, simulations)
    assert sum(size for _, size in found) == simulations
    assert [seen for seen, _ in found] == list(range(len(found)))
    assert found[0].size == min(considered, simulations)
    assert all(before.size >= after.size for before, after in itertools.pairwise(found))
    assert all(size >= min(2, considered) for _, size in found[:-1])
