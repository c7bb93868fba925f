"""Runs for the monitor's tests, written by the real writer under a clock that the test moves."""

import threading
from pathlib import Path
from typing import Any

from think.core.telemetry.writer import Clock as WriterClock
from think.core.telemetry.writer import Writer
from think.tui.feed import Clock, Feed
from think.tui.view import View


class Hands(WriterClock, Clock):
    """One clock for the writer and the feed. It starts where the process that the tests run in is alive."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - 900_000.0

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        raise AssertionError("nothing here waits")


def begin(folder: Path, clock: Hands, *, resumed_from: int | None = None, **fields: Any) -> Writer:
    folder.mkdir(parents=True, exist_ok=True)
    writer = Writer(folder, clock=clock, heartbeat_seconds=None, largest_segment=fields.pop("largest_segment", 2**26))
    start = {"steps": 1000, "stage": "stage1", "preset": "cpu_smoke", "parameters": 1234} | fields
    writer.write("run_start", resumed_from, resumed_from_step=resumed_from, **start)
    return writer


def take_steps(writer: Writer, clock: Hands, first: int, last: int, seconds: float = 1.0, **fields: Any) -> None:
    """Steps whose loss is 1000 / step, unless told otherwise."""
    for step in range(first, last + 1):
        clock.now += seconds
        writer.write("step", step, **({"loss": 1000.0 / step, "tokens": 64 * step, "gradient_norm": 1.0} | fields))


def settle(feed: Feed, most: int = 10_000) -> View:
    """Tick until nothing waits; the newest view."""
    newest = feed.tick(0.5)  # the first one only looks
    newest = feed.tick(0.5) or newest
    for _ in range(most):
        if not feed.busy:
            break
        newest = feed.tick(0.5) or newest
    assert not feed.busy
    feed.refresh()
    view = feed.tick(0.5)
    assert view is not None
    while feed.busy:
        feed.tick(0.5)
    feed.refresh()
    return feed.tick(0.5) or view
