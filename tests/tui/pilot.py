"""Drives the real app without a terminal: keys and mouse go in, frames of plain text come out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.tui.scene import FakeFeed
from think.tui import screens
from think.tui.app import Monitor
from think.tui.desk import Desk, every_action, screens_of
from think.tui.keys import resolved
from think.tui.replay import Replay
from think.tui.widgets.board import Board

DEADLINE_SECONDS = 60.0


def monitor(
    feed: Any,
    *,
    keys: Path | None = None,
    replay: Replay | None = None,
    theme: str = "dark",
    clock: Any = time.monotonic,
) -> Monitor:
    listed = screens.specs()
    desk = Desk(listed, replaying=replay is not None)
    actions = resolved(every_action(listed), keys, screens_of(listed))
    return Monitor(feed, desk, actions, replay=replay, theme=theme, clock=clock)


def frame(app: Monitor) -> str:
    """The screen as plain text. The compositor is Textual's own affair, so it is met here and nowhere else."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


class Driver:
    """A pilot with patience."""

    def __init__(self, app: Monitor, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def desk(self) -> Desk:
        return self.app.desk

    @property
    def board(self) -> Board:
        return self.app.board

    @property
    def frame(self) -> str:
        return frame(self.app)

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Wait for something to become true, no longer than needed."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"{what or 'it'} did not happen:\n{self.frame}"
            await self.pilot.pause(0.01)

    async def sees(self, text: str) -> None:
        await self.until(lambda: text in self.frame, f"the screen showing {text!r}")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()


def drive(
    script: Callable[[Driver], Awaitable[None]],
    *,
    feed: Any = None,
    size: tuple[int, int] = (80, 24),
    **options: Any,
) -> None:
    """Run the script against an app that has drawn its first view."""

    async def run() -> None:
        app = monitor(feed or FakeFeed(), **options)
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot)
            await driver.until(lambda: app.desk.shown is not None and bool(driver.board.shown), "the first frame")
            await pilot.pause()
            await script(driver)

    asyncio.run(run())
