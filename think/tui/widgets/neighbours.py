"""Keys that show the next run, or the one before, without leaving the screen."""

from collections.abc import Callable

from think.tui.keys import Action
from think.tui.screens import Context, Deed, Effect


def _neighbour(direction: int) -> Callable[[Context, str | None], Effect]:
    def run(context: Context, key: str | None) -> Effect:
        names = [row.name for row in context.view.runs]
        if context.view.selected not in names or len(names) < 2:
            return Effect(message="there is no other run")
        index = (names.index(context.view.selected) + direction) % len(names)
        return Effect(select=names[index], message=f"run {names[index]}")

    return run


DEEDS = (
    Deed(Action("run.next", ("n",), "Next run", 70, "next run"), _neighbour(1)),
    Deed(Action("run.previous", ("p",), "Run before"), _neighbour(-1)),
)
