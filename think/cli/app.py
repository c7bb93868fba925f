"""The `think` command: a static table of lazy commands, and the one place where errors become text and exit codes.

To add a command: write `think/cli/NAME.py` with a documented function, or with `app = typer.Typer(add_completion=False,
help="One line.")` for a command that has sub-commands; import torch, numpy and core modules inside the functions; add
one line to COMMANDS whose help equals the function's first docstring line (or the Typer's help). Print through
`console`; raise errors of `core/errors.py`; return nothing, or a member of `Exit` when the answer is not 0. Take
`Json` from `options.py` when the command only reads. `tests/cli/test_commands.py` finds the new line.
"""

import errno
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from think.cli import environment
from think.cli.console import console
from think.cli.lazy import Entry, LazyGroup
from think.core.errors import Exit, InputOutput, Interrupted, MachineCannot, Missing, Terminated, ThinkError, UsageError

COMMANDS: dict[str, Entry] = {
    "train": Entry("think.cli.train:app", "Train a preset, one stage after the other", "Training"),
    "ablate": Entry("think.cli.ablate:app", "Run studies of paired trainings, and report them", "Training"),
    "bench": Entry("think.cli.bench:app", "Time kernels and training steps on this machine", "Machine"),
    "doctor": Entry(
        "think.cli.doctor:doctor",
        "Look at the machine: Python, torch, memory, disk, devices, kernels, terminal",
        "Machine",
    ),
    "data": Entry("think.cli.data:app", "Train tokenizers, pack text, generate problems, look into packs", "Data"),
    "gate": Entry(
        "think.cli.gate:app",
        "Judge gates (`think gate g0 g1`, `think gate all`), list them, verify stored verdicts",
        "Gates",
    ),
    "eval": Entry(
        "think.cli.eval:app",
        "Test what models can do: solve puzzles, follow a state, find again what they saw",
        "Training",
    ),
    "handoff": Entry(
        "think.cli.handoff:app", "Hand tasks on: one active task, checks and evidence for done, a summary", "Gates"
    ),
    "generate": Entry("think.cli.generate:generate", "Write text with a trained model", "Models"),
    "plan": Entry("think.cli.plan:plan", "Search from a prompt with a trained critic, and draw the tree", "Models"),
    "chat": Entry("think.cli.chat:chat", "Talk with a trained model; Ctrl-C ends its turn, Ctrl-D leaves", "Models"),
    "runs": Entry("think.cli.runs:app", "List, show, compare, prune and export runs", "Runs"),
    "tui": Entry("think.cli.tui:tui", "Watch runs, gates and the handoff log, live", "Runs"),
    "preset": Entry("think.cli.preset:app", "List, show, explain, compare and check presets", "Settings"),
    "exit-codes": Entry("think.cli.exit_codes:exit_codes", "List the exit codes and what each means", "Machine"),
}

PACKAGE = __file__.removesuffix("cli/app.py")

LazyGroup.table = COMMANDS
app = typer.Typer(
    cls=LazyGroup,
    help="A terminal laboratory for small language models that think.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        console.out(f"think {version('think-toolkit')}")
        raise typer.Exit


def _set_colour(choice: str | None) -> str | None:
    if choice is not None:
        if choice not in environment.COLOURS:
            raise typer.BadParameter(f"{choice!r} is none of {', '.join(environment.COLOURS)}")
        console.set_colour(flag=choice)
    return choice


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    color: Annotated[
        str | None, typer.Option("--color", callback=_set_colour, is_eager=True, help="auto, always or never.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """A terminal laboratory for small language models that think."""
    console.debug = debug
    try:
        os.getcwd()
    except FileNotFoundError:
        raise Missing("the current folder was deleted", remedy="change to a folder that is there: cd") from None


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and give its exit code; never raises."""
    given = sys.argv[1:] if arguments is None else arguments
    console.begin(json="--json" in given[: given.index("--")] if "--" in given else "--json" in given)
    try:
        console.set_colour(user=environment.colour())
        code = _code(typer.main.get_command(app)(given, prog_name="think", standalone_mode=False))
        if code == Exit.INTERRUPTED:  # Typer's own, for Ctrl-C before a command began: commands raise Interrupted
            return _report(Interrupted("interrupted"))
        console.finish()
        return code
    except KeyboardInterrupt:  # before or after the command itself
        return _report(Interrupted("interrupted"))
    except _Terminate:
        return _report(Terminated("terminated"))
    except SystemExit as stop:  # shell completion ends this way
        return stop.code if isinstance(stop.code, int) else Exit.DONE
    except BrokenPipeError:  # whoever read the results has left; there is nobody to tell
        console.abandon()
        return Exit.INPUT_OUTPUT
    except Exception as error:  # noqa: BLE001 - the one home of this line: everything becomes text and an exit code
        return _report(error)


def main() -> None:
    """The console entry point."""
    # torch's threads wait for each other by spinning, unless told not to before it is imported; on cores that anything
    # else uses too, spinning made a training step two to twenty times slower (docs/log.md)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _open_standard_streams()
    signal.signal(signal.SIGTERM, _terminate)
    code = run()
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # all is said and done: to be stopped now takes no word, no traceback
        signal.signal(number, signal.SIG_DFL)
    sys.exit(code)


class _Terminate(BaseException):
    """SIGTERM where nothing listens for it: unwinds like Ctrl-C, past everything that handles errors."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminate


def _open_standard_streams() -> None:
    """Where a standard stream was closed, put an empty one: its number must not go to the next file that is opened."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we live


def _code(returned: Any) -> int:
    """Commands return nothing or an exit code; `typer.Exit` arrives here as its number."""
    return returned if isinstance(returned, int) and not isinstance(returned, bool) else Exit.DONE


def _report(error: Exception) -> int:
    if console.debug:
        console.talk("".join(traceback.format_exception(error)).rstrip())
    known = _understood(error)
    if known is None:
        return _report_bug(error)
    console.failed(known)
    return known.exit


def _understood(error: Exception) -> ThinkError | None:
    """The same error as one of ours; None when it is a bug."""
    if isinstance(error, ThinkError):
        return error
    if isinstance(error, OSError):
        return _from_operating_system(error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "think").startswith("think"):
        return Missing(
            f"the package {error.name!r} is not installed",
            remedy="pip install -c constraints.txt -e '.[dev]', or see `think doctor`",
        )
    if _is_out_of_memory(error):
        return MachineCannot(
            f"out of memory ({str(error).splitlines()[0] if str(error) else 'no detail'})",
            remedy="fewer rows, a shorter length, or more micro-batches; `think train … --dry-run` estimates the need",
        )
    if isinstance(error, typer.Abort):
        return UsageError("stopped at a question")
    if isinstance(error, TyperException):
        return _from_typer(error)
    settings = sys.modules.get("think.presets.problems")
    if settings is not None and isinstance(error, settings.SettingsError):
        return _from_settings(error)
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """torch has an error of its own for an accelerator, and none for the processor's memory."""
    allocator = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return allocator or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _from_operating_system(error: OSError) -> ThinkError:
    place = str(error.filename) if error.filename is not None else None
    what = error.strerror or str(error)
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return Missing(what, where=place, remedy="check the path")
    remedies = {
        errno.ENOSPC: "free some space, or choose another folder with --out or THINK_RUNS",
        errno.EDQUOT: "free some of your quota, or choose another folder with --out or THINK_RUNS",
        errno.EROFS: "the file system is read-only; choose another folder with --out or THINK_RUNS",
        errno.EACCES: "you may not read or write here; choose another folder with --out or THINK_RUNS",
        errno.EPERM: "you may not do this here; choose another folder with --out or THINK_RUNS",
    }
    return InputOutput(what, where=place, remedy=remedies.get(error.errno or 0))


def _from_typer(error: TyperException) -> ThinkError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "think"
    if type(error).__name__ == "NoArgsIsHelpError":
        console.help(error.format_message())
        return UsageError("no command was given", remedy=f"{path} --help")
    return UsageError(str(error.format_message()), remedy=f"{path} --help")


def _from_settings(error: Any) -> ThinkError:
    """Settings mistakes arrive all at once, each with its own place; `presets` knows no ThinkError."""
    converted = _SettingsMistakes(str(error))
    converted.exit = Exit(error.exit)
    converted.mistakes = error.as_json()
    return converted


class _SettingsMistakes(ThinkError):
    mistakes: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return self.mistakes


def _report_bug(error: Exception) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if PACKAGE in frame.filename]
    frame = (ours or frames)[-1]
    bug = ThinkError(
        f"this is a bug in think: {type(error).__name__}: {error}",
        where=f"{frame.filename}:{frame.lineno}",
        remedy="run the same line as `think --debug …` for the traceback, and report it",
    )
    console.failed(bug)
    return Exit.BUG
