"""Turns run folders into views, a little work at a time. It reads and never writes there."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from think.core import plugins
from think.core.runs import RunFolder, runs
from think.core.telemetry.process import Identity, alive
from think.core.telemetry.sidecar import Sidecars
from think.core.telemetry.writer import segments
from think.core.text import one_line
from think.tui.logbook import Logbook
from think.tui.memory import give_back
from think.tui.view import LIVE, Comparison, Difference, LogQuery, Notice, RunRow, RunView, View
from think.tui.views import settings
from think.tui.views.extra import FAMILY, Extra
from think.tui.views.handoff import HandoffLog
from think.tui.watch import Watch

FRAME_SECONDS = 0.25
"Between two views: at most four a second."

IDLE_SECONDS = 5.0
"Between two views in which only ages and silences moved."

FOLLOW_SECONDS = 0.1
"Between two looks at the files of the runs that are shown in full, while they grow."

CALM_SECONDS = 0.25
"Between two looks at files that did not grow for a second: looking is most of what an idle monitor does."

OTHERS_SECONDS = 1.0
"Between two looks at those of the other runs, and at the folder for new ones."

WAY_SECONDS = 0.1
"How long reading rests after a key: the answer is drawn in a fraction of it."

DEEP_RUNS = 3
"Runs whose curves are kept: the selected one, the compared one, and the one before."

SAVE_SECONDS = 60.0
"Between two writings of an index while a run goes on."


class Clock:
    """Time as the feed sees it; tests hand in another one."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True)
class Wishes:
    """What the screens asked for; replaced as a whole."""

    selected: str | None = None
    compared: str | None = None
    query: LogQuery | None = None
    until: int | None = None


class Feed:
    """Watches one run's folder, or a folder of runs, and makes views of it.

    One thread calls `tick` again and again; any thread may call the setters, which take effect at the next tick.
    `busy` says whether more work waits, so that the caller may tick again at once; otherwise it should `rest`, which
    lasts until a setter was called, or until it is time to look at the files again. `busy` is false after the first
    view: whoever draws it should not have to share the interpreter with the history.
    Nothing that stands in the files makes it raise; what is wrong with them becomes notices of the views.

        feed = Feed(folder)
        while watching:
            view = feed.tick()
            if view is not None: show(view)
            if not feed.busy: feed.rest()

    target    a run's folder or a folder of runs; it need not exist (yet)
    is_alive  whether a process lives; tests hand in another answer
    indexes   where indexes are kept between two sessions; None for nowhere
    extras    what further screens need, by name; None: the files in think/tui/views/extra/
    handoff   the folder of the project's handoff log, which need not hold one (yet); None: none is looked for
    """

    def __init__(
        self,
        target: Path,
        *,
        clock: Clock | None = None,
        is_alive: Callable[[Identity], bool | None] = alive,
        indexes: Sidecars | None = None,
        extras: Mapping[str, Extra] | None = None,
        handoff: Path | None = None,
    ) -> None:
        self.target = target
        self._clock = clock or Clock()
        self._is_alive = is_alive
        self._indexes = indexes
        self._given_extras = extras
        self._handoff = None if handoff is None else HandoffLog(handoff)
        self._lock = threading.Lock()
        self._wishes = Wishes()
        self._heeded: Wishes | None = None
        self.one_run = RunFolder(target).exists()
        self._watches: dict[str, Watch] = {}
        self._deep: list[str] = []
        self._selected: str | None = None
        self._logbook: Logbook | None = None
        self._number = 0
        self._busy = True
        self._shown = self._listed = self._followed = self._followed_others = self._saved = -1e9
        self._way_until = self._grew = -1e9
        self._roused = threading.Event()
        self._changed = self._grown = True
        self._notices: tuple[Notice, ...] = ()
        self._rows: dict[str, RunRow] = {}
        self._full: dict[str, RunView] = {}

    # ---- setters, from any thread -----------------------------------------------------------------------------------

    def select(self, name: str | None) -> None:
        """Show this run in full; None: the newest one."""
        self._wish(selected=name)

    def compare(self, name: str | None) -> None:
        """Show this run beside the selected one; None for none."""
        self._wish(compared=name)

    def filter(self, query: LogQuery | None) -> None:
        """What the log page shows; None, as at the beginning: nobody looks at it, and it stays empty."""
        self._wish(query=query)

    def replay(self, until: int | None) -> None:
        """Show nothing later than this step; None shows everything."""
        self._wish(until=until)

    def give_way(self) -> None:
        """Read no history for a moment: somebody pressed a key, and drawing the answer needs the interpreter."""
        self._way_until = self._clock.monotonic() + WAY_SECONDS

    def refresh(self) -> None:
        """Give a view at the next tick, whatever changed."""
        self._heeded = None

    def _wish(self, **changes: Any) -> None:
        with self._lock:
            self._wishes = replace(self._wishes, **changes)
        self.rouse()

    # ---- the reading thread -----------------------------------------------------------------------------------------

    def tick(self, budget_seconds: float = 0.02) -> View | None:
        """Do about so much work; a view when something changed and the last one is 0.25 s old, else None."""
        mono, now = self._clock.monotonic(), self._clock.time()
        stop = time.perf_counter() + budget_seconds
        until: Callable[[], bool] = lambda: time.perf_counter() >= stop or self._clock.monotonic() < self._way_until  # noqa: E731
        wishes = self._wishes
        if wishes != self._heeded:
            self._heeded, self._changed, self._shown = wishes, True, -1e9  # an answer to a key does not wait
        self._busy = False
        if mono - self._listed >= OTHERS_SECONDS:
            self._listed = mono
            self._list()
        self._choose(wishes, now, mono)
        shown = self._in_full(wishes)
        if mono - self._followed >= FOLLOW_SECONDS or any(watch.index.changed for watch in shown):
            self._followed = mono
            for watch in shown:
                self._busy |= watch.follow(until, now, mono)
                watch.read_files(now, mono)
        if mono < self._way_until:
            self._busy = False
        elif self._number:  # the first picture waits for nothing that can come later, and neither does its drawing
            self._work(shown, until, now, mono)
        self._look_at_log(wishes, until)
        if self._handoff is not None:
            self._changed |= self._handoff.look(mono)
        if any(watch.changed for watch in self._watches.values()):
            self._changed, self._grew = True, mono
        view = self._frame(wishes, now, mono)
        if view is not None and view.number == 1:
            self._busy, self._grew = False, mono
        if view is not None and self._grown and not self._busy:
            self._grown = False
            give_back()
        return view

    @property
    def busy(self) -> bool:
        """Whether more work waits now."""
        return self._busy

    def rest(self) -> None:
        """Wait until there may be something to do, a quarter of a second at most."""
        calm = self._clock.monotonic() - self._grew >= 1.0
        self._roused.wait(CALM_SECONDS if calm else FOLLOW_SECONDS)
        self._roused.clear()

    def rouse(self) -> None:
        """End the rest that goes on, or the next one."""
        self._roused.set()

    def close(self) -> None:
        """Write the indexes."""
        self._save(every=True)

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- what is watched --------------------------------------------------------------------------------------------

    def _list(self) -> None:
        """Take note of new runs; one whose folder was removed stays, as "gone"."""
        self.one_run = self.one_run or (not self._watches and RunFolder(self.target).exists())
        found = [RunFolder(self.target)] if self.one_run else runs(self.target)
        for folder in found:
            name = one_line(folder.name)  # as the views show it, so that the screens can ask for it
            if name not in self._watches:
                self._watches[name] = Watch(name, folder.path, self._is_alive)
                self._changed = True
        if len(found) > 0 or self._watches:
            self._watches = dict(sorted(self._watches.items()))
        missing = () if self.target.is_dir() else (Notice("warning", "this folder is not there"),)
        self._changed |= missing != self._notices
        self._notices = missing

    def _choose(self, wishes: Wishes, now: float, mono: float) -> None:
        """Open what is shown in full, and let go of curves that nobody looked at lately."""
        wanted = wishes.selected if wishes.selected in self._watches else None
        if wanted is None and self._selected not in self._watches:
            wanted = max(self._watches, key=self._age, default=None)
        if wanted is not None and wanted != self._selected:
            self._selected, self._changed, self._logbook = wanted, True, None
        for watch in self._in_full(wishes):
            if not watch.index.deep:
                watch.open()
                self._deepen(watch)
                watch.read_files(now, mono, force=True)
            if watch.name in self._deep:
                self._deep.remove(watch.name)
            self._deep.append(watch.name)
        while len(self._deep) > DEEP_RUNS:
            name = self._deep.pop(0)
            self._save_one(self._watches[name])
            self._watches[name].index.flatten()
            self._full.pop(name, None)

    def _deepen(self, watch: Watch) -> None:
        if self._indexes is not None:
            self._indexes.load(watch.index)
        watch.index.deepen()

    def _age(self, name: str) -> float:
        """When a run was last written to, told by its files alone."""
        for path in reversed(segments(self._watches[name].path)):
            try:
                return os.stat(path).st_mtime
            except OSError:
                continue
        return 0.0

    def _in_full(self, wishes: Wishes) -> list[Watch]:
        names = dict.fromkeys(name for name in (self._selected, wishes.compared) if name in self._watches)
        return [self._watches[name] for name in names if name is not None]

    # ---- work -------------------------------------------------------------------------------------------------------

    def _work(self, shown: list[Watch], until: Callable[[], bool], now: float, mono: float) -> None:
        """What can wait: runs not opened yet, other runs, older history, indexes."""
        unopened = [watch for watch in self._watches.values() if not watch.opened]
        for watch in sorted(unopened, key=lambda watch: self._age(watch.name), reverse=True):
            if until():
                self._busy = True
                return
            watch.open()
            watch.read_files(now, mono, force=True)
        if mono - self._followed_others >= OTHERS_SECONDS:
            self._followed_others = mono
            for watch in self._watches.values():
                if watch not in shown:
                    watch.follow(until, now, mono)
                    watch.read_files(now, mono)
        for watch in shown:
            if not until() and not watch.index.exact:
                watch.changed |= watch.index.backfill(until)
                self._grown = True
            self._busy |= not watch.index.exact
        for watch in self._watches.values():
            if until():
                self._busy = True
                return
            watch.index.seek_evaluation()
        if mono - self._saved >= SAVE_SECONDS and not self._busy:
            self._saved = mono
            self._save(every=False)

    def _save(self, *, every: bool) -> None:
        for watch in self._watches.values():
            if watch.index.deep and (every or watch.name == self._selected):
                self._save_one(watch)

    def _save_one(self, watch: Watch) -> None:
        if self._indexes is not None and not watch.index.gone:
            self._indexes.save(watch.index)

    def _look_at_log(self, wishes: Wishes, until: Callable[[], bool]) -> None:
        if self._selected is None or wishes.query is None:
            self._logbook = None
            return
        if self._logbook is None:
            self._logbook = Logbook(self._watches[self._selected].index)
        self._logbook.ask(wishes.query)
        self._logbook.look(until)
        self._busy |= self._logbook.busy
        self._changed |= self._logbook.changed

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _frame(self, wishes: Wishes, now: float, mono: float) -> View | None:
        waited = mono - self._shown
        lives = any(row.state in LIVE for row in self._rows.values())
        if not (waited >= FRAME_SECONDS and self._changed) and not (waited >= IDLE_SECONDS and lives):
            return None
        self._shown, self._changed = mono, False
        self._number += 1
        for name, watch in self._watches.items():
            watch.index.changed = False
            if watch.changed or name not in self._rows or self._rows[name].state in LIVE:
                self._rows[name] = watch.row(now, mono)
        full = {watch.name: self._in_detail(watch, wishes) for watch in self._in_full(wishes)}
        for watch in self._watches.values():
            watch.changed = False
        selected, compared = self._selected, wishes.compared if wishes.compared in full else None
        chosen = self._watches[selected] if selected is not None else None
        notices = self._notices
        if self._indexes is not None:
            notices = (*notices, *(Notice("warning", text) for text in self._indexes.problems))
        return View(
            number=self._number,
            time=now,
            target=one_line(str(self.target)),
            runs=tuple(self._rows[name] for name in self._watches),
            selected=selected,
            compared=compared,
            one_run=self.one_run,
            run=full[selected] if selected is not None else None,
            other=full[compared] if compared is not None else None,
            comparison=self._comparison(full, selected, compared),
            gates=chosen.board if chosen is not None else View(0, 0.0, "").gates,
            handoff=self._handoff.view if self._handoff is not None else None,
            log=self._logbook.page() if self._logbook is not None else View(0, 0.0, "").log,
            notices=notices,
            until=wishes.until,
            extra={name: make(chosen.index, wishes.until) for name, make in self._extras.items()} if chosen else {},
        )

    def _in_detail(self, watch: Watch, wishes: Wishes) -> RunView:
        until = wishes.until if watch.name == self._selected else None
        return watch.view(self._rows[watch.name], until)

    @staticmethod
    def _comparison(full: Mapping[str, RunView], left: str | None, right: str | None) -> Comparison | None:
        if left is None or right is None or left == right:
            return None
        one, other = full[left], full[right]
        results = tuple(
            Difference(label, _said(getattr(one.row, field)), _said(getattr(other.row, field)))
            for label, field in (
                ("state", "state"),
                ("step", "step"),
                ("loss", "loss"),
                ("held-out loss", "held_out"),
                ("tokens per second", "speed"),
                ("parameters", "parameters"),
                ("anomalies", "anomalies"),
            )
        )
        return Comparison(left, right, settings.differences(one.settings, other.settings), results)

    @cached_property
    def _extras(self) -> Mapping[str, Extra]:
        if self._given_extras is not None:
            return self._given_extras
        return {name: plugins.load(FAMILY, name) for name in plugins.names(FAMILY)}


def _said(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
