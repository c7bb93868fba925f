"""`think handoff` from the outside: words, exit codes, files; and the whole workflow as a script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from think.cli.app import run
from think.core.errors import Exit
from think.core.handoff import log

ROOT = Path(__file__).parents[2]
PYTHON = json.dumps(sys.executable)

BACKLOG = f"""\
# A project

## Claims
- A is better than B

## T1 First
- why: because
- check: [{PYTHON}, "check.py"]
- files: a.txt

## T2 Second
- depends: T1
- check (exit 3): [{PYTHON}, "-c", "raise SystemExit(3)"]

## T3 Third
- check: [{PYTHON}, "-c", "pass"]
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of one's own, and nothing of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("THINK_OWNER", "agent-a")
    monkeypatch.delenv("THINK_RUNS", raising=False)
    Path("backlog.md").write_text(BACKLOG)
    Path("a.txt").write_text("a")
    Path("check.py").write_text("print('all is well')")


def handoff(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """Exit code, envelope, and what was said on stderr."""
    capsys.readouterr()
    code = run(["handoff", *words, "--json"])
    out, said = capsys.readouterr()
    return code, json.loads(out), said


def entered(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The data of a command that must do."""
    code, envelope, said = handoff(capsys, *words)
    assert (code, envelope["ok"]) == (0, True), said
    return envelope["data"]


@pytest.fixture
def begun(capsys: pytest.CaptureFixture[str]) -> None:
    entered(capsys, "init", "backlog.md")


def state() -> Any:
    return log.read(Path("handoff"))


# ---- the way through ----------------------------------------------------------------------------------------------


def test_no_log_is_66_and_the_next_command_is_named(capsys):
    for words in ([], ["status"], ["next"], ["log"], ["check"], ["render"], ["start"], ["end", *SUMMARY]):
        code, envelope, _ = handoff(capsys, *words)
        assert code == Exit.MISSING, words
        assert "think handoff init" in envelope["error"]["remedy"]
    assert not Path("handoff").exists()


SUMMARY = ["--status", "half", "--next", "the rest", "--gotchas", "none"]


def test_a_task_goes_from_the_backlog_to_done(capsys, begun):
    started = entered(capsys, "start")
    assert started["active"] == "T1"
    code, _, said = handoff(capsys, "done", "--token", started["token"])
    assert code == Exit.NO_VERDICT
    assert "check.py" in said
    assert state().events == 2  # nothing ran, nothing was entered
    done = entered(capsys, "done", "T1", "--approve", "--token", started["token"])
    assert (done["done"], done["evidence"], done["results"][0]["tail"]) == (True, "E1", "all is well\n")
    assert state().tasks["T1"].digests == {"a.txt": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}
    assert entered(capsys, "next")["task"]["id"] == "T2"
    assert entered(capsys, "check")["findings"] == []


def test_done_is_refused_while_a_check_fails_and_what_it_said_is_kept(capsys, begun):
    Path("check.py").write_text("raise SystemExit('two documents are torn')")
    entered(capsys, "start")
    code, envelope, _ = handoff(capsys, "done", "--approve")
    assert (code, envelope["ok"], envelope["data"]["done"]) == (1, False, False)
    assert "two documents are torn" in envelope["data"]["results"][0]["tail"]
    assert str(state().tasks["T1"].status) == "active"
    assert state().evidence["E1"].passed is False


def test_an_expected_exit_code_that_is_not_zero(capsys, begun):
    entered(capsys, "start", "T2", "--reason", "T1 needs data")
    code, envelope, _ = handoff(capsys, "done", "--approve")
    assert (code, "waits for T1" in envelope["error"]["message"]) == (Exit.USAGE, True)
    entered(capsys, "drop", "T2", "--reason", "another way")
    entered(capsys, "start")
    entered(capsys, "done", "--approve")


def test_a_check_that_hangs_is_ended_and_is_no_pass(capsys):
    Path("slow.md").write_text(f'## T1 Slow\n- check (0.5 s): [{PYTHON}, "-c", "import time; time.sleep(600)"]\n')
    entered(capsys, "init", "slow.md")
    entered(capsys, "start")
    code, envelope, _ = handoff(capsys, "done", "--approve")
    assert code == 1
    assert "still running after 0.5 s" in envelope["data"]["results"][0]["why"]


def test_files_that_change_while_the_checks_run_are_no_pass(capsys, begun):
    Path("check.py").write_text("open('a.txt', 'a').write('more')")
    entered(capsys, "start")
    code, envelope, _ = handoff(capsys, "done", "--approve")
    assert (code, "a.txt changed while the checks ran" in envelope["error"]["message"]) == (Exit.LOCKED, True)
    assert state().active == "T1"


def test_a_changed_file_is_shown_before_it_is_entered_and_done_again_heals_it(capsys, begun):
    entered(capsys, "start")
    entered(capsys, "done", "--approve")
    Path("a.txt").write_text("b")
    (first, *_) = entered(capsys, "status")["tasks"]
    assert (first["status"], first["changed"]) == ("done", ["a.txt"])
    assert handoff(capsys, "check")[0] == 1
    assert state().events == 3  # looking enters nothing
    (first, *_) = entered(capsys, "status", "--refresh")["tasks"]
    assert first["status"] == "stale"
    assert entered(capsys, "next")["command"] == "think handoff done T1"
    entered(capsys, "done", "T1")
    assert handoff(capsys, "check")[0] == 0


def test_a_command_that_goes_on_enters_stale_tasks_by_itself(capsys, begun):
    entered(capsys, "start")
    entered(capsys, "done", "--approve")
    Path("a.txt").unlink()
    _, _, said = handoff(capsys, "start", "T3", "--reason", "T1 is looked at later")
    assert "T1 is stale: a.txt changed" in said
    assert str(state().tasks["T1"].status) == "stale"


def test_a_named_file_that_is_not_there_stops_done(capsys, begun):
    entered(capsys, "start")
    Path("a.txt").unlink()
    assert handoff(capsys, "done", "--approve")[0] == Exit.MISSING


def test_block_unblock_split_and_drop(capsys, begun):
    entered(capsys, "start")
    assert handoff(capsys, "block", "--reason", "no data")[0] == Exit.USAGE
    entered(capsys, "block", "--reason", "no data", "--unblocks", "the pack is made")
    assert entered(capsys, "next")["blocked"] == ["T1: no data (unblocks: the pack is made)"]
    assert handoff(capsys, "unblock", "T1")[0] == Exit.USAGE
    entered(capsys, "unblock", "T1", "--how", "it is made")
    Path("parts.md").write_text("## T1.1 Half\n- check: true\n")
    assert handoff(capsys, "split", "parts.md", "--task", "T1")[0] == Exit.USAGE
    entered(capsys, "split", "parts.md", "--task", "T1", "--reason", "too large")
    assert list(state().tasks) == ["T1.1", "T1", "T2", "T3"]
    assert handoff(capsys, "drop", "T1.1")[0] == Exit.USAGE
    entered(capsys, "drop", "T1.1", "--reason", "not needed")
    assert str(state().tasks["T1.1"].status) == "dropped"


def test_tokens_hold_off_whoever_lost_the_task(capsys, begun):
    entered(capsys, "start")
    Path("parts.md").write_text("## T1.1 Half\n- check: true\n")
    for words in (
        ["progress", "note"],
        ["block", "--reason", "r", "--unblocks", "u"],
        ["drop", "T1", "--reason", "r"],
        ["split", "parts.md", "--reason", "r"],
        ["done"],
    ):
        code, envelope, _ = handoff(capsys, *words, "--token", "of somebody else")
        assert (code, "token" in envelope["error"]["message"]) == (Exit.LOCKED, True), words
    assert state().events == 2


def test_taking_over_needs_time_or_force(capsys, begun):
    entered(capsys, "start", "--lease", "2h")
    assert handoff(capsys, "start", "--owner", "agent-b")[0] == Exit.LOCKED
    assert handoff(capsys, "start", "--owner", "agent-b", "--force")[0] == Exit.USAGE
    data = entered(capsys, "start", "--owner", "agent-b", "--force", "--reason", "agent-a is gone")
    assert data["lease"]["owner"] == "agent-b"
    assert "took T1 over from **agent-a**, by force: agent-a is gone" in " ".join(
        Path("HANDOFF.md").read_text().split()
    )
    assert any("taken over from agent-a (forced)" in line for line in shown(capsys, "log"))


def shown(capsys, *words):
    capsys.readouterr()
    assert run(["handoff", *words]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("lease", ["1", "0s", "200h", "soon", "-5min"])
def test_a_lease_that_is_none(capsys, begun, lease):
    assert handoff(capsys, "start", f"--lease={lease}")[0] == Exit.USAGE


def test_a_session_ends_with_a_summary(capsys, begun):
    entered(capsys, "start")
    assert handoff(capsys, "end", "--status", "half", "--next", "the rest")[0] == Exit.USAGE
    entered(capsys, "end", *SUMMARY, "--worked-on", "the first half")
    last = entered(capsys, "next")["last_session"]
    assert last == {"owner": "agent-a", "status": "half", "next": "the rest", "gotchas": "none"}
    assert "- Worked on: the first half" in Path("HANDOFF.md").read_text()


# ---- evidence -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny() -> None:
    from think.core.runs import RunFolder
    from think.core.telemetry.writer import Writer

    for name in ("tiny", "other"):
        run_folder = RunFolder.create(Path("runs"), name)
        with Writer(run_folder.path) as telemetry:
            telemetry.write("run_start", step=0, stage="stage1", seed=5, steps=10)
            telemetry.write("eval", step=10, split="held_out", loss=1.25, tokens=4096, interval=[1.1, 1.4])


def test_a_claim_moves_from_not_tested_to_its_runs(capsys, begun, tiny):
    assert "| C1 A is better than B | **NOT TESTED**" in Path("HANDOFF.md").read_text()
    data = entered(capsys, "progress", "--claim", "C1", "--run", "tiny", "--run", "other")
    assert data["evidence"] == ["E1", "E2"]
    row = next(line for line in Path("HANDOFF.md").read_text().splitlines() if line.startswith("| C1"))
    for said in ("E1", "tiny", "| 5 |", "1.2500", "n = 4,096", "95 % 1.1 to 1.4"):
        assert said in row
    entered(capsys, "progress", "--claim", "Another", "--evidence", "E2")
    assert state().claims["C2"].evidence == ("E2",)
    entered(capsys, "progress", "--retract", "E1", "--why", "the wrong data")
    assert "E1 was taken back: the wrong data" in Path("HANDOFF.md").read_text()
    assert handoff(capsys, "check", "--evidence")[0] == 0
    next(Path("runs/other").glob("telemetry*")).unlink()
    assert handoff(capsys, "check")[0] == 0
    assert handoff(capsys, "check", "--evidence")[0] == Exit.NO_VERDICT


def test_a_verdict_is_entered_and_stands_on_the_board(capsys, begun, tiny):
    from think.core.gates import store
    from think.core.gates.evidence import Source
    from think.core.gates.verdict import Finding, Status, Verdict

    finding = Finding("gap", Status.FAIL, "gap 0.3", "at most 0.2", value=0.3, count=9)
    stored = store.Stored("g3", Verdict.of([finding]), {}, "abc", None, Source(), "2030-05-01T12:00:00Z")
    assert handoff(capsys, "progress", "--gate", "g3", "--run", "tiny")[0] == Exit.MISSING
    store.append(Path("runs/tiny/gates.jsonl"), stored)
    store.append(Path("runs/.gates.jsonl"), stored)
    entered(capsys, "progress", "--gate", "g3", "--run", "tiny")
    entered(capsys, "progress", "--gate", "g3")
    gates = entered(capsys, "status")["gates"]
    assert [(gate["gate"], gate["run"], gate["verdict"]) for gate in gates] == [
        ("g3", None, "FAIL"),
        ("g3", "tiny", "FAIL"),
    ]


def test_what_is_entered_beside_the_task(capsys, begun):
    entered(capsys, "start")
    entered(capsys, "progress", "lines depend on each other", "--wrong", "lines are independent")
    entered(capsys, "progress", "for later", "--task", "T3")
    entered(capsys, "progress", "--deprecated", "old.txt", "--why", "never made")
    text = Path("HANDOFF.md").read_text()
    assert "WRONG ASSUMPTION: lines are independent. Now known: lines depend on each other" in text
    assert "| `old.txt` | never made |" in text
    assert state().tasks["T3"].notes[0].text == "for later"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--wrong", "x"],
        ["--deprecated", "x"],
        ["note", "--why", "x"],
        ["--retract", "C9", "--why", "x"],
        ["--evidence", "E1"],
        ["--claim", "x", "--evidence", "E9"],
        ["note"],
        ["note", "--task", "T9"],
    ],
)
def test_progress_that_says_nothing_is_refused(capsys, begun, words):
    assert handoff(capsys, "progress", *words)[0] == Exit.USAGE
    assert state().events == 1


def test_a_note_that_claims_without_evidence_is_warned_of_and_fails_the_check(capsys, begun):
    code, envelope, _ = handoff(capsys, "progress", "G3 PASSED (6.09, acceptable)", "--task", "T3")
    assert (code, len(envelope["warnings"])) == (0, 1)
    code, envelope, _ = handoff(capsys, "check")
    (found,) = envelope["data"]["findings"]
    assert (code, found["where"]) == (1, "event 2")
    entered(capsys, "progress", "--retract", "2", "--why", "it was not")
    assert handoff(capsys, "check")[0] == 0


# ---- the log ------------------------------------------------------------------------------------------------------


def test_more_tasks_come_with_a_reason(capsys, begun):
    Path("more.md").write_text("## T4 Fourth\n- depends: T3\n- check: true\n")
    assert handoff(capsys, "init", "more.md")[0] == Exit.USAGE
    assert handoff(capsys, "init", "more.md", "--add")[0] == Exit.USAGE
    entered(capsys, "init", "more.md", "--add", "--reason", "found on the way")
    assert list(state().tasks) == ["T1", "T2", "T3", "T4"]
    assert handoff(capsys, "init", "more.md", "--add", "--reason", "again")[0] == Exit.BAD_DATA


def test_a_task_that_depends_on_itself_makes_no_log(capsys):
    Path("bad.md").write_text("## T1 Itself\n- check: true\n- depends: T1\n")
    code, envelope, _ = handoff(capsys, "init", "bad.md")
    assert (code, envelope["error"]["where"]) == (Exit.BAD_DATA, "bad.md:1")
    assert not Path("handoff").exists()


def test_the_log_shows_the_newest_events_of_a_task(capsys, begun):
    entered(capsys, "start")
    for number in range(4):
        entered(capsys, "progress", f"note {number}")
    data = entered(capsys, "log", "--task", "T1", "--last", "2")
    assert [event["data"]["text"] for event in data["events"]] == ["note 2", "note 3"]
    assert data["left_out"] == 3
    assert len(entered(capsys, "log", "--last", "0")["events"]) == 6
    assert "3 earlier events" in shown(capsys, "log", "--task", "T1", "--last", "2")[0]


def think(*words: str, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "think", "handoff", *words], stdout=subprocess.PIPE, text=True, **more
    )


def test_the_log_can_be_followed_as_it_grows(capsys, begun):
    with think("log", "--follow", "--json") as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["kind"] == "init"
        entered(capsys, "progress", "a\x1bnote", "--task", "T3")
        line = follower.stdout.readline()
        assert json.loads(line)["data"]["text"] == "a\x1bnote"
        assert "\x1b" not in line
        follower.terminate()
        assert follower.wait() == Exit.TERMINATED


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda content: content.replace(b"Second", b"Sacond"), "events.jsonl:1"),
        (lambda content: content[: -len(content) // 8], "events.jsonl:3"),
        (lambda content: b"", "events.jsonl:1"),
        (lambda content: b"\x00" * 5000, "events.jsonl:1"),
    ],
    ids=["edited", "cut", "empty", "garbage"],
)
def test_a_damaged_log_is_bad_data_for_every_command_and_is_left_alone(capsys, begun, damage, where):
    for _ in range(2):
        entered(capsys, "progress", "a note", "--task", "T3")
    path = Path("handoff/events.jsonl")
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    for words in (["start"], ["next"], ["check"], ["render"], ["end", *SUMMARY], ["progress", "--claim", "x"]):
        code, envelope, _ = handoff(capsys, *words)
        assert code == Exit.BAD_DATA, words
        assert envelope["error"]["where"].endswith(where)
        assert envelope["error"]["remedy"]
    assert path.read_bytes() == damaged


def test_what_is_sound_in_a_damaged_log_is_still_shown(capsys, begun):
    entered(capsys, "progress", "a note", "--task", "T3")
    path = Path("handoff/events.jsonl")
    path.write_bytes(path.read_bytes().replace(b"a note", b"a lie!"))
    code, envelope, said = handoff(capsys, "status")
    assert (code, envelope["ok"], len(envelope["data"]["tasks"])) == (0, False, 3)
    assert "line 2" in said
    assert len(entered(capsys, "log")["events"]) == 1


def test_a_damaged_log_can_be_mended_for_a_reason(capsys, begun):
    entered(capsys, "progress", "a note", "--task", "T3")
    path = Path("handoff/events.jsonl")
    path.write_bytes(path.read_bytes().replace(b"a note", b"a lie!"))
    assert handoff(capsys, "check", "--mend")[0] == Exit.USAGE
    assert handoff(capsys, "check", "--reason", "x")[0] == Exit.USAGE
    code, _, said = handoff(capsys, "check", "--mend", "--reason", "an editor was in it")
    assert (code, "broken-" in said) == (0, True)
    assert "The log was repaired" in Path("HANDOFF.md").read_text()


def test_an_edited_file_is_found_and_rendering_sets_it_aside(capsys, begun):
    text = Path("HANDOFF.md").read_text()
    Path("HANDOFF.md").write_text(text.replace("**NOT TESTED**", "**PROVEN**"))
    code, envelope, _ = handoff(capsys, "check")
    assert (code, "section evidence" in envelope["data"]["findings"][0]["text"]) == (1, True)
    data = entered(capsys, "render")
    assert "PROVEN" in Path(data["aside"]).read_text()
    assert Path("HANDOFF.md").read_text() == text


def test_another_folder(capsys):
    for words in (
        ["init", "backlog.md"], ["start"], ["progress", "note"], ["status"], ["next"], ["log"], ["check"], ["render"],
        ["block", "--reason", "r", "--unblocks", "u"], ["unblock", "T1", "--how", "h"], ["drop", "T1", "--reason", "r"],
        ["end", *SUMMARY],
    ):  # fmt: skip
        entered(capsys, *words, "--folder", "deep/log")
    Path("parts.md").write_text("## T2.1 Part\n- check: true\n")
    entered(capsys, "split", "parts.md", "--task", "T2", "--reason", "r", "--folder", "deep/log")
    entered(capsys, "start", "T2.1", "--folder", "deep/log")
    entered(capsys, "done", "--approve", "--folder", "deep/log")
    assert Path("deep/HANDOFF.md").exists()
    assert not Path("handoff").exists()


def test_a_folder_that_cannot_be_written_is_74_and_can_still_be_read(capsys, begun, monkeypatch):
    real = os.open

    def read_only(path: Any, flags: int, *mode: int, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and "handoff" in str(path):
            raise OSError(30, "Read-only file system", str(path))
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", read_only)
    assert handoff(capsys, "start")[0] == Exit.INPUT_OUTPUT
    for words in ([], ["next"], ["log"], ["check"]):
        assert handoff(capsys, *words)[0] == 0
    assert state().events == 1


# ---- who, and how it looks ----------------------------------------------------------------------------------------


def test_nobody_is_guessed(capsys, begun, monkeypatch):
    monkeypatch.delenv("THINK_OWNER")
    code, envelope, _ = handoff(capsys, "start")
    assert (code, "--owner NAME" in envelope["error"]["remedy"]) == (Exit.USAGE, True)
    assert handoff(capsys, "next")[0] == 0  # looking needs no name
    config = Path("config/think/config.toml")
    config.parent.mkdir(parents=True)
    config.write_text("owner = 'agent-c'")
    assert entered(capsys, "start")["lease"]["owner"] == "agent-c"
    Path("think.toml").write_text("owner = 'everybody'")
    code, envelope, _ = handoff(capsys, "next")
    assert (code, envelope["error"]["where"]) == (Exit.BAD_SETTINGS, "think.toml")


def test_every_command_takes_a_name(capsys):
    who = ["--owner", "agent-b"]
    Path("parts.md").write_text("## T2.1 Part\n- check: true\n")
    for words in (
        ["init", "backlog.md"], ["start"], ["progress", "note"], ["done", "--approve"], ["status", "--refresh"],
        ["next"], ["block", "T3", "--reason", "r", "--unblocks", "u"], ["unblock", "T3", "--how", "h"],
        ["split", "parts.md", "--task", "T2", "--reason", "r"], ["drop", "T3", "--reason", "r"], ["end", *SUMMARY],
    ):  # fmt: skip
        entered(capsys, *words, *who)
    assert {session.owner for session in state().sessions} == {"agent-b"}
    path = Path("handoff/events.jsonl")
    path.write_bytes(path.read_bytes()[:-10])
    entered(capsys, "check", "--mend", "--reason", "cut", *who)
    assert state().sessions[-1].owner == "agent-b"


def test_the_state_at_a_glance(capsys, begun):
    entered(capsys, "start")
    entered(capsys, "progress", "\x1b[31mred\x07 and loud", "--wrong", "quiet")
    text = "\n".join(shown(capsys))
    assert "active: T1 First (held by agent-a, until" in text
    assert "1 of 1 claims NOT TESTED" in text
    assert "\x1b" not in text
    assert "\\x1b[31mred\\x07" in text
    assert text == "\n".join(shown(capsys, "status"))
    assert shown(capsys, "next")[0] == "go on: T1 First"


@pytest.mark.parametrize("title", ["x" * 100_000, "\U0001f600" * 20_000, "\x1b" * 30_000, '"\\' * 30_000])
def test_next_is_at_most_two_kilobytes(capsys, title):
    Path("long.md").write_text(
        f"# t\n\n## T1 a{title}\n- why: {title}\n- check: {json.dumps(['true', title[:9000]])}\n"
    )
    entered(capsys, "init", "long.md")
    capsys.readouterr()
    assert run(["handoff", "next", "--json"]) == 0
    out = capsys.readouterr().out
    assert len(out.encode()) <= 2000
    assert "[cut]" in out
    assert json.loads(out)["data"]["command"] == "think handoff start T1"


def test_nothing_heavy_is_loaded():
    program = (
        "import sys; from think.cli.app import run; run(['handoff', 'init', 'backlog.md', '--owner', 'x']); "
        "run(['handoff']); run(['handoff', 'start', '--owner', 'x']); run(['handoff', 'check']); "
        "print(sorted({'torch', 'numpy', 'pydantic_settings', 'textual', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_ids_are_completed(capsys, begun):
    from think.cli.handoff_desk import task_ids

    assert task_ids("T") == ["T1", "T2", "T3"]
    assert task_ids("x") == []


# ---- the workflow -------------------------------------------------------------------------------------------------

MOMENTS = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"), "2030-01-31 12:00 UTC"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "0" * 64),
)


def timeless(text: str) -> str:
    for pattern, constant in MOMENTS:
        text = pattern.sub(constant, text)
    return text


@pytest.mark.slow
def test_the_workflow_of_the_documentation_gives_the_file_that_is_shown_there(tmp_path):
    folder = tmp_path / "example"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THINK_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["sh", str(ROOT / "docs" / "handoff_example.sh")], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    made = timeless((folder / "HANDOFF.md").read_text())
    page = (ROOT / "docs" / "handoff.md").read_text(encoding="utf-8")
    assert f"\n````markdown\n{made}````\n" in page, made
    owners = [event.actor.owner for event in log.events(folder / "handoff")]
    assert {"agent-a", "agent-b"} == set(owners)


@pytest.mark.slow
def test_a_gate_as_a_check_is_judged_and_stands_on_the_board(capsys):
    Path("gates.md").write_text("## T1 Trust the parts\n- gate: g0 preset=cpu_smoke\n")
    entered(capsys, "init", "gates.md")
    entered(capsys, "start")
    done = entered(capsys, "done", "--approve")
    assert done["done"], done["results"]
    (gate,) = entered(capsys, "status")["gates"]
    assert (gate["gate"], gate["run"], gate["verdict"]) == ("g0", None, "PASS")
    assert handoff(capsys, "check", "--evidence")[0] == 0
