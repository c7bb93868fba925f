"""The summary: what state a run is in, and its latest figures."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from think.core.telemetry import summary as summary_module
from think.core.telemetry.liveness import LOST_SECONDS, UNKNOWN_SECONDS
from think.core.telemetry.process import Identity
from think.core.telemetry.records import Record
from think.core.telemetry.summary import Summary
from think.core.telemetry.tail import read_backwards
from think.core.telemetry.writer import Clock, Writer


class Hands(Clock):
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - 900.0


def run(folder: Path, clock: Hands, *, resumed_from: int | None = None, last: int = 10, **start: object) -> Writer:
    """A process that starts and takes steps of two seconds with 64 tokens each, and evaluates every fifth."""
    telemetry = Writer(folder, clock=clock, heartbeat_seconds=None)
    telemetry.write("run_start", resumed_from, steps=20, stage="stage1", resumed_from_step=resumed_from, **start)
    for step in range((resumed_from or 0) + 1, last + 1):
        clock.now += 2.0
        telemetry.write("step", step, loss=4.0 / step, tokens=64 * step)
        if step % 5 == 0:
            telemetry.write("eval", step, loss=5.0 / step, tokens=1000)
    return telemetry


def summary(folder: Path, now: float, lives: bool | None = True) -> Summary:
    answer: Callable[[Identity], bool | None] = lambda who: lives  # noqa: E731
    return Summary.of(folder, now=lambda: now, is_alive=answer)


def test_figures_of_a_running_run(tmp_path: Path) -> None:
    clock = Hands()
    run(tmp_path, clock, preset="cpu_smoke", parameters=200_000)
    found = summary(tmp_path, clock.now + 1)
    assert (found.state, found.stage, found.preset) == ("running", "stage1", "cpu_smoke")
    assert (found.step, found.steps, found.parameters) == (10, 20, 200_000)
    assert (found.loss, found.held_out, found.held_out_step, found.held_out_tokens) == (0.4, 0.5, 10, 1000)
    assert found.speed == pytest.approx(32.0)
    assert found.time_left == pytest.approx(20.0)
    assert found.started == 1000.0


def test_a_folder_without_telemetry_was_only_created(tmp_path: Path) -> None:
    found = summary(tmp_path, 0.0)
    assert (found.state, found.step, found.loss) == ("created", None, None)


@pytest.mark.parametrize(
    ("silence", "lives", "state"),
    [
        (1.0, True, "running"),
        (9.0, True, "running"),  # a step takes 2 s: five of them are no silence yet
        (11.0, True, "stalled"),
        (1.0, False, "dead"),
        (1.0, None, "running"),
        (11.0, None, "stalled"),
        (LOST_SECONDS + 1, None, "dead"),
    ],
)
def test_without_an_end_the_process_and_the_silence_decide(
    tmp_path: Path, silence: float, lives: bool | None, state: str
) -> None:
    clock = Hands()
    run(tmp_path, clock)
    found = summary(tmp_path, clock.now + silence, lives)
    assert found.state == state
    assert (found.time_left is None) == (state != "running")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("finished", "finished"),
        ("interrupted", "interrupted"),
        ("terminated", "interrupted"),
        ("diverged", "diverged"),
        ("failed", "failed"),
        ("of the future", "failed"),
    ],
)
def test_an_end_decides_whoever_lives(tmp_path: Path, status: str, state: str) -> None:
    clock = Hands()
    run(tmp_path, clock).close(status, "because")
    found = summary(tmp_path, clock.now + 10_000, True)
    assert (found.state, found.message) == (state, "because")


def test_a_run_that_was_killed_and_resumed_is_running_again(tmp_path: Path) -> None:
    clock = Hands()
    run(tmp_path, clock).close("interrupted")
    clock.now += 5000.0
    run(tmp_path, clock, resumed_from=6, last=8)
    found = summary(tmp_path, clock.now)
    assert found.state == "running"
    assert found.step == 8
    assert found.held_out_step == 5  # the evaluation at step 10 is done again
    assert found.speed == pytest.approx(32.0)  # the pause is not counted


def test_a_process_that_has_just_resumed_stands_at_its_checkpoint(tmp_path: Path) -> None:
    clock = Hands()
    run(tmp_path, clock)
    run(tmp_path, clock, resumed_from=6, last=6)
    found = summary(tmp_path, clock.now)
    assert (found.step, found.loss, found.speed, found.time_left) == (6, 4.0 / 6, None, None)


def test_a_loss_that_is_not_finite_is_shown(tmp_path: Path) -> None:
    clock = Hands()
    telemetry = run(tmp_path, clock)
    telemetry.write("step", 11, loss=math.nan)
    assert math.isnan(summary(tmp_path, clock.now).loss or 0.0)


def test_garbage_is_not_fatal(tmp_path: Path) -> None:
    clock = Hands()
    run(tmp_path, clock)
    with open(tmp_path / "telemetry-0001.jsonl", "ab") as file:
        file.write(b"\xff\n{}\n")
    assert summary(tmp_path, clock.now).step == 10


def test_a_long_run_is_summarised_from_its_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hands()
    run(tmp_path, clock, last=2000, parameters=7)
    looked_at = 0

    def counted(folder: Path) -> Iterator[Record]:
        nonlocal looked_at
        for record in read_backwards(folder):
            looked_at += 1
            yield record

    monkeypatch.setattr(summary_module, "read_backwards", counted)
    found = summary(tmp_path, clock.now)
    assert (found.step, found.held_out_step, found.parameters, found.state) == (2000, 2000, 7, "running")
    assert looked_at < 100


def test_an_end_of_an_earlier_process_is_not_the_end_of_this_one(tmp_path: Path) -> None:
    clock = Hands()
    run(tmp_path, clock).close("diverged")
    Writer(tmp_path, clock=clock, heartbeat_seconds=None).write("run_start", 10, resumed_from_step=10)
    assert summary(tmp_path, clock.now).state == "running"


def test_a_heart_that_beats_hides_no_stall(tmp_path: Path) -> None:
    clock = Hands()
    telemetry = run(tmp_path, clock)
    clock.now += 20.0
    telemetry.beat()
    assert summary(tmp_path, clock.now + 1).state == "stalled"


def test_a_pause_as_long_as_the_last_evaluation_is_no_stall(tmp_path: Path) -> None:
    clock = Hands()
    telemetry = run(tmp_path, clock)
    telemetry.write("eval", 10, loss=1.0, seconds=40.0)
    assert summary(tmp_path, clock.now + 70).state == "running"
    assert summary(tmp_path, clock.now + 90).state == "stalled"


def test_a_process_that_has_not_shown_its_pace_gets_a_minute(tmp_path: Path) -> None:
    clock = Hands()
    run(tmp_path, clock, last=3)
    assert summary(tmp_path, clock.now + UNKNOWN_SECONDS - 1).state == "running"
    assert summary(tmp_path, clock.now + UNKNOWN_SECONDS + 1).state == "stalled"
