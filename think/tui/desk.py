"""What the person chose, apart from any terminal: the screen, the place on it, options, whether the picture is held."""

from dataclasses import replace

from think.tui.keys import COMMON, REPLAY, Action
from think.tui.screens import Context, Deed, Effect, Page, Place, Spec, Turn
from think.tui.view import View

MARGIN = 8
"Entries left before an end of an endless page at which the next stretch is asked for."


class Desk:
    """Holds the newest view, the one that is shown, and the person's choices. It asks nobody and draws nothing.

    specs   the screens by name, in their order;   replaying: whether the keys of a replay apply
    """

    def __init__(self, specs: dict[str, Spec], *, replaying: bool = False) -> None:
        self.specs = specs
        self.replaying = replaying
        self.newest: View | None = None
        self.shown: View | None = None
        self.paused = False
        self._begun = False
        self.current = next(iter(specs))
        self.visited: list[str] = []
        self.places = {name: Place() for name in specs}
        self.options: dict[str, int] = {}

    def begin_with(self, name: str) -> None:
        """Show this screen first, whatever there is to see."""
        self.current, self._begun = name, True

    # ---- what comes in ----------------------------------------------------------------------------------------------

    def take(self, view: View) -> bool:
        """A new view; whether the picture changes."""
        first = self.newest is None
        self.newest = view
        if first and view.one_run and not self._begun:
            self.current = "run"
        if self.paused and self.shown is not None:
            return False
        self.shown = view
        if self.current not in self.listed():
            self.go(next(iter(self.listed())))
        return True

    def hold(self) -> None:
        """Hold the picture, or let it go on."""
        self.paused = not self.paused
        if not self.paused:
            self.shown = self.newest

    # ---- what is shown ----------------------------------------------------------------------------------------------

    @property
    def spec(self) -> Spec:
        return self.specs[self.current]

    @property
    def place(self) -> Place:
        return self.places[self.current]

    def change(self, **changes: object) -> None:
        self.places[self.current] = replace(self.place, **changes)  # type: ignore[arg-type]

    def listed(self) -> dict[str, Spec]:
        """The screens that have something to show, by name."""
        view = self.shown
        return {name: spec for name, spec in self.specs.items() if view is None or spec.shown(view)}

    def context(self, width: int, height: int, first: int = 0) -> Context | None:
        """None before the first view.   first: the topmost line of the body that is in sight."""
        if self.shown is None:
            return None
        return Context(self.shown, self.place, max(width, 1), max(height, 1), self.options, first)

    def page(self, width: int, height: int, first: int = 0) -> Page | None:
        context = self.context(width, height, first)
        return None if context is None else self.spec.draw(context)

    # ---- what the person does ---------------------------------------------------------------------------------------

    def go(self, name: str) -> None:
        """Show a screen."""
        if name != self.current:
            self.visited = [*self.visited[-8:], self.current]
            self.current = name

    def step(self, direction: int) -> None:
        """The next screen, or the one before."""
        names = list(self.listed())
        self.go(names[(names.index(self.current) + direction) % len(names)])

    def back(self) -> None:
        """Close what is open, else clear the filter, else show the screen before."""
        if self.place.opened is not None:
            self.change(opened=None)
        elif self.place.filter:
            self.change(filter="", offset=0)
        elif self.visited:
            self.current = self.visited.pop()

    def obey(self, effect: Effect) -> None:
        """Take over what an effect says about screens and items; runs are the feed's business."""
        if effect.opened is not None:
            self.change(opened=effect.opened or None)
        if effect.screen is not None:
            self.go(effect.screen)
            self.change(opened=None)

    def turn(self, turn: Turn) -> str:
        """Turn an option one position on; its new position in words."""
        position = (self.options[turn.option] + 1 if turn.option in self.options else 1) % len(turn.positions)
        self.options[turn.option] = position
        return turn.positions[position]

    def drift(self, page: Page) -> bool:
        """Move an endless page on when the chosen item nears one of its ends; whether it moved."""
        keys = [item.key for item in page.items]
        if self.place.cursor not in keys or self.place.follow:
            return False
        index = keys.index(self.place.cursor)
        half = max(len(keys) // 2, 1)
        if index < MARGIN and page.above:
            self.change(offset=self.place.offset + half)
            return True
        if index >= len(keys) - MARGIN and page.below:
            self.change(offset=max(self.place.offset - half, 0))
            return True
        return False

    # ---- keys -------------------------------------------------------------------------------------------------------

    def turned_by(self, identifier: str) -> Turn | None:
        return next((turn for turn in self.spec.turns if turn.action.id == identifier), None)

    def done_by(self, identifier: str) -> Deed | None:
        return next((deed for deed in self.spec.deeds if deed.action.id == identifier), None)

    def applies(self, action: Action) -> bool:
        """Whether an action means anything on the present screen."""
        kind, _, name = action.id.partition(".")
        if kind == "screen" and name not in ("next", "previous"):
            return name in self.listed()
        if kind == "replay":
            return self.replaying
        if action.id == "filter":
            return self.spec.filterable and self.place.opened is None
        if action.id in _COMMON:
            return True
        return self.turned_by(action.id) is not None or self.done_by(action.id) is not None


_COMMON = frozenset(action.id for action in COMMON)


def every_action(specs: dict[str, Spec]) -> tuple[Action, ...]:
    """All actions there are: common ones, a key for each screen, what each screen adds; each id once."""
    found = {action.id: action for action in (*COMMON, *REPLAY)}
    for name, spec in specs.items():
        key = f"screen.{name}"
        found[key] = Action(key, (spec.key,), f"{spec.title}: {spec.about}")
    for spec in specs.values():
        found |= {action.id: action for action in spec.actions}
    return tuple(found.values())


def screens_of(specs: dict[str, Spec]) -> dict[str, frozenset[str]]:
    """Action id -> the screens that it belongs to, for actions that are not common."""
    found: dict[str, set[str]] = {}
    for name, spec in specs.items():
        for action in spec.actions:
            found.setdefault(action.id, set()).add(name)
    return {identifier: frozenset(names) for identifier, names in found.items()}
