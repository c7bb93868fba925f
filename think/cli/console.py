"""The only place that prints. Results go to stdout, talk to stderr.

    console.result("think.doctor/1", data, human)   text, or one JSON envelope when --json was asked
    console.note / warn / out / table / progress

What is printed may come from files and models, so control characters are made harmless first. Colour follows --color,
then THINK_COLOR (or `color` in the user's files), NO_COLOR, FORCE_COLOR / CLICOLOR_FORCE, and last whether the stream
is a terminal that is not dumb.
"""

import json as json_format
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Protocol

from think.core.errors import ThinkError
from think.core.text import HARMFUL, harmless

PLAIN_PROGRESS_SECONDS = 30.0
"Away from a terminal: often enough to see life, rare enough not to fill a log."

WIDEST_ALIGNED = 48
"Plain columns are aligned up to here; a longer cell pushes the rest of its own line and leaves the others alone."

WIDEST_TREE = 10_000
"Columns of a tree away from a terminal: more than any line has."

RED, YELLOW = "31", "33"


class Progress(Protocol):
    """What a long operation reports to."""

    def advance(self, amount: float = 1.0, note: str = "") -> None: ...


@dataclass(frozen=True)
class Branching:
    """A node of a tree that is drawn: one line of text, its rich style where there is colour, what hangs below it."""

    text: str
    style: str
    children: tuple["Branching", ...] = ()


class Console:
    """State of one command line: JSON or text, colour, warnings so far, whether a result was given."""

    def __init__(self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic):
        self._environment = environment
        self._clock = clock
        self.begin(json=False)

    def begin(self, *, json: bool) -> None:
        """Forget the previous command line."""
        self.json = json
        self.debug = False
        self._rank: int | None = None
        if hasattr(sys.stdout, "reconfigure"):  # a terminal without Unicode shows escapes; it is no reason to stop
            sys.stdout.reconfigure(errors="backslashreplace")
        self.warnings: list[str] = []
        self._flag = self._user = "auto"
        self._answered = False
        self._abandoned = False

    def fall_silent(self, rank: int) -> None:
        """Be one of several processes of a run, of which the first speaks: only errors are shown, with their rank."""
        self._rank = rank

    # ---- colour ---------------------------------------------------------------------------------------------------

    def set_colour(self, flag: str | None = None, user: str | None = None) -> None:
        """auto, always or never, from the command line or from the user's own environment."""
        self._flag = flag or self._flag
        self._user = user or self._user

    def colours(self, stream: IO[str]) -> bool:
        for choice in (self._flag, self._user):
            if choice != "auto":
                return choice == "always"
        if self._environment.get("NO_COLOR"):
            return False
        if any(self._environment.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
            return True
        return self.is_terminal(stream)

    def colours_results(self) -> bool:
        return not self.json and self.colours(sys.stdout)

    def is_terminal(self, stream: IO[str]) -> bool:
        """A terminal that can move its cursor."""
        return stream.isatty() and self._environment.get("TERM") != "dumb"

    def owns_terminal(self) -> bool:
        """Whether a program that draws on the whole screen can: input, output and talk are all a terminal's."""
        return all(map(self.is_terminal, (sys.stdin, sys.stdout, sys.stderr)))

    # ---- stdout ---------------------------------------------------------------------------------------------------

    def result(self, schema: str, data: Any, human: str | Callable[[], Any] = "", *, ok: bool = True) -> None:
        """Give the command's answer: `data` in an envelope under --json, else the text, or what the function prints."""
        self._answered = True
        if self.json:
            self._envelope(schema, ok=ok, data=data, error=None)
        elif isinstance(human, str):
            self.out(human)
        else:
            text = human()
            if isinstance(text, str):
                self.out(text)

    def out(self, text: str, end: str = "\n") -> None:
        """Print to stdout. When the reader has left, the rest is dropped and the command keeps its exit code."""
        self._write(harmless(text + end))

    def stream(self, text: str) -> None:
        """Print a piece of a long answer; raises BrokenPipeError when the reader has left, so that work can stop."""
        self._put(harmless(text))

    def _write(self, text: str) -> None:
        if self._abandoned or self._rank is not None:
            return
        try:
            self._put(text)
        except BrokenPipeError:
            self.abandon()

    def _put(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            error.filename = "stdout"
            raise

    def ask(self, prompt: str) -> str:
        """One line typed at a terminal, with history and editing keys. Raises EOFError at the end of the input."""
        import readline  # noqa: F401 - what gives input() its keys

        return input(prompt)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        title: str | None = None,
        styles: Mapping[str, str] | None = None,
    ) -> None:
        """Print rows: drawn and fitted on a terminal, else plain columns that are never cut.

        styles: rich style of cells with exactly this text, used where there is colour.
        """
        cells = [[harmless(_cell(value)) for value in row] for row in rows]
        if self.is_terminal(sys.stdout):
            self._draw_table(columns, cells, title, styles or {})
            return
        if title:
            self.out(title)
        widths = [
            min(max(len(line[i]) for line in [list(columns), *cells]), WIDEST_ALIGNED) for i in range(len(columns))
        ]
        for line in [list(columns), *cells]:
            self.out("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    def _draw_table(
        self, columns: Sequence[str], cells: list[list[str]], title: str | None, styles: Mapping[str, str]
    ) -> None:
        from rich import box
        from rich.console import Console as Rich
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for column in columns:
            table.add_column(column)
        for line in cells:
            table.add_row(*(Text(cell, styles.get(cell, "")) for cell in line))
        Rich(file=sys.stdout, no_color=not self.colours(sys.stdout), highlight=False).print(table)

    def tree(self, root: Branching) -> None:
        """Print a tree. On a terminal its lines are cut at the edge, elsewhere never."""
        from io import StringIO

        from rich.console import Console as Rich

        terminal = self.is_terminal(sys.stdout)
        drawn = StringIO()
        rich = Rich(
            file=drawn,
            force_terminal=self.colours(sys.stdout),
            no_color=not self.colours(sys.stdout),
            highlight=False,
            width=self.width() if terminal else WIDEST_TREE,
        )
        rich.print(_tree(root), crop=False)
        lines = drawn.getvalue().splitlines()
        self._write("".join(line.rstrip() + "\n" for line in lines))

    # ---- stderr ---------------------------------------------------------------------------------------------------

    def talk(self, text: str, *, label: str = "", colour: str = "") -> None:
        """One or more lines to stderr, behind a label such as `error:` that is painted on a terminal."""
        painted = f"\x1b[{colour}m{label}\x1b[0m" if colour and self.colours(sys.stderr) else label
        try:
            sys.stderr.write(f"{painted} {harmless(text)}\n" if label else f"{harmless(text)}\n")
            sys.stderr.flush()
        except OSError:  # with stderr gone there is nobody to tell, and work must go on
            self.warnings.append("stderr is closed")

    def help(self, text: str) -> None:
        """Our own help text, bold headings and all, for somebody who gave no command."""
        sys.stderr.write(text + "\n" if text else "")

    def note(self, text: str) -> None:
        """Say what is going on."""
        if self._rank is None:
            self.talk(text)

    def warn(self, text: str) -> None:
        """Say what deserves attention; under --json it stands in the envelope too."""
        self.warnings.append(text)
        if self._rank is None:
            self.talk(text, label="warning:", colour=YELLOW)

    def failed(self, error: ThinkError) -> None:
        """Show an error that ends the command; under --json as an envelope, unless the answer was already given.

        Of the processes of a run only one says what all of them know.
        """
        if self._rank is not None and error.rank not in (None, self._rank):
            return
        whose = "" if self._rank is None else f"process {self._rank}: "
        self.talk(f"{whose}{error}", label="error:", colour=RED)
        if self.json and not self._answered:
            self._envelope("think.error/1", ok=False, data=None, error=error.as_json())

    def _envelope(self, schema: str, *, ok: bool, data: Any, error: Any) -> None:
        envelope = {"schema": schema, "ok": ok, "data": data, "warnings": self.warnings, "error": error}
        ascii_only = (sys.stdout.encoding or "utf-8").lower() not in ("utf-8", "utf8")
        text = json_format.dumps(_finite(envelope), allow_nan=False, ensure_ascii=ascii_only, default=str)
        # JSON's own escapes keep the text equal for the reader and harmless for the terminal
        self.out(HARMFUL.sub(lambda found: f"\\u{ord(found.group()):04x}", text))

    # ---- the rest -------------------------------------------------------------------------------------------------

    @contextmanager
    def progress(self, total: float | None, label: str) -> Iterator[Progress]:
        """A bar with the time left on a terminal; elsewhere one plain line every 30 s and one at the end."""
        if self._rank is not None:
            yield _Unseen()
        elif self.is_terminal(sys.stderr) and not self.json:
            from think.cli.progress import bar

            with bar(total, label, no_color=not self.colours(sys.stderr)) as shown:
                yield shown
        else:
            from think.cli.progress import PlainProgress

            plain = PlainProgress(total, label, self.talk, self._clock, PLAIN_PROGRESS_SECONDS)
            yield plain
            plain.finish()

    def finish(self) -> None:
        """Force out what is still buffered, so that a full disk behind stdout is an error and not a surprise."""
        if not self._abandoned:
            sys.stdout.flush()

    def abandon(self) -> None:
        """Stdout has no reader any more: let the interpreter end without complaining about it."""
        self._abandoned = True
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError):  # a captured stdout has no descriptor and needs none of this
            return

    def width(self) -> int:
        """Columns of the terminal, 80 where there is none."""
        return shutil.get_terminal_size().columns


def _tree(root: Branching) -> Any:
    """The same for rich, without a call of itself for each level."""
    from rich.text import Text
    from rich.tree import Tree

    def label(branching: Branching) -> Text:
        text = harmless(branching.text).replace("\n", " ")
        return Text(text, branching.style, no_wrap=True, overflow="ellipsis")

    drawn = Tree(label(root))
    left = [(root, drawn)]
    while left:
        branching, at = left.pop()
        left.extend((child, at.add(label(child))) for child in branching.children)
    return drawn


class _Unseen:
    """Progress of a process that does not speak."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        return


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    """The value with NaN and infinities as strings, which JSON has no numbers for."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_finite(item) for item in value]
    return value


console = Console()
