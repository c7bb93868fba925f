"""Turns run folders into views, a little work at a time. It reads and never writes there."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from think.core.telemetry.process import Identity, alive
from think.tui.view import LogQuery, View


class Clock:
    """Time as the feed sees it; tests hand in another one."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class Feed:
    """Watches one run's folder, or a folder of runs, and makes views of it.

    One thread calls `tick` again and again; any thread may call the setters, which take effect at the next tick.
    `busy` says whether more work waits, so that the caller may tick again at once; otherwise it should wait some 0.1 s.
    Nothing that stands in the files makes it raise; what is wrong with them becomes notices of the views.

        feed = Feed(folder)
        while watching:
            view = feed.tick()
            if view is not None: show(view)
            if not feed.busy: wait(TICK_SECONDS)

    target    a run's folder or a folder of runs; it need not exist (yet)
    is_alive  whether a process lives; tests hand in another answer
    cache     folder of the indexes, None for none at all; default: think/telemetry below the user's cache folder
    """

    def __init__(
        self,
        target: Path,
        *,
        clock: Clock | None = None,
        is_alive: Callable[[Identity], bool | None] = alive,
        cache: Path | None = None,
    ) -> None:
        raise NotImplementedError

    # ---- setters, from any thread -----------------------------------------------------------------------------------

    def select(self, name: str | None) -> None:
        """Show this run in full; None: the newest one."""

    def compare(self, name: str | None) -> None:
        """Show this run beside the selected one; None for none."""

    def filter(self, query: LogQuery) -> None:
        """What the log page shows."""

    def replay(self, until: int | None) -> None:
        """Show nothing later than this step; None shows everything."""

    # ---- the reading thread -----------------------------------------------------------------------------------------

    def tick(self, budget_seconds: float = 0.02) -> View | None:
        """Do about so much work; a view when something changed and the last one is 0.25 s old, else None."""
        raise NotImplementedError

    @property
    def busy(self) -> bool:
        """Whether more work waits now."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the indexes and let go of files."""

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
