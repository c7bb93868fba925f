"""Acceptance checks: what ran, how it ended, and that nothing of it is left running."""

import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

from think.core.handoff import approvals, checks
from think.core.handoff.state import Check

HERE = [sys.executable, "-m", "think"]


def python(text: str, **more) -> Check:
    return Check((sys.executable, "-c", text), **more)


def run(check, root):
    return checks.run(check, root, HERE)


def test_a_check_that_passes_leaves_what_it_said(tmp_path):
    result = run(python("print('ok')"), tmp_path)
    assert (result["passed"], result["exit"], result["why"], result["tail"]) == (True, 0, "", "ok\n")
    assert result["output_sha256"] == hashlib.sha256(b"ok\n").hexdigest()
    assert result["output_bytes"] == 3


def test_it_runs_in_the_project_without_input(tmp_path):
    result = run(python("import os, sys; print(os.getcwd(), repr(sys.stdin.read()))"), tmp_path)
    assert result["tail"].split() == [str(tmp_path.resolve()), "''"]


@pytest.mark.parametrize(("wanted", "passed"), [(3, True), (0, False)])
def test_the_expected_exit_code_decides(tmp_path, wanted, passed):
    result = run(python("raise SystemExit(3)", exit=wanted), tmp_path)
    assert (result["passed"], result["exit"], result["expected"]) == (passed, 3, wanted)


def test_words_are_words_and_no_shell_sees_them(tmp_path):
    result = run(Check((sys.executable, "-c", "import sys; print(sys.argv[1:])", "$HOME", "a; touch b", "*")), tmp_path)
    assert result["tail"].strip() == "['$HOME', 'a; touch b', '*']"
    assert not (tmp_path / "b").exists()


def test_a_program_that_is_not_there_fails_in_words(tmp_path):
    result = run(Check(("no-such-program-anywhere",)), tmp_path)
    assert (result["passed"], result["exit"]) == (False, None)
    assert "cannot be started: No such file" in result["why"]


def gone(pid: int) -> bool:
    """Whether a process ended; a killed one whose parent is gone too may take a moment to be collected."""
    for _ in range(200):
        try:
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if status in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_check_that_hangs_is_ended(tmp_path):
    result = run(python("import time; time.sleep(600)", seconds=0.5), tmp_path)
    assert (result["passed"], result["exit"]) == (False, None)
    assert "still running after 0.5 s" in result["why"]
    assert result["seconds"] < 60


STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print(child.pid, flush=True)
while True: print('x' * 1000)
"""


def test_what_is_ended_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(checks, "LARGEST_OUTPUT", 10_000)
    monkeypatch.setattr(checks, "TAIL_BYTES", 1 << 30)
    monkeypatch.setattr(checks, "_LOOK_SECONDS", 0.01)
    result = run(python(STUBBORN), tmp_path)
    assert "wrote more than 10,000 bytes" in result["why"]
    assert gone(int(result["tail"].split()[0]))


def test_children_that_outlive_a_check_are_ended_and_hold_nobody_up(tmp_path):
    text = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid)"
    result = run(python(text), tmp_path)
    assert result["passed"]
    assert gone(int(result["tail"]))


def test_of_a_long_output_the_end_is_kept_and_all_of_it_is_hashed(tmp_path):
    result = run(python("print('x' * 100_000); print('the end')"), tmp_path)
    assert result["output_bytes"] == 100_009
    assert result["tail"].endswith("the end\n")
    assert len(result["tail"]) < 2100
    assert result["tail"].startswith("[98,009 bytes before this]")
    assert result["output_sha256"] == hashlib.sha256(b"x" * 100_000 + b"\nthe end\n").hexdigest()


def test_a_gate_is_judged_by_this_very_program(tmp_path):
    result = run(Check(("think", "gate", "list"), gate="list"), tmp_path)
    assert result["passed"], result["tail"]
    assert "g3" in result["tail"]


# ---- approvals ----------------------------------------------------------------------------------------------------


def test_an_approval_holds_for_this_check_in_this_folder_only(tmp_path):
    state, root, check = tmp_path / "state", tmp_path / "project", python("pass")
    assert approvals.missing(state, root, [check]) == [check]
    approvals.approve(state, root, [check], 0.0)
    others = [python("pass # "), python("pass", exit=1), python("pass", seconds=5.0)]
    assert approvals.missing(state, root, [check, *others]) == others
    assert approvals.missing(state, tmp_path / "elsewhere", [check]) == [check]


def test_lines_that_are_no_approvals_approve_nothing(tmp_path):
    check = python("pass")
    (tmp_path / approvals.FILE).write_bytes(b'\xff\n[]\n{"sha256": []}\n{"torn')
    assert approvals.missing(tmp_path, tmp_path, [check]) == [check]
    approvals.approve(tmp_path, tmp_path, [check], 0.0)
    assert approvals.missing(tmp_path, tmp_path, [check]) == []
    assert os.stat(tmp_path / approvals.FILE).st_size > 100
