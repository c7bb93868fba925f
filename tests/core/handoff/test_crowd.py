"""Many writers at once lose nothing, and never make two tasks active."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from think.core.handoff import log
from think.core.handoff.events import Draft
from think.core.handoff.writer import Writer

WRITERS = 8
TASKS = 24

PROGRAM = """
import itertools, sys
from pathlib import Path
from think.core.errors import Locked, UsageError
from think.core.handoff import rules, turns
from think.core.handoff.writer import Writer

folder, owner, wanted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
writer = Writer(folder, owner, patience=120.0)
sys.stdin.readline()  # all begin together
made = refused = 0
for turn in itertools.count():
    if made == wanted:
        break
    tries = (
        lambda state: turns.start(state, owner=owner, now=turn, token=f"{owner}-{turn}", seconds=1e9),
        lambda state: rules.progress(state, owner=owner, note=f"{owner} {turn}"),
        lambda state: rules.block(state, owner=owner, reason="waits", unblocks="time"),
        lambda state: rules.unblock(state, id=state.blocked()[0].id, how="time") if state.blocked() else [],
        lambda state: rules.progress(state, owner=owner, claim=f"{owner} {turn}"),
    )
    try:
        made += len(writer.append(tries[turn % len(tries)]))
    except (Locked, UsageError):
        refused += 1
print(made, refused)
"""


def task(id: str) -> dict[str, object]:
    check = {"arguments": ["true"], "exit": 0, "seconds": 1.0, "gate": None, "run": None}
    return {"id": id, "title": id, "why": "", "checks": [check], "depends": [], "files": []}


def crowd(folder: Path, each: int) -> list[list[int]]:
    """Let WRITERS processes make `each` events at once; what every one counted: made, refused."""
    tasks = [task(f"T{number}") for number in range(1, TASKS + 1)]
    empty: list[str] = []
    Writer(folder, "founder").begin(
        Draft("init", {"title": "t", "root": "r", "rules": empty, "tasks": tasks, "claims": empty, "deprecated": empty})
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), f"w{number}", str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(WRITERS)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    answers = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * WRITERS
    return [[int(word) for word in answer.split()] for answer in answers]


def assert_sound(folder: Path, events: int) -> None:
    """Read the file with nothing of ours: every line hashes, follows the one before, and one task at most is active."""
    previous, active = "0" * 64, None
    lines = (folder / "events.jsonl").read_bytes().splitlines()
    assert len(lines) == events
    for number, line in enumerate(lines, start=1):
        event = json.loads(line)
        body = line[line.index(b'"previous"') :]
        assert hashlib.sha256(body).hexdigest() == event["sha256"]
        assert (event["previous"], event["seq"]) == (previous, number)
        previous = event["sha256"]
        if event["kind"] == "start":
            assert active is None, f"line {number} starts {event['task']} while {active} is active"
            active = event["task"], event["actor"]["owner"]
        if event["kind"] == "block":
            assert active == (event["task"], event["actor"]["owner"]), f"line {number} blocks what it does not hold"
            active = None
    state = log.read(folder)
    assert (state.events, state.head, state.problems) == (events, previous, ())
    assert state.active == (active[0] if active else None)


@pytest.mark.slow
def test_eight_writers_of_a_thousand_events_each_lose_nothing(tmp_path):
    answers = crowd(tmp_path / "handoff", 1000)
    assert [made for made, _ in answers] == [1000] * WRITERS
    assert sum(refused for _, refused in answers) > 0, "nobody ever met a task that was held"
    assert_sound(tmp_path / "handoff", 8 * 1000 + 1)


def test_eight_writers_at_once_lose_nothing(tmp_path):
    assert [made for made, _ in crowd(tmp_path / "handoff", 20)] == [20] * WRITERS
    assert_sound(tmp_path / "handoff", 8 * 20 + 1)
