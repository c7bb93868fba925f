"""Schedules against tables worked out by hand, and what must hold for every setting."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from think.core.training.schedule import CosineSettings, CurriculumStage, WsdSettings, clock


def test_wsd_rises_stays_and_falls() -> None:
    table = clock(WsdSettings(warmup=4, fall=0.3, floor=0.1), 10, 8, ()).factors
    assert table[:4] == (0.25, 0.5, 0.75, 1.0)
    assert table[4:7] == (1.0, 1.0, 1.0)
    assert table[7:] == pytest.approx((0.1 + 0.9 * 3 / 4, 0.1 + 0.9 * 2 / 4, 0.1 + 0.9 * 1 / 4))


def test_wsd_without_fall_is_flat() -> None:
    assert set(clock(WsdSettings(fall=0.0), 7, 8, ()).factors) == {1.0}


def test_cosine_halves_half_way() -> None:
    table = clock(CosineSettings(warmup=2, floor=0.2), 21, 8, ()).factors
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
    table = clock(settings, steps, 4, ()).factors
    assert len(table) == steps
    assert all(0 < factor <= 1 for factor in table), "no step is spent at a rate of zero"


def test_curriculum_changes_lengths_and_the_positions_add_up() -> None:
    stages = (CurriculumStage(from_share=0.25, length=8), CurriculumStage(from_share=0.5, length=16))
    table = clock(WsdSettings(), 8, 4, stages)
    assert table.lengths == (4, 4, 8, 8, 16, 16, 16, 16)
    assert table.positions == (0, 4, 8, 16, 24, 40, 56, 72)
    assert table.tokens_per_row == 88
    assert list(table.remaining(6)) == [7, 8]


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
