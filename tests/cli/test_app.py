"""The root command: help, version, suggestions, completion, and a table that tells the truth."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from think.cli import app, lazy
from think.cli.app import COMMANDS, run
from think.core.errors import Exit


def test_help_lists_every_command_with_its_help(capsys):
    assert run(["--help"]) == Exit.DONE
    shown = " ".join(capsys.readouterr().out.split())
    for name, entry in COMMANDS.items():
        assert name in shown
        assert entry.help.rstrip(".") in shown
        assert entry.section in lazy.SECTIONS


def test_version_is_printed_to_stdout(capsys):
    assert run(["--version"]) == Exit.DONE
    assert capsys.readouterr().out.startswith("think 0.")


def test_no_command_shows_the_help_and_is_a_usage_error(capsys):
    assert run([]) == Exit.USAGE
    captured = capsys.readouterr()
    assert "Usage: think" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("typed", "meant"), [(["docter"], "doctor"), (["exit-code"], "exit-codes"), (["doctor", "--jsn"], "--json")]
)
def test_a_typing_mistake_gets_a_suggestion(typed, meant, capsys):
    assert run(typed) == Exit.USAGE
    error = capsys.readouterr().err
    assert meant in error
    assert "Traceback" not in error


@pytest.mark.parametrize("name", COMMANDS)
def test_table_entry_imports_and_its_help_is_the_table_s(name):
    entry = COMMANDS[name]
    command = lazy.load(name, entry.target)
    assert command.name == name
    assert command.get_short_help_str(limit=1000).rstrip(".") == entry.help.rstrip(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_and_sub_command_works_and_is_documented(name):
    command = lazy.load(name, COMMANDS[name].target)
    for path, found in walk(command, name):
        assert found.help, f"{path} has no help"
        for parameter in found.params:
            assert parameter.name not in ("install_completion", "show_completion"), f"{path}: add_completion=False"
            assert getattr(parameter, "help", "") or parameter.param_type_name == "argument", f"{path} {parameter.name}"


OWN_BEHAVIOUR = {("data inspect", "samples")}
"Options that are no settings, in commands that also read some."


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_commands_that_read_settings_default_to_not_given(name):
    """A default on the command line would shadow the preset's."""
    for path, command in walk(lazy.load(name, COMMANDS[name].target), name):
        if not any(parameter.name in ("preset", "changes") for parameter in command.params):
            continue
        for parameter in command.params:
            if parameter.param_type_name == "option" and (path, parameter.name) not in OWN_BEHAVIOUR:
                assert parameter.default in (None, False, [], ()), f"{path} --{parameter.name} = {parameter.default!r}"


def walk(command, path):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, f"{path} {name}")


def complete(words: str) -> list[str]:
    environment = os.environ | {
        "_THINK_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    program = "import sys; sys.argv[0] = 'think'; from think.cli.app import run; code = run([]); " + LOADED
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]", f"completion loaded {done.stderr}"
    return done.stdout.split()


CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("THINK_")}
HEAVY = ("torch", "numpy", "textual", "datasets", "tokenizers", "pydantic_settings", "rich", "matplotlib")
LOADED = f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"


# Typer itself imports pydantic to convert the options of a completed line.
def test_completion_of_names_loads_nothing_heavy():
    assert "doctor" in complete("think do")


def test_completion_reaches_into_a_command():
    assert "--json" in complete("think exit-codes --j")


def test_completion_of_preset_names_loads_nothing_heavy():
    assert "cpu_smoke" in complete("think preset show cpu")


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from think.cli.app import run; run(['--help']); "
        + LOADED
        + "; assert 'pydantic' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("words", [["runs", "list"], ["tui", "--once"], ["handoff"]])
def test_values_that_need_no_converting_load_no_pydantic(words, tmp_path):
    """The import of pydantic costs more than these commands; see `lazy.spare_pydantic`."""
    program = (
        f"import sys; from think.cli.app import run; run({words!r}); "
        "print(sorted({'pydantic', 'pydantic_settings', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=CLEAN, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", sorted({entry.target.partition(":")[0] for entry in COMMANDS.values()}))
def test_command_modules_load_no_torch_at_import(module):
    program = f"import sys, {module}; print(sorted({{'torch', 'datasets', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = lazy.render_help(COMMANDS, "What it is.", [("--option", "word " * 40)], bold=False)
    assert max(map(len, text.splitlines())) <= 60


def test_every_command_file_is_reached():
    """A module that neither the table nor another command module names is a command that nobody can call."""
    helpers = {"__init__", "app", "console", "environment", "lazy", "options", "progress"}
    folder = Path(app.__file__).parent
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    targets = {entry.target.partition(":")[0].rpartition(".")[2] for entry in COMMANDS.values()}
    for module in set(texts) - helpers - targets:
        named = [other for other, text in texts.items() if other != module and f"think.cli.{module}" in text]
        named += [other for other, text in texts.items() if "from think.cli import" in text and module in text]
        assert named, f"think/cli/{module}.py is reached by no command"


NO_ENVELOPE = {"chat", "preset schema"}
"A conversation has no single answer, and a JSON Schema is its own."


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_answer_in_json(name):
    for path, command in walk(lazy.load(name, COMMANDS[name].target), name):
        if not hasattr(command, "commands") and path not in NO_ENVELOPE:
            assert "--json" in {opt for parameter in command.params for opt in parameter.opts}, f"think {path}"
