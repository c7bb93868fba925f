"""A one-shot timer fires late rather than never: a process that is held up still follows its terminal's size."""

import asyncio
import itertools
from collections.abc import Callable

import pytest
from textual import _time, events
from textual.app import App
from textual.geometry import Size
from textual.widgets import Static

from think.tui.timers import PunctualApp


def held_up_in_one_shot_timers(clock: Callable[[], float]) -> Callable[[], float]:
    """A second goes by whenever the task of a one-shot timer reads the clock; the others see time as it is."""
    seconds = itertools.count(1)

    def reading() -> float:
        task = asyncio.current_task()
        held_up = task is not None and task.get_name().startswith("set_timer#")
        return clock() + (next(seconds) if held_up else 0)

    return reading


@pytest.mark.parametrize(("base", "width"), [(PunctualApp, 100), (App, 80)], ids=["ours", "Textual's"])
def test_a_pause_between_two_readings_of_the_clock_does_not_lose_a_resize(base, width, monkeypatch):
    """Textual's own app is the control: when it follows too, `think/tui/timers.py` has become needless."""

    class Wide(base, inherit_bindings=False):
        def compose(self):
            yield Static("as wide as the terminal")

    async def script() -> int:
        app = Wide()
        async with app.run_test(size=(80, 24)) as pilot:
            monkeypatch.setattr(_time, "get_time", held_up_in_one_shot_timers(_time.get_time))
            app.post_message(events.Resize(Size(100, 30), Size(100, 30)))
            await pilot.pause(0.1)
            monkeypatch.undo()
            await pilot.pause()
            return app.query_one(Static).size.width

    assert asyncio.run(script()) == width
