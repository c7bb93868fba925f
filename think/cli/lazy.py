"""Commands that are imported when they are called, not when they are listed.

The root group is filled from a static table, so `think --help`, completion of names and "did you mean" need no command
module. A `LazyCommand` stands in the group under its name and help; asked for a context or for completions of its own
arguments, it imports its target and lets the real command answer.
"""

import importlib
import shutil
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from think.cli.console import console
from think.core.errors import Interrupted

Section = Literal["Data", "Training", "Gates", "Runs", "Models", "Settings", "Machine"]
SECTIONS: tuple[Section, ...] = get_args(Section)
"Headings of `think --help`, in the order of a day's work."


class Entry(NamedTuple):
    """One line of the table: where the command lives, its one-line help, and its heading in `think --help`."""

    target: str  # "module:attribute"; the attribute is a typer.Typer or a plain function
    help: str
    section: Section


def load(name: str, target: str) -> Any:
    """The real command behind a table entry, under the name of the table."""
    module, _, attribute = target.partition(":")
    found: typer.Typer | Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command()(found)
        found = single
    command = typer.main.get_command(found)
    command.name = name
    spare_pydantic(command)
    return command


def spare_pydantic(command: Any) -> None:
    """Lets a command take values without pydantic where there is nothing to convert.

    Typer has each value converted by pydantic, whose import costs as much as the rest of a small command. A text that
    is to be a text, and the default of an option, are what they should be. Everything else is converted as before.
    """
    for subcommand in getattr(command, "commands", {}).values():
        if not isinstance(subcommand, LazyCommand):  # its target comes by here when it is loaded
            spare_pydantic(subcommand)
    parameters = command.get_params  # those of the command, and --help, which comes to them when they are asked for

    def spared(ctx: Any) -> list[Any]:
        found: list[Any] = parameters(ctx)
        for parameter in found:
            if not (parameter.multiple or "process_value" in vars(parameter)):
                parameter.process_value = _sparing(parameter)
        return found

    command.get_params = spared


def _sparing(parameter: Any) -> Callable[[Any, Any], Any]:
    convert, callback = parameter.process_value, parameter.callback
    text = getattr(getattr(parameter, "type_descriptor", None), "annotation", None) is str

    def process_value(ctx: Any, value: Any) -> Any:
        default = value is parameter.default and not parameter.required
        if not (default or (text and isinstance(value, str))):
            return convert(ctx, value)
        return value if callback is None else callback(ctx, parameter, value)

    return process_value


class LazyCommand(TyperCommand):
    """A name and a help text; everything else is the target's."""

    def __init__(self, name: str, entry: Entry):
        super().__init__(name, help=entry.help)
        self.entry = entry
        self._loaded: Any = None

    def loaded(self) -> Any:
        if self._loaded is None:
            self._loaded = load(self.name or "", self.entry.target)
        return self._loaded

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.loaded().make_context(info_name, args, parent=parent, **extra)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        return self.loaded().shell_complete(ctx, incomplete)


class LazyGroup(TyperGroup):
    """The root group; `table` is set by the application."""

    table: Mapping[str, Entry] = {}

    def __init__(self, **attributes: Any):
        super().__init__(**attributes)
        self.commands = {name: LazyCommand(name, entry) for name, entry in self.table.items()}
        spare_pydantic(self)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # Typer would end with the code alone: no word, no envelope
            raise Interrupted("interrupted") from None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The whole help in a few milliseconds: importing rich would cost more than everything else together."""
        ctx.color = console.colours_results()
        formatter.write(render_help(self.table, self.help or "", _options(self, ctx), bold=ctx.color))


def _options(command: Any, ctx: Any) -> list[tuple[str, str]]:
    records = [parameter.get_help_record(ctx) for parameter in command.get_params(ctx)]
    return [record for record in records if record is not None]


def render_help(table: Mapping[str, Entry], help: str, options: list[tuple[str, str]], *, bold: bool) -> str:
    """Usage, summary, commands by section, options; at most 100 columns."""
    width = min(shutil.get_terminal_size().columns, 100)

    def heading(text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if bold else text

    sections: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
    for name, entry in table.items():
        sections[entry.section].append((name, entry.help.rstrip(".")))
    margin = max((len(name) for name in table), default=0) + 4
    lines = [f"{heading('Usage:')} think [OPTIONS] COMMAND [ARGUMENTS]...", "", help]
    for section, commands in sections.items():
        lines += ["", heading(section)] if commands else []
        lines += [line for name, text in commands for line in _row(name, text, margin, width)]
    lines += ["", heading("Options")]
    margin = max((len(name) for name, _ in options), default=0) + 4
    lines += [line for name, text in options for line in _row(name, text, margin, width)]
    lines += ["", "`think COMMAND --help` explains one command."]
    return "\n".join(lines) + "\n"


def _row(name: str, text: str, margin: int, width: int) -> list[str]:
    wrapped = textwrap.wrap(text, max(width - margin, 20)) or [""]
    return [f"  {name}".ljust(margin) + wrapped[0], *(" " * margin + line for line in wrapped[1:])]
