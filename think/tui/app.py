"""The monitor in a terminal: a thread that reads, a desk that remembers, three rows of widgets that show.

Nothing here moves by itself: a frame is drawn when a new view came or a person did something, and only the lines that
changed are painted.
"""

import asyncio
import contextlib
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from textual import events, on, work
from textual.app import ComposeResult, SystemCommand
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import Worker, WorkerState, get_current_worker

from think.core.errors import Exit
from think.tui import themes
from think.tui.desk import Desk
from think.tui.keys import Action
from think.tui.replay import Replay
from think.tui.screens import Effect, Page
from think.tui.screens._fatal import Fatal
from think.tui.screens._help import Help
from think.tui.source import Source
from think.tui.timers import PunctualApp
from think.tui.view import LogQuery, View
from think.tui.widgets import bars
from think.tui.widgets.bars import Bar
from think.tui.widgets.board import Board

REPLAY_SECONDS = 0.25
NOTE_SECONDS = 4.0
"How long a word of answer stands in the foot line."

MOVES = {"down": (0, 1), "up": (0, -1), "left": (-1, 0), "right": (1, 0)}


class Monitor(PunctualApp, inherit_bindings=False):
    """Shows what a feed finds.

    actions  with the user's keys          replay   plays a run again, None for a live one
    clock    monotonic seconds; tests hand in another one
    """

    CSS_PATH = "think.tcss"
    TITLE = "think"
    ENABLE_COMMAND_PALETTE = False  # its key is one of ours; see `action` palette

    @dataclass
    class Arrived(Message):
        """A new view; a newer one replaces it when it has not been drawn yet."""

        view: View

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Monitor.Arrived)

    def __init__(
        self,
        feed: Source,
        desk: Desk,
        actions: Sequence[Action],
        *,
        replay: Replay | None = None,
        theme: str = "dark",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.feed, self.desk, self.actions, self.replaying = feed, desk, actions, replay
        self._clock = clock
        self._ended = threading.Event()
        self._note, self._note_until = "", 0.0
        self._following = False
        self._queried: LogQuery | None = None
        self._played = clock()
        self._wanted_step: int | None = None
        self.head, self.board, self.foot = Bar(id="head"), Board(id="board"), Bar(id="foot")
        self.entry = Input(placeholder="filter; ⏎ keeps it, esc clears it", id="filter")
        self.animation_level = "none"
        self.use_command_palette = True
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        self.theme = themes.full_name(theme)

    # ---- beginning and end ------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.board
        yield self.entry
        yield self.foot

    def on_mount(self) -> None:
        self.board.focus()
        self._watch()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # no signals here: not the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, None, Exit.TERMINATED)
        if self.replaying is not None:
            self.set_interval(REPLAY_SECONDS, self._play)
        self.call_after_refresh(self.draw)

    def on_unmount(self) -> None:
        self._ended.set()
        self.feed.rouse()

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _watch(self) -> None:
        """Read until the app ends. What goes wrong in here ends the worker, and `on_worker_state_changed` says so."""
        worker = get_current_worker()
        try:
            while not worker.is_cancelled and not self._ended.is_set():
                view = self.feed.tick()
                if view is not None:
                    self.post_message(self.Arrived(view))
                if not self.feed.busy:
                    self.feed.rest()
        finally:
            self.feed.close()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self.push_screen(Fatal("".join(traceback.format_exception(event.worker.error))))

    # ---- views ------------------------------------------------------------------------------------------------------

    def on_monitor_arrived(self, event: Arrived) -> None:
        changed = self.desk.take(event.view)
        if self._following and (newest := _newest(event.view)) not in (None, event.view.selected):
            self.feed.select(newest)
        replay = self.replaying
        if replay is not None and not replay.ready:
            run = event.view.run
            if run is not None and run.exact and replay.learn(run):
                self._played = self._clock()
                self._show_replayed()
        if changed:
            self.draw()
        else:
            self._draw_head()

    def _play(self) -> None:
        """Let the run's time pass."""
        replay, now = self.replaying, self._clock()
        passed, self._played = now - self._played, now
        if replay is None or not replay.ready or self.desk.paused or replay.over:
            return
        replay.advance(passed)
        self._show_replayed()

    def _show_replayed(self) -> None:
        replay = self.replaying
        if replay is not None and replay.step != self._wanted_step:
            self._wanted_step = replay.step
            self.feed.replay(replay.step)
        self._draw_head()

    # ---- drawing ----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Bring the screen up to date with the desk."""
        if not self.is_running:
            return
        page = self.desk.page(self.board.size.width, self.board.size.height, self.board.scroll_line)
        if page is not None:
            place = self.desk.place
            endless = self.desk.spec.query is not None and place.opened is None
            self.board.put(page, place.cursor or page.prefer, at_end=endless and place.follow)
            if self.board.cursor != place.cursor and page.items:
                self.desk.change(cursor=self.board.cursor)
            self._ask(page)
        self._draw_head()
        self._draw_foot()

    def _ask(self, page: Page) -> None:
        """Tell the feed which records the screen needs, when that changed."""
        query = self.desk.spec.query
        if query is None:
            return
        self.desk.drift(page)
        context = self.desk.context(1, 1)
        if context is not None:
            wanted = query(context)
            if wanted != self._queried:
                self._queried = wanted
                self.feed.filter(wanted)

    def _draw_head(self) -> None:
        status = bars.status(self.desk, self.replaying, following=self._following)
        self.head.put(*bars.head(self.desk.listed(), self.desk.current, status, self.head.size.width))

    def _draw_foot(self) -> None:
        applicable = [action for action in self.actions if self.desk.applies(action)]
        labels = {"pause": "go on"} if self.desk.paused else {}
        note = self._note if self._clock() < self._note_until else ""
        if not note and self.desk.place.filter:
            note = f"filter: {self.desk.place.filter}"
        above, below = self.board.hidden
        if not note and (above or below):
            note = f"↑{above} ↓{below}"
        self.foot.put(*bars.foot(applicable, labels, self.foot.size.width, note))

    def say(self, text: str) -> None:
        """A word of answer in the foot line."""
        if text:
            self._note, self._note_until = text, self._clock() + NOTE_SECONDS
            self.set_timer(NOTE_SECONDS + 0.1, self._draw_foot)
            self._draw_foot()

    # ---- keys and mouse ---------------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent):
            self.feed.give_way()
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        if len(self.screen_stack) > 1:
            return
        typing = isinstance(self.focused, Input)
        for action in self.actions:
            if event.key in action.keys and self.desk.applies(action):
                if typing and action.id not in ("back", "up", "down") and event.key not in ("ctrl+c", "ctrl+q"):
                    return
                if typing and event.key == "backspace":
                    return
                event.stop()
                event.prevent_default()
                self.perform(action.id)
                return

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        self.perform(event.action)

    def on_board_chosen(self, event: Board.Chosen) -> None:
        self.desk.change(cursor=event.key, follow=False)
        self.perform("open" if event.again else "")
        self._moved()

    def on_board_scrolled(self) -> None:
        self.draw()

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        self.desk.change(filter=event.value, offset=0)
        self.draw()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self._close_filter()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette offers: every action that means something now, and the themes."""
        for action in self.actions:
            if self.desk.applies(action) and action.id not in MOVES and action.id != "palette":
                yield SystemCommand(action.title, action.id, lambda name=action.id: self.perform(name))
        for name in sorted(self.available_themes):
            yield SystemCommand(f"Theme {name}", "Colours", lambda name=name: self._paint(name), discover=False)

    # ---- what actions do --------------------------------------------------------------------------------------------

    def perform(self, identifier: str) -> None:
        """Do what an action says. Unknown to the present screen: nothing."""
        kind, _, name = identifier.partition(".")
        turn, deed = self.desk.turned_by(identifier), self.desk.done_by(identifier)
        if turn is not None:
            self.say(f"{turn.action.label}: {self.desk.turn(turn)}")
        elif deed is not None:
            context = self.desk.context(self.board.size.width, self.board.size.height)
            if context is not None:
                self._obey(deed.run(context, self.board.cursor))
        elif identifier in MOVES:
            self.board.move(*MOVES[identifier])
            self._moved()
        elif kind == "page":
            self.board.turn_page(1 if name == "down" else -1)
            self._moved()
        elif identifier in ("top", "bottom"):
            self._to_end(-1 if identifier == "top" else 1)
        elif kind == "replay" and self.replaying is not None:
            self._replay(name, self.replaying)
        elif kind == "screen":
            self._go(name)
        else:
            self._common(identifier)
        self.draw()

    def _common(self, identifier: str) -> None:
        match identifier:
            case "open":
                self._open()
            case "back":
                self._back()
            case "filter":
                self._open_filter()
            case "pause":
                self.desk.hold()
            case "follow":
                self._follow()
            case "help":
                listed = [action for action in self.actions if self.desk.applies(action)]
                self.push_screen(Help(listed), lambda picked: self.perform(picked) if picked else None)
            case "palette":
                self.action_command_palette()
            case "theme":
                self._paint(themes.LIGHT.name if self.current_theme.dark else themes.DARK.name)
            case "quit":
                self.exit()

    def _obey(self, effect: Effect) -> None:
        if effect.select is not None:
            self._following = False
            self.feed.select(effect.select)
        if effect.compare is not None:
            self.feed.compare(effect.compare)
        self.desk.obey(effect)
        self.say(effect.message)

    def _open(self) -> None:
        context = self.desk.context(self.board.size.width, self.board.size.height)
        enter = self.desk.spec.enter
        if context is not None and enter is not None and self.board.cursor is not None and self.board.page.items:
            self.desk.change(follow=False)
            self._obey(enter(context, self.board.cursor))
            self.board.scroll_line = 0

    def _back(self) -> None:
        if isinstance(self.focused, Input):
            self.entry.value = ""
            self._close_filter()
        else:
            self.desk.back()

    def _go(self, name: str) -> None:
        if name in ("next", "previous"):
            self.desk.step(1 if name == "next" else -1)
        elif name in self.desk.listed():
            self.desk.go(name)
        self._close_filter()

    def _follow(self) -> None:
        if self.desk.spec.query is not None:
            self.desk.change(follow=True, offset=0)
            self.say("at the newest record")
        else:
            self._following = not self._following
            if self._following and self.desk.newest is not None:
                self.feed.select(_newest(self.desk.newest))
            self.say("follows the newest run" if self._following else "stays with this run")

    def _to_end(self, direction: int) -> None:
        view = self.desk.shown
        if self.desk.spec.query is not None and view is not None and self.desk.place.opened is None:
            beyond = max(view.log.total - len(view.log.lines), 0) if direction < 0 else 0
            self.desk.change(follow=direction > 0, offset=beyond)
        self.board.go_to_end(direction)
        self.desk.change(cursor=self.board.cursor)

    def _moved(self) -> None:
        """The board moved: remember where, and stop following."""
        self.desk.change(cursor=self.board.cursor, follow=False)
        self.draw()

    def _replay(self, name: str, replay: Replay) -> None:
        match name:
            case "faster" | "slower":
                replay.faster(1 if name == "faster" else -1)
            case "forward" | "back":
                replay.jump(1 if name == "forward" else -1)
        self._show_replayed()

    def _open_filter(self) -> None:
        self.entry.add_class("open")
        self.entry.value = self.desk.place.filter
        self.entry.focus()

    def _close_filter(self) -> None:
        self.entry.remove_class("open")
        self.board.focus()
        self.call_after_refresh(self.draw)

    def _paint(self, name: str) -> None:
        self.theme = name
        self.say(f"theme: {name}")


def _newest(view: View) -> str | None:
    """The run whose process started last."""
    return max(view.runs, key=lambda row: (row.started or 0.0, row.name)).name if view.runs else None
