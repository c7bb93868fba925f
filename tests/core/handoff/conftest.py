"""A small log, a clock that stands still, and one way to make events."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from think.core.handoff import markdown, rules, turns
from think.core.handoff.events import Draft, Event
from think.core.handoff.writer import Writer

BACKLOG = """\
# A small project

## T1 First
- why: it comes first
- check: true
- files: a.txt

## T2 Second
- depends: T1
- check: true

## T3 Third
- check: true
"""


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Project:
    """A folder with a log, and commands as several owners give them."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root, self.clock = root, clock
        self.folder = root / "handoff"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    def writer(self, owner: str = "agent-a", **more: Any) -> Writer:
        return Writer(self.folder, owner, now=self.clock, sync=False, **more)

    def begin(self, backlog: str = BACKLOG) -> "Project":
        read = markdown.parse(backlog, "backlog.md", {})
        data = {
            "title": read.title,
            "root": "project",
            "rules": read.rules,
            "tasks": read.tasks,
            "claims": read.claims,
            "deprecated": read.deprecated,
        }
        self.writer().begin(Draft("init", data))
        return self

    def do(self, owner: str, rule: Callable[..., list[Draft]], **given: Any) -> list[Event]:
        if rule is not rules.unblock:
            given["owner"] = owner
        return self.writer(owner).append(lambda state: rule(state, **given))

    def start(self, owner: str = "agent-a", **given: Any) -> list[Event]:
        given.setdefault("token", f"{owner}'s token")
        return self.do(owner, turns.start, now=self.clock(), **given)

    def finish(self, owner: str = "agent-a", id: str | None = None, passed: bool = True) -> list[Event]:
        """Enter what checks said, without running any."""
        from think.core.handoff import evidence, workspace

        writer = self.writer(owner)
        before = rules.may_finish(writer.refresh(), owner=owner, id=id)
        result = {"arguments": ["true"], "exit": 0 if passed else 1, "passed": passed}
        found = [evidence.of_checks(before.id, [result], None, None)]
        files = workspace.digests(self.root, before.files)
        return writer.append(lambda state: rules.finish(state, before, None, owner=owner, evidence=found, files=files))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def empty(tmp_path: Path, clock: Clock) -> Project:
    (tmp_path / "a.txt").write_text("a")
    return Project(tmp_path, clock)


@pytest.fixture
def project(empty: Project) -> Project:
    return empty.begin()
