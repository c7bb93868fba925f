"""The head line and the foot line: where one is, what goes on, which keys there are. Their parts can be clicked."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.message import Message

from think.tui.desk import Desk
from think.tui.keys import Action, shown
from think.tui.replay import Replay
from think.tui.screens import Spec
from think.tui.widgets import figures, words
from think.tui.widgets.cells import Line, Span, cell_len, width
from think.tui.widgets.rows import Rows

Target = tuple[int, int, str]
"First cell, cell behind the last, and the action that a click there runs."


class Bar(Rows):
    """One line with parts that run actions."""

    @dataclass
    class Pressed(Message):
        action: str

    targets: Sequence[Target] = ()

    def put(self, of: Line, targets: Sequence[Target]) -> None:
        self.targets = targets
        self.show([of])

    def on_click(self, event: events.Click) -> None:
        for start, stop, action in self.targets:
            if start <= event.x < stop:
                self.post_message(self.Pressed(action))
                return


def head(specs: dict[str, Spec], current: str, status: Sequence[Span], cells: int) -> tuple[Line, list[Target]]:
    """The screens with their keys, the present one marked, and the status at the right end.

    Titles give way where there is no room: first those of other screens, then the status is cut.
    """
    right = width(tuple(status))
    for titled in (True, False):
        spans: list[Span] = []
        targets: list[Target] = []
        at = 0
        for name, spec in specs.items():
            text = f" {spec.key} {spec.title} " if titled or name == current else f" {spec.key} "
            if name == current:
                text = f"[{text.strip()}]"
            targets.append((at, at + cell_len(text), f"screen.{name}"))
            spans.append((text, "here" if name == current else "dim"))
            at += cell_len(text)
        if at + right + 2 <= cells:
            break
    room = cells - at - right
    return (*spans, (" " * max(room - 1, 1), ""), *status, (" ", "")), targets


def status(desk: Desk, replay: Replay | None, *, following: bool) -> list[Span]:
    """What goes on, for the right end of the head line."""
    view = desk.shown
    if view is None:
        return [("reading …", "dim")]
    found: list[Span] = []
    if view.notices:
        notice = view.notices[-1]
        found += [(f"{words.MARKS[notice.level]} {notice.text}", words.LEVELS[notice.level]), ("  ", "")]
    row = view.find(view.selected) if view.selected is not None else None
    if row is not None and desk.current != "runs":
        found += [(f"{row.name} ", ""), words.state(row.state)]
    if replay is not None:
        at = f"{figures.duration(replay.position)} of {figures.duration(replay.length)}"
        found += [("  ", ""), (f"REPLAY {replay.speed:g}x {at}" if replay.ready else "REPLAY reading", "info")]
    if following:
        found += [("  ", ""), ("FOLLOW", "info")]
    if desk.paused:
        found += [("  ", ""), ("PAUSED", "warn")]
    return found


def foot(actions: Sequence[Action], labels: dict[str, str], cells: int, note: str) -> tuple[Line, list[Target]]:
    """As many keys as fit, the lightest first; the help is always among them. note: stands at the right end.

    labels: action id -> what it is called now, where that is not its own label
    """
    listed = sorted((action for action in actions if action.weight is not None and action.keys), key=_weight)
    spans: list[Span] = []
    targets: list[Target] = []
    at, room = 0, cells - (cell_len(note) + 2 if note else 0)
    for action in listed:
        key = shown(action.keys[0])
        label = labels.get(action.id, action.label)
        size = cell_len(key) + cell_len(label) + 4
        if at + size > room:
            continue
        spans += [(" ", ""), (key, "key"), (f" {label}  ", "dim")]
        targets.append((at, at + size, action.id))
        at += size
    if note:
        spans += [(" " * max(cells - at - cell_len(note) - 1, 1), ""), (note, "dim")]
    return tuple(spans), targets


def _weight(action: Action) -> int:
    return action.weight if action.weight is not None else 0
