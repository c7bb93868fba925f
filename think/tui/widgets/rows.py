"""Lines of cells on the screen, painted anew only where they changed."""

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from think.tui.widgets.cells import ROLES, Block, Line, width


class Rows(Widget, can_focus=False):
    """Shows a block; a line that stays equal costs nothing."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"role--{role}" for role in ROLES} | {"role--chosen"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: Block = []
        self._styles: dict[str, Style] = {}

    @property
    def shown(self) -> Block:
        """The lines as last given, for tests and for what is clicked."""
        return self._shown

    def show(self, block: Block) -> None:
        """Show these lines from the top."""
        before, self._shown = self._shown, block
        changed = [
            y
            for y in range(max(len(before), len(block)))
            if (before[y] if y < len(before) else ()) != (block[y] if y < len(block) else ())
        ]
        if changed:
            cells = self.size.width
            self.refresh(*(Region(0, y, cells, 1) for y in changed if y < self.size.height))

    def notify_style_update(self) -> None:
        self._styles.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        return self.strip(self._shown[y] if y < len(self._shown) else ())

    def strip(self, of: Line) -> Strip:
        """The line as wide as the widget."""
        segments = [Segment(text, self.style_of(role)) for text, role in of]
        return Strip(segments, width(of)).adjust_cell_length(self.size.width, self.style_of(""))

    def style_of(self, role: str) -> Style:
        """How a role looks in the present theme; "good|chosen" is a role on the highlight of the chosen item."""
        if role not in self._styles:
            name, _, chosen = role.partition("|")
            style = self.get_component_rich_style(f"role--{name}") if name else self.rich_style
            self._styles[role] = (
                style + self.get_component_rich_style("role--chosen", partial=True) if chosen else style
            )
        return self._styles[role]
