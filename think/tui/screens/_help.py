"""Every key and command in one list that can be searched, and that runs what is picked."""

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from think.tui.keys import Action, shown
from think.tui.screens import Item, Page
from think.tui.widgets.board import Board
from think.tui.widgets.cells import fit, fit_line, line

KEYS, IDS = 16, 20


class Help(ModalScreen[str | None]):
    """Gives the id of the action that was picked, None for none."""

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Input(placeholder="search the keys; ⏎ runs, esc closes", id="search")
            yield Board(id="found")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        board = self.query_one(Board)
        board.cursor, board.scroll_line = None, 0
        self._fill()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(self.query_one(Board).cursor)

    def on_board_chosen(self, event: Board.Chosen) -> None:
        event.stop()
        self.dismiss(event.key)

    def on_board_scrolled(self, event: Board.Scrolled) -> None:
        event.stop()

    def on_key(self, event: events.Key) -> None:
        board = self.query_one(Board)
        moves = {"down": 1, "up": -1, "ctrl+n": 1, "ctrl+p": -1}
        if event.key == "escape":
            self.dismiss(None)
        elif event.key in moves:
            board.move(0, moves[event.key])
        elif event.key in ("pagedown", "pageup"):
            board.turn_page(1 if event.key == "pagedown" else -1)
        elif event.key == "enter" and self.focused is board:
            self.dismiss(board.cursor)
        else:
            return
        event.stop()
        event.prevent_default()

    def _fill(self) -> None:
        board = self.query_one(Board)
        cells = board.size.width
        found = search(self._actions, self.query_one(Input).value)
        wide = cells >= 70
        body = [
            fit_line(
                line(
                    "  ",
                    (fit(" ".join(shown(key) for key in action.keys), KEYS if wide else KEYS - 6), "key"),
                    (" " + fit(action.title, max(cells - KEYS - IDS - 5, 8) if wide else cells - KEYS + 3), ""),
                    (" " + fit(action.id, IDS) if wide else "", "dim"),
                ),
                cells,
            )
            for action in found
        ]
        if not found:
            body = [line(("  no key or command matches", "dim"))]
        board.put(Page(body, items=tuple(Item(action.id, row) for row, action in enumerate(found))), board.cursor)
        board.reveal()


def search(actions: Sequence[Action], text: str) -> list[Action]:
    """The actions that have all words of the text in them, the nearest first: key, beginning, title, the rest."""
    words = text.lower().split()
    found = [action for action in actions if all(word in _text(action) for word in words)]
    return sorted(found, key=lambda action: _distance(action, text.strip()))


def _distance(action: Action, text: str) -> int:
    wanted, title = text.lower(), action.title.lower()
    head = title.partition(":")[0]
    near = (text in map(shown, action.keys), head.startswith(wanted), action.id.startswith(wanted), wanted in title)
    return next((place for place, true in enumerate(near) if true), len(near)) if text else 0


def _text(action: Action) -> str:
    return f"{action.title} {action.id} {action.label} {' '.join(shown(key) for key in action.keys)}".lower()
