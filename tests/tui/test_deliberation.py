"""The Deliberation screen: what stands in the records is what is shown, whatever else the records hold."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.tui import scene
from tests.tui.pilot import Driver, monitor
from tests.tui.writing import Hands, begin, settle, take_steps
from think.core.runs import RunFolder
from think.core.telemetry.index import Index
from think.core.telemetry.writer import Writer
from think.tui.feed import Feed
from think.tui.screens import Context, Place
from think.tui.screens.deliberation import SPEC
from think.tui.views.extra import deliberation
from think.tui.views.extra.deliberation import Deliberation, Deliberations
from think.tui.widgets.cells import plain, width

SEARCH: dict[str, Any] = {
    "generation": 1,
    "captured": 16,
    "position": 16,
    "seconds": 0.004,
    "tokens": [31, 7],
    "confidence": [0.5, 0.0],
    "simulations": 16,
    "nodes": 17,
    "depth": 3,
    "value": 0.62,
    "actions": [31, 12],
    "visits": [12, 4],
    "values": [0.7, 0.4],
    "priors": [0.2, 0.6],
}
INJECTION: dict[str, Any] = {
    "generation": 1,
    "position": 16,
    "fate": "late",
    "lag": 3,
    "milliseconds": 21.5,
    "alpha": [0.018, 0.0],
    "moved": [0.004, 0.0],
    "tokens": [31, 7],
}


def read(folder: Path, follow: Deliberation, until: int | None = None) -> Deliberations | None:
    return follow(Index(folder), until)


def page(found: Deliberations, cells: int = 120) -> list[str]:
    view = scene.view(extra={"deliberation": found})
    drawn = SPEC.draw(Context(view, Place(), cells, 40, {}))
    assert all(width(of) <= cells for of in drawn.body)
    return [plain(of) for of in (*drawn.top, *drawn.body)]


def test_records_of_searches_and_plans_come_as_they_are_written(tmp_path: Path) -> None:
    clock, follow = Hands(), Deliberation()
    with begin(tmp_path / "run", clock) as writer:
        take_steps(writer, clock, 1, 3)
        assert read(tmp_path / "run", follow) is None
        writer.write("search", **SEARCH)
        writer.write("injection", **INJECTION)
        found = read(tmp_path / "run", follow)
        assert found is not None
        assert (found.searched, found.fates, found.whole) == (1, (("late", 1),), True)
        writer.write("injection", **INJECTION | {"fate": "too_late", "alpha": [], "moved": []})
        found = read(tmp_path / "run", follow)
    assert found is not None
    assert found.fates == (("late", 1), ("too_late", 1))
    assert [row.fate for row in found.injections] == ["late", "too_late"]
    assert found.searches[0].visits == (12.0, 4.0)
    text = "\n".join(page(found))
    assert "1 searches, 1 injections" in text
    assert "16 simulations · 17 nodes · depth 3 · value 0.620" in text
    assert "plan 31 7   confidence 0.5 0" in text
    assert "0.018 0" in text
    assert "lag 3.00 tokens" in text
    assert "lag 21.5 ms" in text
    row = next(of.split() for of in page(found) if of.strip().startswith("31 "))
    assert row == ["31", "12", "█" * 20, "0.700", "20.0%", "planned"]


def test_texts_written_later_are_shown_as_they_are_written_and_leave_the_run_as_it_is(tmp_path: Path) -> None:
    """What `think generate --record` writes beside the training of a run, one segment a process."""
    clock, folder = Hands(), tmp_path / "run"
    with begin(folder, clock) as writer:
        take_steps(writer, clock, 1, 3)
    feed = Feed(folder, clock=clock, is_alive=lambda who: False)
    before = settle(feed)
    assert before.extra["deliberation"] is None
    place = RunFolder(folder).deliberations
    place.mkdir()
    for session in (1, 2):
        with Writer(place, run="run", clock=clock, heartbeat_seconds=None) as writer:
            writer.write("search", **SEARCH)
            writer.write("injection", **INJECTION)
            clock.now += 10.0
            views = [view for view in (feed.tick(0.5) for _ in range(4)) if view is not None]
            assert views, "the monitor has noticed without being asked"
            assert views[-1].extra["deliberation"].searched == session
    assert settle(feed).runs[0].step == before.runs[0].step == 3
    assert len(list(place.glob("telemetry-*.jsonl"))) == 2


def test_a_replay_shows_what_had_happened_by_then(tmp_path: Path) -> None:
    clock = Hands()
    with begin(tmp_path / "run", clock) as writer:
        for step in (5, 10):
            writer.write("search", step, **SEARCH | {"position": step})
    found = read(tmp_path / "run", Deliberation(), until=7)
    assert found is not None
    assert [row.position for row in found.searches] == [5]
    assert read(tmp_path / "run", Deliberation(), until=4) is None


def test_what_a_record_should_not_hold_is_harmless(tmp_path: Path) -> None:
    clock = Hands()
    with begin(tmp_path / "run", clock) as writer:
        writer.write("search", **dict.fromkeys(SEARCH, scene.HOSTILE))
        writer.write("search", tokens=[1, "x", None, True, 2.5], actions=[1, 2, 3], visits=["many"], value="nan")
        writer.write("search")
        writer.write("injection", fate="\x1b[31mred", lag="late", alpha=[None, 0.1], milliseconds=float("inf"))
    segment = next((tmp_path / "run").glob("telemetry-*.jsonl"))
    segment.write_bytes(segment.read_bytes() + b'{"kind":"search" torn\n[1, "kind":"search"]\n' + b'{"kind":"search"')
    found = read(tmp_path / "run", Deliberation())
    assert found is not None
    assert found.searched == 3
    assert found.searches[1].line == (1,)
    for cells in (40, 80, 200):
        assert "\x1b" not in "\n".join(page(found, cells))


def test_of_a_long_history_the_newest_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliberation, "MOST_BYTES", 2000)
    clock = Hands()
    with begin(tmp_path / "run", clock) as writer:
        for position in range(40):
            writer.write("search", **SEARCH | {"position": position})
    found = read(tmp_path / "run", Deliberation())
    assert found is not None
    assert not found.whole
    assert 0 < found.searched < 40
    assert found.searches[-1].position == 39
    assert "of the newest records" in page(found)[0]


def test_the_screen_is_there_for_runs_that_deliberate(tmp_path: Path) -> None:
    clock = Hands()
    with begin(tmp_path / "plain", clock) as writer:
        take_steps(writer, clock, 1, 3)
    with begin(tmp_path / "thinks", clock) as writer:
        writer.write("search", **SEARCH)
        writer.write("injection", **INJECTION)
    for name, there in (("plain", False), ("thinks", True)):
        feed = Feed(tmp_path / name, clock=clock, is_alive=lambda who: False)
        assert SPEC.shown(settle(feed)) is there


def test_a_key_shows_it() -> None:
    found = Deliberations((), (), 0, (("closed", 2),), whole=True)

    async def run() -> None:
        app = monitor(scene.FakeFeed(scene.view(extra={"deliberation": found})), clock=lambda: 0.0)
        async with app.run_test(size=(80, 24)) as pilot:
            driver = Driver(app, pilot)
            await driver.until(lambda: app.desk.shown is not None and bool(app.board.shown))
            await driver.press("7")
            await driver.sees("0 searches, 0 injections")
            await driver.sees("closed 2")

    asyncio.run(run())
