"""What is shown when the reading thread broke: the error itself, instead of a picture that stands still."""

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from think.core.errors import Exit
from think.tui.screens import Page
from think.tui.widgets.board import Board
from think.tui.widgets.cells import heading, line, wrapped


class Fatal(ModalScreen[None]):
    """The last picture stays underneath; training has nothing to do with it and goes on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        yield Board(id="fatal")

    def on_mount(self) -> None:
        self.query_one(Board).focus()
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    def on_board_scrolled(self, event: Board.Scrolled) -> None:
        event.stop()

    def on_key(self, event: events.Key) -> None:
        board = self.query_one(Board)
        if event.key in ("q", "ctrl+c", "ctrl+q"):
            self.app.exit(return_code=Exit.BUG)
        elif event.key == "escape":
            self.dismiss(None)
        elif event.key in ("down", "j", "up", "k"):
            board.scroll(1 if event.key in ("down", "j") else -1)
        event.stop()
        event.prevent_default()

    def _fill(self) -> None:
        board = self.query_one(Board)
        cells = max(board.size.width, 12)
        body = [
            heading("the monitor stopped reading", cells),
            (),
            *wrapped(
                "This is a bug in think; the training that it watched has nothing to do with it.", cells - 2, "bad"
            ),
            *wrapped("q leaves, esc shows the last picture. Please report what follows.", cells - 2),
            (),
        ]
        for text in self._text.splitlines():
            body += wrapped(text, cells - 2, "dim") or [line("")]
        board.put(Page(body), None)
