"""The body of a screen: a page with a chosen item, scrolled so that this item is in sight."""

from dataclasses import dataclass

from textual import events
from textual.message import Message

from think.tui.screens import Item, Page
from think.tui.widgets.cells import Line, cut, fit_line
from think.tui.widgets.rows import Rows

WHEEL_LINES = 3
MARK = "▸ "


class Board(Rows, can_focus=True):
    """Shows a page. It knows which item is chosen and how far the body is scrolled, and nothing of what they mean."""

    @dataclass
    class Chosen(Message):
        """Somebody clicked an item; again: it was the chosen one already."""

        key: str
        again: bool

    class Scrolled(Message):
        """The body was moved by the wheel, or has another size: other lines are in sight."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.page = Page([])
        self.cursor: str | None = None
        self.scroll_line = 0

    # ---- what is shown ----------------------------------------------------------------------------------------------

    def put(self, page: Page, cursor: str | None, *, at_end: bool = False) -> None:
        """Show a page with this item chosen, or the nearest one; at_end: scrolled to its last line."""
        before = self._item(self.cursor)
        self.page, self.cursor = page, cursor
        found = self._item(cursor)
        if at_end and page.items:
            self.cursor = page.items[-1].key
        elif found is None and page.items:
            near = before.line if before is not None else 0
            self.cursor = min(page.items, key=lambda item: abs(item.line - near)).key
        elif found is not None and before is not None and before.key == found.key and page.above:
            self.scroll_line += found.line - before.line  # lines went or came at the other end: what is read stays put
        if at_end:
            self.scroll_line = self._last_scroll()
        self._paint()

    def reveal(self) -> None:
        """Scroll as little as needed to see the chosen item."""
        item = self._item(self.cursor)
        if item is not None:
            height = self._body_height()
            # the lines above the first item, such as a heading, come into sight with it
            start = 0 if item.line == min(other.line for other in self.page.items) else item.line
            end = item.line + min(item.height, height)
            if start < self.scroll_line:
                self.scroll_line = start if end - start <= height else item.line
            if end > self.scroll_line + height:
                self.scroll_line = end - height
        self._paint()

    @property
    def hidden(self) -> tuple[int, int]:
        """Lines of the body above and below what is in sight."""
        return self.scroll_line, max(len(self.page.body) - self.scroll_line - self._body_height(), 0)

    def _body_height(self) -> int:
        return max(self.size.height - len(self.page.top), 1)

    def _last_scroll(self) -> int:
        return max(len(self.page.body) - self._body_height(), 0)

    def _item(self, key: str | None) -> Item | None:
        return next((item for item in self.page.items if item.key == key), None)

    def _paint(self) -> None:
        self.scroll_line = min(max(self.scroll_line, 0), self._last_scroll())
        start, height = self.scroll_line, self._body_height()
        rows = [*self.page.top, *self.page.body[start : start + height]]
        chosen = self._item(self.cursor)
        if chosen is not None:
            y = chosen.line - start
            if 0 <= y < height:
                rows[len(self.page.top) + y] = self._marked(rows[len(self.page.top) + y], chosen)
        self.show(rows)

    def _marked(self, of: Line, item: Item) -> Line:
        """The line with a mark before the chosen item, which is highlighted."""
        cells = self.size.width
        before, rest = cut(fit_line(of, cells), item.column)
        marked, after = cut(cut(rest, len(MARK))[1], (item.cells or cells - item.column) - len(MARK))
        return (*before, (MARK, "|chosen"), *_highlighted(marked), *after)

    # ---- moving -----------------------------------------------------------------------------------------------------

    def move(self, columns: int, lines: int) -> None:
        """Choose the next item in a direction; where there is none, scroll."""
        current = self._item(self.cursor)
        if current is None or (columns and not any(item.column for item in self.page.items)):
            if lines:
                self.scroll(lines)
            return
        if columns:
            reach = [item for item in self.page.items if item.line == current.line]
            reach = [item for item in reach if (item.column - current.column) * columns > 0]
            best = min(reach, key=lambda item: abs(item.column - current.column), default=None)
        else:
            reach = [item for item in self.page.items if (item.line - current.line) * lines > 0]
            best = min(
                reach,
                key=lambda item: (abs(item.line - current.line), abs(item.column - current.column)),
                default=None,
            )
        if best is not None:
            self.cursor = best.key
            self.reveal()
        elif lines:
            self.scroll(lines)

    def scroll(self, lines: int) -> None:
        """Move the body under the heads; the chosen item stays chosen."""
        self.scroll_line += lines
        self._paint()
        self.post_message(self.Scrolled())

    def turn_page(self, direction: int) -> None:
        """A screenful up or down, the chosen item with it."""
        height = self._body_height()
        current = self._item(self.cursor)
        if current is None:
            self.scroll(direction * height)
            return
        wanted = current.line + direction * height
        if (direction < 0 and current == self.page.items[0]) or (direction > 0 and current == self.page.items[-1]):
            self.scroll(direction * height)
            return
        self.cursor = min(self.page.items, key=lambda item: (abs(item.line - wanted), item.column)).key
        self.scroll_line += direction * height
        self.reveal()

    def go_to_end(self, direction: int) -> None:
        """The first or the last line, and item."""
        if self.page.items:
            self.cursor = self.page.items[0 if direction < 0 else -1].key
        self.scroll_line = 0 if direction < 0 else self._last_scroll()
        self._paint()

    # ---- mouse ------------------------------------------------------------------------------------------------------

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.scroll(WHEEL_LINES)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.scroll(-WHEEL_LINES)
        event.stop()

    def on_click(self, event: events.Click) -> None:
        place = event.y - len(self.page.top) + self.scroll_line
        if event.y < len(self.page.top):
            return
        for item in self.page.items:
            inside = item.cells is None or item.column <= event.x < item.column + item.cells
            if inside and item.line <= place < item.line + item.height:
                self.post_message(self.Chosen(item.key, again=item.key == self.cursor))
                return

    def on_resize(self) -> None:
        self.reveal()
        self.post_message(self.Scrolled())


def _highlighted(of: Line) -> Line:
    return tuple((text, f"{role}|chosen") for text, role in of)
