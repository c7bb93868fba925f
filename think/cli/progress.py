"""How long operations show that they live: a bar on a terminal, plain lines elsewhere. Both write to stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RichProgress:
    """Moves one rich task."""

    def __init__(self, move: Callable[[float, str], None]):
        self._move = move

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._move(amount, note)


@contextmanager
def bar(total: float | None, label: str, *, no_color: bool) -> Iterator[RichProgress]:
    """A rich bar with percentage, elapsed time and time left; `total` None shows life without an end."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(file=sys.stderr, no_color=no_color, stderr=True)) as drawn:
        task = drawn.add_task(label, total=total, note="")
        yield RichProgress(lambda amount, note: drawn.update(task, advance=amount, note=note))


class PlainProgress:
    """One line when `every` seconds have passed since the last, and one at the end."""

    def __init__(
        self, total: float | None, label: str, say: Callable[[str], None], clock: Callable[[], float], every: float
    ):
        self._total, self._label, self._say, self._clock, self._every = total, label, say, clock, every
        self._began = self._said = clock()
        self._done = 0.0
        self._note = ""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._done += amount
        self._note = note
        now = self._clock()
        if now - self._said >= self._every:
            self._said = now
            self._say(self._line(now))

    def finish(self) -> None:
        spent = duration(self._clock() - self._began)
        whole = self._total is not None and self._done >= self._total
        self._say(f"{self._label}: {'done' if whole else f'{self._done:g}'} in {spent}" + self._tail())

    def _line(self, now: float) -> str:
        spent = now - self._began
        if not self._total:
            return f"{self._label}: {self._done:g} after {duration(spent)}" + self._tail()
        share = min(self._done / self._total, 1.0)
        left = f", {duration(spent * (1 - share) / share)} left" if share > 0 else ""
        return f"{self._label}: {share:.0%} after {duration(spent)}{left}" + self._tail()

    def _tail(self) -> str:
        return f" ({self._note})" if self._note else ""


def duration(seconds: float) -> str:
    """12 s, 3 min 05 s, 2 h 07 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
