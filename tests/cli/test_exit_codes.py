"""The exit codes are a contract: every error of ours, every error of the system, and a few real processes."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from think.cli import app
from think.cli.app import run
from think.cli.exit_codes import MEANINGS
from think.cli.lazy import Entry, LazyGroup
from think.core import errors
from think.core.errors import Exit, ThinkError

CONTRACT = {
    "DONE": 0,
    "GATE_FAILED": 1,
    "USAGE": 2,
    "NO_VERDICT": 3,
    "DIVERGED": 4,
    "MACHINE_CANNOT": 5,
    "BAD_DATA": 65,
    "MISSING": 66,
    "BUG": 70,
    "INPUT_OUTPUT": 74,
    "LOCKED": 75,
    "BAD_SETTINGS": 78,
    "INTERRUPTED": 130,
    "TERMINATED": 143,
}

OURS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ThinkError)]

RAISED: list[BaseException] = []


def failing() -> None:
    """Raise what the test asks for."""
    raise RAISED[-1]


@pytest.fixture
def fails(monkeypatch):
    """Run a command that raises the given error."""
    table = app.COMMANDS | {"failing": Entry(f"{__name__}:failing", "Raise", "Machine")}
    monkeypatch.setattr(LazyGroup, "table", table)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())

    def start(error: BaseException, *arguments: str) -> int:
        RAISED.append(error)
        return run([*arguments, "failing"])

    return start


def _this_module():
    from types import ModuleType

    module = ModuleType(__name__)
    module.failing = failing
    return module


def test_the_enum_is_the_contract():
    assert {code.name: int(code) for code in Exit} == CONTRACT
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_each_error_of_ours_gives_its_code_and_says_everything(kind, fails, capsys):
    assert fails(kind("this is wrong", where="file.toml:3", expected="that", remedy="do this")) == kind.exit
    error = capsys.readouterr().err
    for part in ("file.toml:3", "this is wrong", "that", "do this"):
        assert part in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/runs/x"), Exit.INPUT_OUTPUT),
        (OSError(errno.EROFS, "Read-only file system", "/runs/x"), Exit.INPUT_OUTPUT),
        (PermissionError(errno.EACCES, "Permission denied", "/runs/x"), Exit.INPUT_OUTPUT),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/runs/x"), Exit.MISSING),
        (OSError(errno.EIO, "Input/output error", "/runs/x"), Exit.INPUT_OUTPUT),
        (MemoryError(), Exit.MACHINE_CANNOT),
        (ModuleNotFoundError("No module named 'wandb'", name="wandb"), Exit.MISSING),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (ValueError("a bug"), Exit.BUG),
        (ModuleNotFoundError("No module named 'think.nothing'", name="think.nothing"), Exit.BUG),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else "",
)
def test_errors_of_the_system_and_bugs(error, code, fails, capsys):
    assert fails(error) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    if isinstance(error, OSError):
        assert "/runs/x" in shown


def test_ctrl_c_is_told_in_both_forms(fails, capsys):
    assert fails(KeyboardInterrupt()) == Exit.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_a_folder_that_was_deleted_meanwhile_is_said(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(["runs", "list"]) == Exit.MISSING
    assert "current folder was deleted" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)])
def test_a_signal_ends_a_command_that_waits(number, code, tmp_path):
    program = (
        "import sys, time; from think.cli import app, exit_codes; "
        "exit_codes.console.result = lambda *a, **k: (print('ready', flush=True), time.sleep(60)); "
        "sys.argv = ['think', 'exit-codes']; app.main()"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job begins without it
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "ready\n"
    command.send_signal(number)
    _, said = command.communicate(timeout=60)
    assert command.returncode == code
    assert said.startswith("error: ")
    assert "Traceback" not in said


def test_a_bug_shows_its_traceback_only_with_debug(fails, capsys):
    assert fails(ValueError("a bug"), "--debug") == Exit.BUG
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_left_is_told_nothing(fails, capsys):
    assert fails(BrokenPipeError()) == Exit.INPUT_OUTPUT
    assert capsys.readouterr().err == ""


def test_a_usage_error_under_json_is_an_envelope(capsys):
    assert run(["doctor", "--json", "--nonsense"]) == Exit.USAGE
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["ok"] is False
    assert envelope["error"]["exit"] == Exit.USAGE
    assert set(envelope) == {"schema", "ok", "data", "warnings", "error"}


def test_exit_codes_lists_the_enum(capsys):
    assert run(["exit-codes", "--json"]) == Exit.DONE
    envelope = json.loads(capsys.readouterr().out)
    assert {row["name"].upper(): row["code"] for row in envelope["data"]} == CONTRACT


def process(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "think", *arguments], text=True, **options)


def test_a_real_process_exits_with_the_code():
    assert process("exit-codes", capture_output=True).returncode == Exit.DONE
    assert process("no-such-command", capture_output=True).returncode == Exit.USAGE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_an_error():
    with open("/dev/full", "w") as full:
        done = process("exit-codes", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == Exit.INPUT_OUTPUT
    assert "Traceback" not in done.stderr
    assert "stdout: No space left" in done.stderr


@pytest.mark.parametrize("stream", ["0<&-", ">&-", "2>&-"])
def test_a_closed_standard_stream_is_no_bug(stream):
    program = f"exec {sys.executable} -m think exit-codes --json {stream}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert done.returncode == Exit.DONE
    assert done.stderr == ""
    assert bool(done.stdout) == (stream != ">&-")


def test_a_pipe_closed_early_keeps_the_exit_code_and_says_nothing():
    read, write = os.pipe()
    os.close(read)
    done = process("exit-codes", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == Exit.DONE
    assert done.stderr == ""
