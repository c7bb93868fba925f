"""Buckets: bounded, exact, and indifferent to the order in which a history is read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.telemetry.buckets import Buckets, joined, width_for
from think.core.telemetry.columns import ABSENT, Rows

MOST = 8


def rows(steps: list[int], values: list[float], names: tuple[str, ...] = ("loss",)) -> Rows:
    return Rows(names, np.array(steps, float), np.array(steps, float) * 10, np.array([values], float))


def together(parts: list[Rows], most: int = MOST) -> Buckets:
    found = Buckets.empty()
    for part in parts:
        found = joined(found, Buckets.of(part, width_for(part.steps, found.width, most)), most)
    return found


def plain(buckets: Buckets) -> dict[str, list[object]]:
    names = ("keys", "steps", "times", "low", "high", "last", "count", "bad")
    return {name: np.nan_to_num(getattr(buckets, name), nan=-7.0).tolist() for name in names}


values = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([float("nan"), float("inf"), -float("inf"), ABSENT]))


@given(
    st.lists(st.tuples(st.integers(0, 200), values), min_size=1, max_size=60, unique_by=lambda pair: pair[0]),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
def test_a_history_read_in_any_order_and_any_portions_gives_what_a_plain_loop_gives(pairs, portion, random) -> None:
    random.shuffle(pairs)
    parts = [pairs[at : at + portion] for at in range(0, len(pairs), portion)]
    found = together([rows([step for step, _ in part], [value for _, value in part]) for part in parts])
    assert len(found) <= MOST
    expected: dict[int, list[tuple[int, float]]] = {}
    for step, value in sorted(pairs):
        expected.setdefault(step // found.width, []).append((step, value))
    assert found.keys.tolist() == sorted(expected)
    for place, key in enumerate(sorted(expected)):
        here = [(step, value) for step, value in expected[key] if value != ABSENT]
        finite = [(step, value) for step, value in here if np.isfinite(value)]
        assert found.count[0, place] == len(here)
        assert found.bad[0, place] == len(here) - len(finite)
        assert found.low[0, place] == min((value for _, value in finite), default=np.inf)
        assert found.high[0, place] == max((value for _, value in finite), default=-np.inf)
        if finite:
            assert found.last[0, place] == finite[-1][1]
            assert found.total[0, place] == pytest.approx(sum(value for _, value in finite), abs=1e-6)
        assert found.steps[place] == max(step for step, _ in expected[key])


def test_a_spike_of_one_step_among_a_hundred_thousand_stays() -> None:
    values = np.ones(100_000)
    values[77_777] = 1e9
    found = together(
        [
            Rows(("loss",), np.arange(at, at + 1000.0), np.zeros(1000), values[None, at : at + 1000])
            for at in range(99_000, -1, -1000)
        ],
        most=4096,
    )
    assert len(found) <= 4096
    assert found.high[0].max() == 1e9
    assert found.count[0].sum() == 100_000


def test_a_new_figure_joins_the_old_ones() -> None:
    found = together([rows([1, 2], [1.0, 2.0]), rows([2, 3], [5.0, 6.0], names=("speed",))])
    assert found.names == ("loss", "speed")
    assert found.count.tolist() == [[1, 1, 0], [0, 1, 1]]
    assert found.last[1, 1] == 5.0


def test_cutting_keeps_what_was_not_done_again() -> None:
    found = together([rows([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])])
    assert found.up_to(2).keys.tolist() == [1, 2]
    assert not found.ends_between(2)


def test_cutting_through_a_bucket_is_told() -> None:
    found = together([rows(list(range(64)), [1.0] * 64)])
    assert found.width == 8
    assert found.ends_between(10)
    assert not found.ends_between(15)
