"""No option is an ornament: every option of every command is used by some test beside the name of its command."""

import ast
from pathlib import Path

import pytest

from think.cli import lazy
from think.cli.app import COMMANDS

TESTS = Path(__file__).parents[1]
EVERYWHERE = {"--help", "--json"}
"--help is Typer's; --json is held by test_app.py for every command, and by test_console.py."


def options() -> list[tuple[str, str]]:
    found = []
    for name, entry in COMMANDS.items():
        pending = [(name, lazy.load(name, entry.target))]
        while pending:
            path, command = pending.pop()
            pending += [(f"{path} {child}", found_) for child, found_ in getattr(command, "commands", {}).items()]
            for parameter in command.params:
                if parameter.param_type_name == "option" and not EVERYWHERE & set(parameter.opts):
                    found.append((path, max(parameter.opts, key=len)))
    return found


def words(path: Path) -> set[str]:
    """Every word of every string in a test file, docstrings of functions left out by nature: they name no options."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {word.partition("=")[0] for text in texts for word in text.split()}


USED = [words(path) for path in TESTS.rglob("test_*.py") if path != Path(__file__)]


@pytest.mark.parametrize(("path", "option"), options(), ids=lambda value: value.replace(" ", "_"))
def test_the_option_is_used_by_a_test_of_its_command(path, option):
    assert any({path.split()[-1], option} <= used for used in USED), f"no test calls `think {path} {option}`"
