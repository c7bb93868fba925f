"""The runner, with small programs in the place of training."""

import signal
import sys
from pathlib import Path

import pytest

from tests.core.ablations.conftest import Made
from think.core.ablations.run import Outcome, Runner, Seen
from think.core.errors import Interrupted

FAILS = """
import json, sys
print(json.dumps({"error": {"message": "the loss of step 3 is nan", "where": "here"}}))
sys.exit(4)
"""

WAITS = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
print("ready", file=sys.stderr, flush=True)
while True:
    time.sleep(60)
"""


def runner(made: Made, program: str, **other: object) -> Runner:
    return Runner(made.study, made.root, (sys.executable, "-c", program), **other)  # type: ignore[arg-type]


def begun(made: Made) -> int:
    return sum('"event": "begun"' in line for line in made.ledger.path.read_text().splitlines())


def test_a_failure_is_recorded_the_others_go_on_and_only_a_retry_repeats_it(root: Path) -> None:
    made = Made(root, ("base", "other"), (0,))
    said: list[str] = []
    outcome = runner(made, FAILS, say=said.append).run(made.cells)
    assert len(outcome.failed) == 2
    assert set(outcome.failed.values()) == {"the loss of step 3 is nan at here"}
    assert len(said) == 2
    entry = made.ledger.read().of(made.cell("base", 0).id)
    assert (entry.state, entry.exit, entry.message) == ("failed", 4, "the loss of step 3 is nan at here")
    assert begun(made) == 2
    assert runner(made, FAILS).run(made.cells).failed == outcome.failed
    assert begun(made) == 2
    runner(made, FAILS, retry=True).run(made.cells)
    assert begun(made) == 4


def test_a_program_that_is_killed_is_stopped_and_not_failed(root: Path) -> None:
    made = Made(root, ("base",), (0,))
    outcome = runner(made, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)").run(made.cells)
    assert list(outcome.failed.values()) == ["killed by SIGKILL"]
    assert made.ledger.read().of(made.cell("base", 0).id).state == "stopped", "it goes on when it is run again"


def test_what_is_finished_is_not_run(root: Path) -> None:
    made = Made(root, ("base", "other"), (0,))
    made.losses({"base": [3.0], "other": [2.0]})
    outcome = runner(made, FAILS).run(made.cells)
    assert (len(outcome.already), outcome.failed) == (2, {})
    assert begun(made) == 0


def test_no_cell_is_begun_after_the_time_given(root: Path) -> None:
    made = Made(root, ("base", "other"), (0, 1))
    made.finish("base", 0, 3.0)
    times = iter([0.0, 59.0, 60.0, 61.0])
    outcome = runner(made, FAILS, seconds=60.0, clock=lambda: next(times)).run(made.cells)
    assert (len(outcome.already), len(outcome.failed), len(outcome.left)) == (1, 1, 2)


def test_an_interrupt_is_handed_on_and_the_ledger_says_stopped(root: Path) -> None:
    made = Made(root, ("base", "other"), (0,))
    asked = []

    def watch(seen: Seen) -> None:
        log = made.root / "cells" / f"{made.cell('base', 0).name}.log"
        if not asked and log.is_file() and "ready" in log.read_text():
            asked.append(True)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="0 of 2 cells"):
        runner(made, WAITS, watch=watch).run(made.cells)
    entry = made.ledger.read().of(made.cell("base", 0).id)
    assert (entry.state, entry.exit) == ("stopped", 130)
    assert made.ledger.read().of(made.cell("other", 0).id).state == "absent"


def test_a_cell_in_other_hands_is_passed_over_until_it_is_free(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("think.core.ablations.run.WAIT_SECONDS", 0.0)
    made = Made(root, ("base", "other"), (0,))
    held = made.ledger.claim(made.cell("base", 0).name)
    held.__enter__()
    order: list[str] = []

    def watch(seen: Seen) -> None:
        if "another process" in seen.note:
            made.finish("base", 0, 3.0)  # the other runner did it
            held.__exit__(None, None, None)
        order.append(seen.note)

    outcome: Outcome = runner(made, FAILS, watch=watch).run(made.cells)
    assert [name[:4] for name in outcome.already] == ["base"]
    assert [name[:5] for name in outcome.failed] == ["other"]
    assert order[0].startswith("other")


def test_a_training_that_left_no_run_does_not_count(root: Path) -> None:
    made = Made(root, ("base",), (0,))
    outcome = runner(made, "pass").run(made.cells)
    assert list(outcome.failed.values()) == ["the run has no settings"]
    assert made.ledger.read().of(made.cell("base", 0).id).state == "failed"
