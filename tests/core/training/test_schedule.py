"""Schedules against tables worked out by hand, and what must hold for every setting."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from think.core.training.schedule import CosineSettings, CurriculumStage, WsdSettings, clock


def factors(settings: WsdSettings | CosineSettings, steps: int) -> tuple[float, ...]:
    return tuple(factor for factor, _, _ in clock(settings, steps, 4, ()).table)


def test_wsd_rises_stays_and_falls() -> None:
    table = factors(WsdSettings(warmup=4, fall=0.3, floor=0.1), 10)
    assert table[:4] == (0.25, 0.5, 0.75, 1.0)
    assert table[4:7] == (1.0, 1.0, 1.0)
    assert table[7:] == pytest.approx((0.1 + 0.9 * 3 / 4, 0.1 + 0.9 * 2 / 4, 0.1 + 0.9 * 1 / 4))


def test_wsd_without_fall_is_flat() -> None:
    assert set(factors(WsdSettings(fall=0.0), 7)) == {1.0}


def test_cosine_halves_half_way() -> None:
    table = factors(CosineSettings(warmup=2, floor=0.2), 21)
    assert table[:2] == (0.5, 1.0)
    assert table[11] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 2)) / 2)
    assert list(table[1:]) == sorted(table[1:], reverse=True)


@given(
    kind=st.sampled_from(["wsd", "cosine"]),
    steps=st.integers(1, 60),
    warmup=st.integers(0, 60),
    share=st.floats(0, 1),
    floor=st.floats(0, 1),
)
def test_every_rate_is_a_share_above_nothing(kind: str, steps: int, warmup: int, share: float, floor: float) -> None:
    warmup = min(warmup, steps)
    settings = (
        WsdSettings(warmup=warmup, fall=share, floor=floor)
        if kind == "wsd"
        else CosineSettings(warmup=warmup, floor=floor)
    )
    table = factors(settings, steps)
    assert len(table) == steps
    assert all(0 < factor <= 1 for factor in table), "no step is spent at a rate of zero"


def test_curriculum_changes_lengths_and_the_positions_add_up() -> None:
    stages = (CurriculumStage(from_share=0.25, length=8), CurriculumStage(from_share=0.5, length=16))
    found = clock(WsdSettings(), 8, 4, stages)
    assert [length for _, length, _ in found.table] == [4, 4, 8, 8, 16, 16, 16, 16]
    assert [position for _, _, position in found.table] == [0, 4, 8, 16, 24, 40, 56, 72]
    assert found.tokens_per_row == 88
    assert list(found.remaining(6)) == [7, 8]


@given(
    steps=st.integers(1, 40),
    length=st.integers(1, 9),
    shares=st.lists(st.floats(0.001, 0.999), max_size=4, unique=True),
    lengths=st.lists(st.integers(1, 9), min_size=4, max_size=4),
)
def test_positions_are_the_sum_of_the_lengths_before(
    steps: int, length: int, shares: list[float], lengths: list[int]
) -> None:
    stages = [CurriculumStage(from_share=s, length=n) for s, n in zip(sorted(shares), lengths, strict=False)]
    found = clock(WsdSettings(), steps, length, stages)
    taken = [found.length(step) for step in range(1, steps + 1)]
    expected = [length] * steps
    for stage in stages:
        begin = round(stage.from_share * steps)
        expected[begin:] = [stage.length] * (steps - begin)
    assert taken == expected
    assert [position for _, _, position in found.table] == [sum(taken[:n]) for n in range(steps)]
    assert found.tokens_per_row == sum(taken)


def test_a_clock_of_a_billion_steps_costs_nothing() -> None:
    found = clock(CosineSettings(), 10**9, 64, (CurriculumStage(from_share=0.5, length=128),))
    assert found.tokens_per_row == 10**9 * 96


def test_a_resumed_run_with_more_steps_goes_on_where_its_rows_stand() -> None:
    stages = (CurriculumStage(from_share=0.5, length=8),)
    before = clock(WsdSettings(), 4, 4, stages)
    cursor = before.position(4)  # three steps done: 4 + 4 + 8
    after = clock(WsdSettings(), 8, 4, stages).moved_to(3, cursor)
    assert after.position(4) == cursor
    assert before.moved_to(3, cursor) == before
    assert before.moved_to(4, before.tokens_per_row) == before


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_curriculum_begins_inside_the_run(share: float) -> None:
    with pytest.raises(ValidationError, match="from_share"):
        CurriculumStage(from_share=share, length=8)
