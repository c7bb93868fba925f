"""`think tui`: one frame for scripts, clear words where there is nothing to show, no terminal where none is needed."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.cli.test_runs import trained
from think.cli.app import run as think
from think.core.errors import Exit


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THINK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "runs"


def answered(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    assert think(["tui", *words, "--once", "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_frame_as_json_tells_what_the_runs_do(root, capsys):
    trained(root, "first")
    data = answered(capsys)["data"]
    assert [(row["name"], row["state"], row["step"]) for row in data["runs"]] == [("first", "finished", 10)]
    curve = data["run"]["curves"]["step.loss"]
    assert curve["last"][-1] == pytest.approx(0.4)
    assert sum(curve["count"]) == 10
    assert curve["sampled"] is False


def test_a_frame_as_text_has_the_size_that_was_asked(root, capsys):
    trained(root, "first")
    assert think(["tui", "--once", "--size", "60x12"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 12
    assert all(len(line) <= 60 for line in lines)
    assert any("first" in line and "finished" in line for line in lines)


@pytest.mark.parametrize("name", ["runs", "run", "gates", "log"])
def test_every_screen_can_be_printed(root, capsys, name):
    trained(root, "first")
    assert think(["tui", "--once", "--screen", name, "--size", "100x30"]) == 0
    assert {"runs": "held-out", "run": "training loss", "gates": "Gates", "log": "Log of first"}[
        name
    ] in capsys.readouterr().out


def test_the_log_is_printed_from_its_end(root, capsys):
    trained(root, "first")
    assert think(["tui", "--once", "--screen", "log", "--size", "100x10"]) == 0
    assert "run_end" in capsys.readouterr().out.splitlines()[-1]


def test_one_run_by_name_and_by_folder_shows_that_run(root, capsys):
    run = trained(root, "first")
    trained(root, "second")
    for target in ("first", str(run.path)):
        assert [row["name"] for row in answered(capsys, target)["data"]["runs"]] == ["first"]
        assert think(["tui", target, "--once", "--size", "80x20"]) == 0
        assert "training loss" in capsys.readouterr().out


def test_a_folder_of_runs_by_path(root, capsys, tmp_path):
    trained(tmp_path / "elsewhere", "third")
    assert answered(capsys, str(tmp_path / "elsewhere"))["data"]["runs"][0]["name"] == "third"


def test_a_name_or_folder_that_is_not_there_is_missing(root, capsys, tmp_path):
    trained(root, "first")
    assert think(["tui", "frist", "--once"]) == Exit.MISSING
    assert "did you mean 'first'?" in capsys.readouterr().err
    assert think(["tui", str(tmp_path / "nowhere"), "--once"]) == Exit.MISSING


def test_the_users_runs_that_do_not_exist_yet_are_missing(root, capsys):
    assert think(["tui", "--once"]) == Exit.MISSING
    assert "there is no such folder" in capsys.readouterr().err


def test_a_folder_without_runs_says_so(root, capsys):
    root.mkdir()
    assert think(["tui", "--once"]) == 0
    assert "There is no run in" in capsys.readouterr().out
    assert answered(capsys)["data"]["runs"] == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "created"),
        (b"\x00\x01\x02 garbage \xff\n" * 50, "created"),
        (b'{"kind": "something of another program"}\n', "dead"),
        (b'{"kind": "step", "step": 1, "loss"', "created"),
        (b'{"kind":"step","step":1,"loss":1.0,"pad":"' + b"x" * 10_000_000 + b'"}\n', "created"),
    ],
    ids=["empty", "garbage", "foreign", "torn", "ten megabytes in a line"],
)
def test_telemetry_that_is_none_is_shown_and_not_fatal(root, capsys, content, expected):
    folder = root / "odd"
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text("[model]\nwidth = 64\n")
    (folder / "telemetry-0001.jsonl").write_bytes(content)
    data = answered(capsys)["data"]
    assert [(row["name"], row["state"]) for row in data["runs"]] == [("odd", expected)]
    for screen in ("runs", "run", "log"):
        assert think(["tui", "--once", "--screen", screen, "--size", "80x24"]) == 0


def test_escape_sequences_of_a_file_do_not_reach_the_terminal(root, capsys):
    run = trained(root, "first")
    line = {"v": 1, "run": "first", "seq": 99, "time": 1.0, "mono": 1.0, "kind": "log", "step": 10, "level": "warning"}
    path = run.path / "telemetry-0002.jsonl"
    path.write_text(json.dumps(line | {"message": "\x1b[31mred\x07[bold]not bold[/bold]"}) + "\n")
    for screen in ("runs", "run", "log"):
        assert think(["tui", "--once", "--screen", screen, "--size", "120x60"]) == 0
        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "\x07" not in shown
    assert "[bold]not bold[/bold]" in shown


@pytest.mark.parametrize(
    "words",
    [
        ["--json"],
        ["--size", "80x24"],
        ["--port", "9000"],
        ["--once", "--replay"],
        ["--once", "--size", "80"],
        ["--once", "--size", "0x0"],
        ["--once", "--screen", "rnus"],
        ["--once", "--screen", "compare"],
    ],
)
def test_what_does_not_go_together_is_a_usage_error(root, capsys, words):
    trained(root, "first")
    assert think(["tui", *words]) == Exit.USAGE
    assert "expected:" in capsys.readouterr().err


def test_a_misspelt_screen_is_answered_with_the_nearest(root, capsys):
    trained(root, "first")
    assert think(["tui", "--once", "--screen", "gaets"]) == Exit.USAGE
    assert "did you mean 'gates'?" in capsys.readouterr().err


def test_without_a_terminal_it_names_the_other_way(root, capsys):
    root.mkdir()
    assert think(["tui"]) == Exit.USAGE
    assert "think tui --once" in capsys.readouterr().err


def in_terminal(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Pretend there is a terminal, and record with what the app was made instead of running it."""
    from think.cli.console import console
    from think.tui import app as monitor

    made: list[dict] = []

    class Recorded:
        return_code = 0

        def __init__(self, feed: object, desk: object, actions: object, **options: object):
            made.append({"feed": feed, "desk": desk, "actions": actions, **options})

        def run(self) -> None:
            made[-1]["ran"] = True

    monkeypatch.setattr(monitor, "Monitor", Recorded)
    monkeypatch.setattr(console, "owns_terminal", lambda: True)
    monkeypatch.setattr(console, "colours", lambda stream: True)
    for name in ("TEXTUAL_ANIMATIONS", "TEXTUAL_SMOOTH_SCROLL", "TEXTUAL_FPS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return made


def test_in_a_terminal_the_options_reach_the_app(root, monkeypatch):
    run = trained(root, "first")
    made = in_terminal(monkeypatch)
    assert think(["tui", "first", "--theme", "light", "--screen", "log"]) == 0
    assert made[0]["theme"] == "think-light"
    assert made[0]["feed"].target == run.path
    assert made[0]["desk"].current == "log"
    assert made[0]["replay"] is None
    assert think(["tui", "--replay"]) == 0
    assert made[1]["replay"] is not None
    assert made[1]["desk"].current == "run"
    assert think(["tui", "--theme", "nord"]) == 0
    assert made[2]["theme"] == "nord"


def test_an_unknown_theme_is_a_usage_error_with_all_names(root, monkeypatch, capsys):
    trained(root, "first")
    in_terminal(monkeypatch)
    assert think(["tui", "--theme", "drak"]) == Exit.USAGE
    assert "nord" in capsys.readouterr().err


def test_colour_never_reaches_textual(root, monkeypatch):
    from think.cli.console import console

    trained(root, "first")
    in_terminal(monkeypatch)
    monkeypatch.setattr(console, "colours", lambda stream: False)
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.delenv("NO_COLOR")
    assert think(["tui"]) == 0
    assert os.environ["NO_COLOR"] == "1"
    assert os.environ["TEXTUAL_ANIMATIONS"] == "none"


def test_the_keys_file_of_the_user_counts(root, monkeypatch, tmp_path, capsys):
    trained(root, "first")
    made = in_terminal(monkeypatch)
    (tmp_path / "config" / "think").mkdir(parents=True)
    keys = tmp_path / "config" / "think" / "keys.toml"
    keys.write_text('pause = "p"\nrun.previous = "P"\n')
    assert think(["tui"]) == 0
    assert {action.id: action.keys for action in made[0]["actions"]}["pause"] == ("p",)
    keys.write_text('pausse = "p"\n')
    assert think(["tui"]) == Exit.BAD_SETTINGS
    assert "did you mean 'pause'?" in capsys.readouterr().err


def test_a_bug_that_ended_the_app_has_the_code_of_a_bug(root, monkeypatch):
    from think.tui import app as monitor

    trained(root, "first")
    in_terminal(monkeypatch)
    monkeypatch.setattr(monitor.Monitor, "return_code", 1)
    assert think(["tui"]) == Exit.BUG
    monkeypatch.setattr(monitor.Monitor, "return_code", Exit.TERMINATED)
    assert think(["tui"]) == Exit.TERMINATED


def test_serving_stays_on_this_machine(root, monkeypatch):
    trained(root, "first")
    made: list[tuple[str, dict]] = []

    class Server:
        def __init__(self, command: str, **options: object):
            made.append((command, options))

        def serve(self) -> None:
            made.append(("served", {}))

    monkeypatch.setitem(sys.modules, "textual_serve", types.ModuleType("textual_serve"))
    module = types.ModuleType("textual_serve.server")
    module.Server = Server  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "textual_serve.server", module)
    assert think(["tui", "first", "--serve", "--port", "9001", "--theme", "light"]) == 0
    command, options = made[0]
    assert options["host"] == "127.0.0.1"
    assert options["port"] == 9001
    assert command.endswith("-m think tui first --theme light")
    assert made[1][0] == "served"


def test_serving_without_the_package_names_the_extra(root, monkeypatch, capsys):
    trained(root, "first")
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    assert think(["tui", "--serve"]) == Exit.MACHINE_CANNOT
    assert "think-toolkit[serve]" in capsys.readouterr().err


def test_neither_listing_nor_one_frame_loads_textual_or_torch(root):
    trained(root, "first")
    program = (
        "import sys\n"
        "from think.cli.app import run\n"
        "code = run(sys.argv[1:])\n"
        "assert not {'torch', 'textual'} & set(sys.modules), code\n"
        "sys.exit(code)\n"
    )
    for words in (["tui", "--help"], ["tui", "--once"]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
