"""Screens, one a file: `SPEC = Spec(...)` is all that a file must export, and nothing else is edited to add one.

A screen is a function from what is known (a View), what the person chose, and a size, to a page of text. It keeps no
state and does no input or output; how keys move on it, how it is filtered, held and painted is the same for all.
Data that no View holds yet comes from a file of the same name in `think/tui/views`, as `View.extra`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from think.core import plugins
from think.tui.keys import Action
from think.tui.view import LogQuery, View
from think.tui.widgets.cells import Block

FAMILY = "think.tui.screens"


@dataclass(frozen=True)
class Item:
    """Something that can be chosen: where it stands on the page.

    key     what it is called on this screen, the same in every frame
    line    first line in the body;   height: lines
    column  first cell;   cells: how many, None for the whole line. The two cells at `column` are kept blank for a mark
    """

    key: str
    line: int
    column: int = 0
    cells: int | None = None
    height: int = 1


@dataclass(frozen=True)
class Page:
    """What a screen shows: `top` stays, `body` scrolls under it.

    above, below: the body is a part of something longer, which goes on there
    prefer: the item that is chosen as long as nobody chose one
    """

    body: Block
    top: Block = field(default_factory=list)
    items: tuple[Item, ...] = ()
    above: bool = False
    below: bool = False
    prefer: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a person is on a screen.

    cursor   key of the chosen item         opened   key of the item that is open, None for the screen itself
    filter   text behind `/`                offset   entries between the end and what is shown, for endless pages
    follow   stay at the newest
    """

    cursor: str | None = None
    opened: str | None = None
    filter: str = ""
    offset: int = 0
    follow: bool = True


@dataclass(frozen=True)
class Context:
    """All that a screen may look at.

    width, height  of the page in cells          first    the line of the body that is the topmost in sight
    options        name -> position, as turned by Turn
    """

    view: View
    place: Place
    width: int
    height: int
    options: Mapping[str, int]
    first: int = 0

    def sees(self, line: int, height: int) -> bool:
        """Whether any of these lines of the body is in sight; what is not need not be drawn, only take its room."""
        return line < self.first + self.height and line + height > self.first

    def option(self, name: str) -> int:
        return self.options.get(name, 0)


@dataclass(frozen=True)
class Effect:
    """What choosing something does; what is None stays as it is."""

    select: str | None = None
    compare: str | None = None
    screen: str | None = None
    opened: str | None = None
    message: str = ""


@dataclass(frozen=True)
class Turn:
    """A key that turns an option one position on.

    option     shared by all screens that turn the option of this name
    positions  what each position is called; two of them make a switch
    """

    action: Action
    option: str
    positions: tuple[str, ...]


@dataclass(frozen=True)
class Deed:
    """A key that does something with the chosen item; its key is None where nothing is chosen."""

    action: Action
    run: Callable[[Context, str | None], Effect]


def _open(context: Context, key: str) -> Effect:
    return Effect(opened=key)


def _always(view: View) -> bool:
    return True


@dataclass(frozen=True)
class Spec:
    """One screen.

    key      the key that shows it, a digit or a letter; screens stand in the order of their keys
    draw     the page
    enter    what choosing an item does; None where items do not open
    shown    whether there is anything that it could show; a screen without is not listed
    query    the page of records that the screen needs
    """

    title: str
    key: str
    draw: Callable[[Context], Page]
    about: str
    enter: Callable[[Context, str], Effect] | None = _open
    turns: tuple[Turn, ...] = ()
    deeds: tuple[Deed, ...] = ()
    filterable: bool = False
    shown: Callable[[View], bool] = _always
    query: Callable[[Context], LogQuery] | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(turned.action for turned in self.turns) + tuple(deed.action for deed in self.deeds)


def specs() -> dict[str, Spec]:
    """Every screen by the name of its file, in the order of the keys."""
    found: dict[str, Spec] = {name: plugins.load(FAMILY, name) for name in plugins.names(FAMILY)}
    return dict(sorted(found.items(), key=lambda pair: pair[1].key))
