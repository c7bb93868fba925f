"""`think tui`: the live monitor. It reads run folders and never touches training; textual is imported only here."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from think.cli.console import console
from think.cli.options import Json

if TYPE_CHECKING:
    from think.tui.desk import Desk
    from think.tui.feed import Feed
    from think.tui.view import View

SETTLING_SECONDS = 5.0
"Longest time that `--once` reads before it shows what it has, marked as sampled."

SMALLEST, LARGEST = 10, 1000
SERVED_AT = "127.0.0.1"
"This machine only: whoever reaches the port sees the runs, and nothing asks for a password."

FRAMES_PER_SECOND = "30"

HANDOFF = Path("handoff")
"Where `think handoff` keeps the log of the project in the current folder."


def _targets(incomplete: str) -> list[str]:
    from think.cli import environment
    from think.core import runs

    return [run.name for run in runs.runs(environment.runs_folder()) if run.name.startswith(incomplete)]


def _screens(incomplete: str) -> list[str]:
    from think.core import plugins

    return [name for name in plugins.names("think.tui.screens") if name.startswith(incomplete)]


def tui(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|FOLDER]", autocompletion=_targets, help="A run, or a folder of runs; your runs when absent."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and stop; needs no terminal.")] = False,
    screen: Annotated[
        str | None,
        typer.Option("--screen", metavar="NAME", autocompletion=_screens, help="The screen to begin with."),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="COLUMNSxROWS", help="Size of the frame of --once, such as 120x40.")
    ] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Play a run again along its recorded time.")] = False,
    theme: Annotated[
        str | None, typer.Option("--theme", metavar="NAME", help="dark, light, or one of Textual's, such as nord.")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Show it in a browser, on this machine only.")] = False,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of --serve; 8000.")] = None,
    json: Json = False,
) -> None:
    """Watch runs, gates and the handoff log, live."""
    from think.core.errors import UsageError

    for given, name, needed, what in (
        (json and not once, "--json", "--once", "a frame"),
        (size is not None and not once, "--size", "--once", "a frame"),
        (port is not None and not serve, "--port", "--serve", "the server"),
    ):
        if given:
            raise UsageError(
                f"{name} is for {what}", expected=f"{needed} beside it", remedy=f"think tui {needed} {name}"
            )
    if [once, replay, serve].count(True) > 1:
        raise UsageError("--once, --replay and --serve exclude each other", expected="one of them")
    folder = _folder(target)
    if once:
        _print_frame(folder, screen, size)
    elif serve:
        _serve(target, screen, theme, port)
    else:
        _show(folder, screen, theme, replay=replay)


def _folder(target: str | None) -> Path:
    """A run by name, else a folder by path; the user's runs when none is named. Raises Missing."""
    from think.cli import environment
    from think.core import runs
    from think.core.errors import ThinkError

    root = environment.runs_folder()
    if target is None:
        return root
    try:
        return runs.RunFolder.open(root, target).path
    except ThinkError:
        if Path(target).is_dir():
            return Path(target)
        raise


# ---- one frame ------------------------------------------------------------------------------------------------------


def _print_frame(folder: Path, screen: str | None, size: str | None) -> None:
    from think.core.errors import Missing, UsageError
    from think.tui.desk import Desk
    from think.tui.feed import Feed
    from think.tui.once import SCHEMA, frame
    from think.tui.screens import specs
    from think.tui.widgets.cells import fit_line, plain

    if not folder.is_dir():
        raise Missing(
            "there is no such folder",
            where=str(folder),
            remedy="start a run with `think train stage1`, or name a folder",
        )
    cells, rows = _size(size)
    desk = Desk(specs())
    with Feed(folder, handoff=HANDOFF) as feed:
        if screen is not None:
            desk.begin_with(_known_screen(screen, desk))
        view = _settled(feed, desk)
    if screen is not None and desk.current != screen:
        others = ", ".join(desk.listed())
        raise UsageError(
            f"the screen {screen!r} has nothing to show here", where=str(folder), expected=f"one of {others}"
        )

    def human() -> None:
        page = desk.page(cells, rows)
        if page is None:
            return
        room = max(rows - len(page.top), 1)
        body = page.body[-room:] if desk.spec.query is not None else page.body[:room]  # a log is read from its end
        for line in [*page.top, *body]:
            console.out(plain(fit_line(line, cells)).rstrip())

    console.result(SCHEMA, frame(view), human)


def _settled(feed: "Feed", desk: "Desk") -> "View":
    """The view after the feed read what it could in a moment; the records that a log shows are asked for then."""
    from think.tui.once import once

    view = once(feed, patience=SETTLING_SECONDS)
    desk.take(view)
    context = desk.context(SMALLEST, SMALLEST)
    if desk.spec.query is None or context is None:
        return view
    feed.filter(desk.spec.query(context))
    desk.take(once(feed, patience=SETTLING_SECONDS))
    return view if desk.shown is None else desk.shown


def _size(text: str | None) -> tuple[int, int]:
    from think.core.errors import UsageError

    if text is None:
        return max(console.width(), SMALLEST), LARGEST
    columns, separator, rows = text.lower().partition("x")
    if separator and columns.isdecimal() and rows.isdecimal():
        found = int(columns), int(rows)
        if all(SMALLEST <= length <= LARGEST for length in found):
            return found
    raise UsageError(
        f"{text!r} is no size", expected=f"COLUMNSxROWS, each {SMALLEST} to {LARGEST}", remedy="--size 120x40"
    )


def _known_screen(name: str, desk: "Desk") -> str:
    """Raises UsageError with the nearest and all names."""
    import difflib

    from think.core.errors import UsageError

    if name in desk.specs:
        return name
    nearest = difflib.get_close_matches(name, desk.specs, n=1)
    raise UsageError(
        f"there is no screen named {name!r}",
        expected=f"one of {', '.join(desk.specs)}",
        remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
    )


# ---- in a terminal --------------------------------------------------------------------------------------------------


def _show(folder: Path, screen: str | None, theme: str | None, *, replay: bool) -> None:
    from think.cli import environment
    from think.core.errors import Terminated, ThinkError, UsageError

    served = "TEXTUAL_DRIVER" in os.environ  # a browser stands in for the terminal
    if not served and not console.owns_terminal():
        raise UsageError(
            "the monitor needs a terminal for its input and output",
            expected="a terminal that is not dumb, nothing redirected",
            remedy="`think tui --once` prints one frame anywhere, with --json for scripts",
        )
    if not served:
        for name in ("COLUMNS", "LINES"):  # exported ones would win over the terminal's own size, for good
            os.environ.pop(name, None)
    _prepare_textual()
    from think.core.telemetry.sidecar import Sidecars, default_folder
    from think.tui.app import Monitor
    from think.tui.desk import Desk, every_action, screens_of
    from think.tui.feed import Feed
    from think.tui.keys import FILE, resolved
    from think.tui.replay import Replay
    from think.tui.screens import specs

    listed = specs()
    desk = Desk(listed, replaying=replay)
    if screen is not None:
        desk.begin_with(_known_screen(screen, desk))
    elif replay:
        desk.begin_with("run")
    keys_file = environment.files()[1].with_name(FILE)
    actions = resolved(every_action(listed), keys_file, screens_of(listed))
    feed = Feed(folder, indexes=Sidecars(default_folder(os.environ)), handoff=HANDOFF)
    app = Monitor(feed, desk, actions, replay=Replay() if replay else None, theme=_theme(theme))
    app.run()
    if app.return_code == Terminated.exit:
        raise Terminated("terminated")
    if app.return_code:
        raise ThinkError("the monitor stopped by a bug, which it showed", remedy="please report what it showed")


def _prepare_textual() -> None:
    """Textual reads these when it is imported: no movement, few frames, colours as `--color` says."""
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_SECOND)
    if console.colours_results():
        os.environ.pop("NO_COLOR", None)
    elif "TEXTUAL_DRIVER" not in os.environ:
        os.environ["NO_COLOR"] = "1"


def _theme(name: str | None) -> str:
    """The full name of a theme. Raises UsageError with all names."""
    from textual.theme import BUILTIN_THEMES

    from think.core.errors import UsageError
    from think.tui import themes

    if name is None:
        return themes.DARK.name
    full = themes.full_name(name)
    known = [*themes.SHORT, *BUILTIN_THEMES]
    if full not in (*themes.SHORT.values(), *BUILTIN_THEMES):
        raise UsageError(f"there is no theme {name!r}", expected=f"one of {', '.join(known)}")
    return full


def _serve(target: str | None, screen: str | None, theme: str | None, port: int | None) -> None:
    """A browser page for each visitor, each with a monitor of its own; loopback only."""
    from think.core.errors import MachineCannot

    try:
        from textual_serve.server import Server
    except ModuleNotFoundError:
        raise MachineCannot(
            "--serve needs the package textual-serve", remedy="pip install 'think-toolkit[serve]'"
        ) from None
    words = [sys.executable, "-m", "think", "tui", *([target] if target is not None else [])]
    words += ["--screen", screen] if screen is not None else []
    words += ["--theme", theme] if theme is not None else []
    console.note(f"the monitor is at http://{SERVED_AT}:{port or 8000}; Ctrl-C stops it")
    Server(shlex.join(words), host=SERVED_AT, port=port or 8000, title="think").serve()
