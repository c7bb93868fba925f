"""The one rule for the state of a run."""

import pytest

from think.core.telemetry.liveness import LEAST_SECONDS, LOST_SECONDS, UNKNOWN_SECONDS, stalled_after, state_of


def test_the_pace_of_the_run_tells_what_silence_is() -> None:
    assert stalled_after([]) == UNKNOWN_SECONDS
    assert stalled_after([0.1, 0.1]) == UNKNOWN_SECONDS  # two intervals are no pace
    assert stalled_after([0.1] * 9) == LEAST_SECONDS
    assert stalled_after([30.0] * 9) == 150.0


def test_one_long_step_among_short_ones_changes_nothing() -> None:
    assert stalled_after([2.0, 2.0, 500.0, 2.0, 2.0]) == 10.0


def test_known_pauses_are_allowed_twice() -> None:
    assert stalled_after([1.0] * 9, pauses=[3.0, 20.0]) == 40.0
    assert stalled_after([], pauses=[100.0]) == 200.0


@pytest.mark.parametrize(
    ("status", "ended", "lives", "silence", "state"),
    [
        ("finished", True, False, 1e6, "finished"),
        ("terminated", True, False, 1e6, "interrupted"),
        ("of the future", True, True, 0.0, "failed"),
        (None, True, True, 0.0, "failed"),
        (None, False, False, 0.0, "dead"),
        (None, False, True, 9.0, "running"),
        (None, False, True, 11.0, "stalled"),
        (None, False, None, 11.0, "stalled"),
        (None, False, None, LOST_SECONDS + 1, "dead"),
        (None, False, True, LOST_SECONDS + 1, "stalled"),
    ],
)
def test_states(status: str | None, ended: bool, lives: bool | None, silence: float, state: str) -> None:
    assert state_of(status=status, ended=ended, lives=lives, silence=silence, limit=10.0) == state
