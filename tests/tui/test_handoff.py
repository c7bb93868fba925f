"""The handoff log on the screen: what `think handoff` wrote is what is shown, live, and a broken log is told."""

from pathlib import Path

import pytest

from tests.tui import scene
from tests.tui.pilot import Driver, drive
from think.cli.app import run as think
from think.tui.view import HandoffView
from think.tui.views.handoff import LOOK_SECONDS, HandoffLog

BACKLOG = """# Small project

## T1 Pack the stories
Everything trains on them.
- check: true

## T2 Train the smoke preset
- check: true
- depends: T1

## T3 Judge g3
- gate: g3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THINK_OWNER", "ann")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "backlog.md").write_text(BACKLOG)
    assert think(["handoff", "init", "backlog.md"]) == 0
    return tmp_path


def seen(log: HandoffLog, mono: float = 0.0) -> HandoffView:
    log.look(mono)
    assert log.view is not None
    return log.view


def test_tasks_and_sessions_come_from_the_log_as_it_grows(project):
    log = HandoffLog(project / "handoff")
    view = seen(log)
    assert [task.id for task in view.backlog] == ["T1", "T2", "T3"]
    assert view.active is None
    assert think(["handoff", "start"]) == 0
    assert think(["handoff", "progress", "sixty documents"]) == 0
    view = seen(log, LOOK_SECONDS)
    assert view.active is not None
    assert (view.active.id, view.active.owner, view.active.why) == ("T1", "ann", "Everything trains on them.")
    assert view.active.notes == ("sixty documents",)
    assert view.active.checks == ("true",)
    assert [task.id for task in view.backlog] == ["T2", "T3"]
    assert view.backlog[0].depends == ("T1",)
    assert [entry.owner for entry in view.sessions] == ["ann"] * 3
    assert "sixty documents" in view.sessions[-1].text
    assert think(["handoff", "block", "--reason", "no disk", "--unblocks", "a disk"]) == 0
    view = seen(log, 2 * LOOK_SECONDS)
    assert [(task.id, task.blocker, task.unblocks) for task in view.blocked] == [("T1", "no disk", "a disk")]


def test_a_look_that_finds_nothing_new_changes_nothing(project):
    log = HandoffLog(project / "handoff")
    assert log.look(0.0)
    assert not log.look(LOOK_SECONDS)
    assert not log.look(LOOK_SECONDS * 1.5)  # too early even to look


def test_a_log_that_appears_later_is_found_and_one_that_goes_is_let_go(project):
    log = HandoffLog(project / "elsewhere")
    assert not log.look(0.0)
    assert log.view is None
    (project / "handoff").rename(project / "elsewhere")
    assert log.look(LOOK_SECONDS)
    (project / "elsewhere").rename(project / "gone")
    assert log.look(2 * LOOK_SECONDS)
    assert log.view is None


def test_a_log_changed_by_hand_is_told(project):
    events = project / "handoff" / "events.jsonl"
    assert think(["handoff", "start"]) == 0
    events.write_text(events.read_text().replace("Pack the stories", "Burn the stories"))
    assert [notice.level for notice in seen(HandoffLog(project / "handoff")).notices] == ["error"]


def test_escape_sequences_in_tasks_are_harmless(project):
    assert think(["handoff", "start"]) == 0
    assert think(["handoff", "progress", "\x1b[31mred"]) == 0
    view = seen(HandoffLog(project / "handoff"))
    assert view.active is not None
    assert view.active.notes == ("\\x1b[31mred",)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10)])
def test_the_screen_is_listed_when_there_is_a_log_and_opens_tasks(project, size):
    assert think(["handoff", "start"]) == 0
    held = seen(HandoffLog(project / "handoff"))

    async def script(driver: Driver) -> None:
        await driver.press("4")
        assert driver.desk.current == "handoff"
        assert "active" in driver.frame
        assert "T1" in driver.frame
        await driver.press("j", "enter")
        assert "Task T2" in driver.frame
        await driver.press("escape", "slash", *"judge", "enter")
        assert [item.key for item in driver.board.page.items] == ["T3"]

    drive(script, feed=scene.FakeFeed(scene.view(handoff=held)), size=size)


def test_without_a_log_the_screen_is_not_listed():
    async def script(driver: Driver) -> None:
        assert "Handoff" not in driver.frame
        await driver.press("4")
        assert driver.desk.current == "runs"

    drive(script)


def test_the_command_prints_the_log_of_the_project(project, capsys):
    (project / "runs").mkdir()
    assert think(["tui", "--once", "--screen", "handoff", "--size", "90x30"]) == 0
    assert "Train the smoke preset" in capsys.readouterr().out
