"""The ledger under writers that are killed, and under several at once."""

import json
import multiprocessing
from pathlib import Path

import pytest

from tests.core.ablations.conftest import Made
from think.core.ablations.ledger import Ledger
from think.core.errors import InputOutput


def test_events_fold_to_the_state_of_each_cell(root: Path) -> None:
    made = Made(root, ("base", "other"), (0,))
    made.ledger.append("begun", made.facts("base", 0))
    assert made.ledger.read().of(made.cell("base", 0).id).state == "begun"
    made.ledger.append("stopped", made.facts("base", 0, seconds=2.0))
    made.ledger.append("begun", made.facts("base", 0))
    made.finish("base", 0, 3.0)
    entry = made.ledger.read().of(made.cell("base", 0).id)
    assert (entry.state, entry.figures["held_out_loss"], entry.seconds) == ("finished", 3.0, 3.0)
    assert made.ledger.read().of("unknown").state == "absent"


def test_what_is_finished_stays_finished_and_may_be_measured_again(root: Path) -> None:
    made = Made(root, ("base",), (0,))
    made.finish("base", 0, 3.0)
    made.ledger.append("begun", made.facts("base", 0))
    made.ledger.append("failed", made.facts("base", 0, message="too late"))
    made.ledger.append(
        "measured", {"cell": made.cell("base", 0).id, "figures": {"parity": 0.5}, "measures": ["tracking"]}
    )
    entry = made.ledger.read().of(made.cell("base", 0).id)
    assert entry.state == "finished"
    assert entry.figures == {"held_out_loss": 3.0, "tokens_per_second": 100.0, "parity": 0.5}
    assert entry.measures == ["tracking", "training"]


@pytest.mark.parametrize("kept", range(0, 200, 17))
def test_a_line_torn_by_a_kill_costs_that_event_only(root: Path, kept: int) -> None:
    made = Made(root, ("base", "other"), (0,))
    made.finish("base", 0, 3.0)
    whole = made.ledger.path.read_bytes()
    made.ledger.path.write_bytes(whole + whole[:kept])
    assert made.ledger.read().of(made.cell("base", 0).id).state == "finished"
    made.finish("other", 0, 2.0)
    contents = made.ledger.read()
    assert contents.of(made.cell("other", 0).id).figures["held_out_loss"] == 2.0
    assert contents.garbage == (1 if kept else 0)


@pytest.mark.parametrize(
    "line", ["{}", "[]", "5", '{"event": "finished", "cell": "x"}', '{"event": "dance", "cell": "x"}', "\xff"]
)
def test_lines_that_are_no_events_are_counted_and_passed_over(root: Path, line: str) -> None:
    made = Made(root, ("base",), (0,))
    made.finish("base", 0, 3.0)
    with made.ledger.path.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    contents = made.ledger.read()
    assert contents.garbage == 1
    assert len(contents.entries) == 1


def _write_many(folder: str, who: int) -> None:
    ledger = Ledger(Path(folder))
    for count in range(50):
        ledger.append("begun", {"cell": f"{who}-{count}", "note": "x" * 3000})


def test_two_writers_lose_no_line(root: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(str(root), who)) for who in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = [json.loads(line) for line in (root / "ledger.jsonl").read_text().splitlines()]
    assert {line["cell"] for line in lines} == {f"{who}-{count}" for who in range(2) for count in range(50)}


def test_a_cell_is_claimed_by_one_at_a_time_and_freed_by_death(root: Path) -> None:
    ledger = Ledger(root)
    with ledger.claim("cell") as first, ledger.claim("cell") as second, ledger.claim("another") as other:
        assert (first, second, other) == (True, False, True)
    with ledger.claim("cell") as again:
        assert again


def test_the_first_budget_of_a_key_counts(root: Path) -> None:
    ledger = Ledger(root)
    for steps in (100, 200):
        ledger.append("budget", {"key": "k", "steps": steps, "tokens_per_second": 5.0})
    assert ledger.read().budgets["k"]["steps"] == 100


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputOutput, match="ledger"):
        Ledger(tmp_path / "file").append("begun", {"cell": "x"})
