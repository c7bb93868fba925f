"""How the worker thread that reads tells the screens what it found. No textual here."""

from dataclasses import dataclass

from think.tui.view import View


@dataclass(frozen=True, slots=True)
class Frame:
    """A new view; a later one makes an earlier one useless."""

    view: View


@dataclass(frozen=True, slots=True)
class Broken:
    """The feed failed in a way that it should not: what to show instead of a frozen picture."""

    text: str
