"""A backlog written by people in Markdown, read strictly: every mistake names its line.

    # Title of the project
    ## Rules                        bullets: rules of this project, beside those that are enforced
    ## Claims                       bullets: what is believed and NOT TESTED yet
    ## Deprecated references        bullets `name: why`: what must not be used any more
    ## T1 Title of a task
    Text under a task is its why.
    - why: the same, as a bullet
    - check: python -m pytest -q tests/test_a.py          words, split as a shell would, run without one
    - check (exit 1, 60 s): ["grep", "-q", "TODO", "a.py"]    a JSON list says the words exactly
    - gate: g3 run=baseline         judged by `think gate`; without run= the newest run
    - depends: T2, T3
    - files: think/a.py, tests/*.py     a change in them after `done` makes the task stale

Tasks come in the order of the file. A line that is indented goes on with the bullet above it. Standard library only.
"""

import difflib
import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from think.core import plugins
from think.core.errors import BadData, InputOutput, Missing
from think.core.handoff.events import LARGEST_EVENT
from think.core.handoff.state import CHECK_SECONDS, Check

ID = re.compile(r"[A-Za-z]+[-.]?\d[A-Za-z0-9.-]{0,30}")
KEYS = ("why", "check", "gate", "depends", "files")
SECTIONS = {"rules": "rules", "claims": "claims", "deprecated references": "deprecated"}

GATES = "think.core.gates.checks"

LONGEST_CHECK = 24 * 3600.0
"Seconds; what takes longer than a day is a task and not a check."

_BULLET = re.compile(r"[-*+](?:\s+(.*))?")
_KEY = re.compile(r"([A-Za-z ]+?)\s*(?:\(([^)]*)\))?\s*:\s*(.*)", re.DOTALL)
_SHELL = re.compile(r"[|&;<>*?]+|\$\(|`|\$\w|\$\{|(?<!\S)~|^\w+=")
_WHERE = re.compile(r"(run|preset)=(\S+)")


@dataclass
class Backlog:
    """What a file says. tasks: as events carry them; places: task id -> line of its heading."""

    title: str = ""
    rules: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    deprecated: list[dict[str, str]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)


def read(path: Path, known: Mapping[str, Collection[str]] | None = None) -> Backlog:
    """The backlog in a file. known: tasks that exist already -> what they depend on.

    Raises Missing, InputOutput, or BadData that names the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise Missing("there is no such file", where=str(path), expected="a backlog in Markdown") from None
    except OSError as error:
        raise InputOutput(f"it cannot be read: {error.strerror}", where=str(path)) from error
    if len(content) > LARGEST_EVENT:
        raise BadData(f"{len(content):,} bytes", where=str(path), expected=f"a backlog below {LARGEST_EVENT:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(
            f"byte {error.start:,} is no UTF-8", where=str(path), expected="a backlog in Markdown, written in UTF-8"
        ) from None
    return parse(text, str(path), known or {})


def parse(text: str, name: str, known: Mapping[str, Collection[str]]) -> Backlog:
    """The backlog in a text. name: of the file, for errors. Raises BadData that names the line."""
    reading = _Reading(name)
    for number, line in enumerate(text.split("\n"), start=1):
        reading.line(number, line.rstrip("\r"))
    reading.close_bullet()
    backlog = reading.backlog
    if not backlog.tasks:
        raise BadData(
            "there is no task in this file",
            where=name,
            expected="at least one heading such as `## T1 Title of the task`",
        )
    for task in backlog.tasks:
        if not task["checks"]:
            raise BadData(
                f"{task['id']} has no acceptance check",
                where=f"{name}:{backlog.places[task['id']]}",
                expected="at least one `- check: PROGRAM ARGUMENTS` or `- gate: NAME`: done is what can be shown",
            )
    _check_dependencies(backlog, name, known)
    return backlog


class _Reading:
    """Where in the file we are: which section, which task, which bullet is still open."""

    def __init__(self, name: str) -> None:
        self.name, self.backlog = name, Backlog()
        self._section = ""
        self._task: dict[str, Any] | None = None
        self._bullet: list[str] | None = None
        self._number = self._bullet_number = 0
        self._fenced = False

    def line(self, number: int, line: str) -> None:
        self._number = number
        if line.strip().startswith("```"):
            self._fenced = not self._fenced
            return
        if not self._fenced and line.startswith("#"):
            self._heading(line)
        elif not line.strip():
            self.close_bullet()
        elif not self._fenced and (match := _BULLET.fullmatch(line.rstrip())):
            self.close_bullet()
            self._bullet, self._bullet_number = [match[1] or ""], number
        elif self._bullet is not None and line[:1] in " \t" and not self._fenced:
            self._bullet.append(line.strip())
        else:
            self.close_bullet()
            if self._task is not None:
                self._task["why"] = f"{self._task['why']} {line.strip()}".strip()

    def close_bullet(self) -> None:
        if self._bullet is None:
            return
        text, self._bullet = " ".join(self._bullet).strip(), None
        if not text:
            raise self._wrong("this bullet is empty", "text behind it", self._bullet_number)
        if self._task is not None:
            self._key(text)
        elif self._section == "deprecated":
            reference, separator, why = text.partition(": ")
            if not separator or not why.strip():
                raise self._wrong(f"{text!r} gives no reason", "`- name: why it must not be used`", self._bullet_number)
            self.backlog.deprecated.append({"reference": reference.strip("` "), "why": why.strip()})
        elif self._section:
            (self.backlog.rules if self._section == "rules" else self.backlog.claims).append(text)

    def _heading(self, line: str) -> None:
        self.close_bullet()
        marks, _, text = line.partition(" ")
        text = text.strip()
        if marks == "#":
            self.backlog.title, self._section, self._task = self.backlog.title or text, "", None
        elif marks == "##" and text.lower() in SECTIONS:
            self._section, self._task = SECTIONS[text.lower()], None
        elif marks == "##":
            self._open_task(text)
        elif self._task is not None:
            self._task["why"] = f"{self._task['why']} {text}".strip()

    def _open_task(self, text: str) -> None:
        id, _, title = text.partition(" ")
        id = id.rstrip(":")
        if not ID.fullmatch(id):
            nearest = difflib.get_close_matches(text.lower(), SECTIONS, n=1)
            raise self._wrong(
                f"{text!r} is no task and no section",
                "`## T1 Title`, where the first word is letters and a number; or ## Rules, ## Claims, "
                "## Deprecated references",
                remedy=f"did you mean `## {nearest[0].capitalize()}`?" if nearest else None,
            )
        if id in self.backlog.places:
            raise self._wrong(f"{id} is there twice, first in line {self.backlog.places[id]}", "an id of its own")
        if not title.strip():
            raise self._wrong(f"{id} has no title", f"`## {id} What is to be done`")
        self.backlog.places[id] = self._number
        self._task = {"id": id, "title": title.strip(), "why": "", "checks": [], "depends": [], "files": []}
        self.backlog.tasks.append(self._task)

    def _key(self, text: str) -> None:
        assert self._task is not None
        match = _KEY.fullmatch(text)
        key = match[1].strip().lower() if match else ""
        if match is None or key not in KEYS:
            nearest = difflib.get_close_matches(key, KEYS, n=1)
            raise self._wrong(
                f"{key!r} is no key of a task" if match else f"{text!r} has no key",
                f"`- KEY: VALUE` with one of {', '.join(KEYS)}; other text stands without a bullet",
                self._bullet_number,
                remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
            )
        options, value = match[2], match[3].strip()
        if options is not None and key not in ("check", "gate"):
            raise self._wrong(f"{key} takes nothing in brackets", f"`- {key}: VALUE`", self._bullet_number)
        if not value:
            raise self._wrong(f"{key} says nothing", f"`- {key}: VALUE`", self._bullet_number)
        if key == "why":
            self._task["why"] = f"{self._task['why']} {value}".strip()
        elif key in ("check", "gate"):
            self._task["checks"].append(self._check(key, options, value).as_json())
        elif key == "depends":
            self._task["depends"] += [id for id in re.split(r"[,\s]+", value) if id]
        else:
            self._task["files"] += [self._file(part.strip()) for part in value.split(",")]

    def _check(self, key: str, options: str | None, value: str) -> Check:
        exit, seconds = 0, CHECK_SECONDS
        for option in (part.strip() for part in (options or "").split(",") if part.strip()):
            if match := re.fullmatch(r"exit (\d{1,3})", option):
                exit = int(match[1])
            elif match := re.fullmatch(r"(\d+(?:\.\d+)?) (s|min|h)", option):
                seconds = float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]]
            else:
                raise self._wrong(f"({option}) says nothing", "(exit 1), (60 s), (5 min)", self._bullet_number)
        if exit > 255 or not 0 < seconds <= LONGEST_CHECK:
            raise self._wrong(f"({options})", "an exit code to 255, a time limit to 24 h", self._bullet_number)
        if key == "gate":
            return self._gate(value, exit, seconds)
        return Check(self._words(value), exit, seconds)

    def _gate(self, value: str, exit: int, seconds: float) -> Check:
        name, *rest = value.split()
        where = {match[1]: match[2] for word in rest if (match := _WHERE.fullmatch(word))}
        if len(where) != len(rest):
            raise self._wrong(f"{value!r}", "`- gate: g3 run=NAME` or `- gate: g1 preset=NAME`", self._bullet_number)
        gates = [file.replace("_", ".") for file in plugins.names(GATES)]
        if name not in gates:  # `think gate list` ends with 0 as well, and judges nothing
            raise self._wrong(f"there is no gate {name!r}", f"one of {', '.join(gates)}", self._bullet_number)
        options = [word for option, named in where.items() for word in (f"--{option}", named)]
        return Check(("think", "gate", name, *options), exit, seconds, gate=name, run=where.get("run"))

    def _words(self, value: str) -> tuple[str, ...]:
        if value.startswith("["):
            try:
                words = json.loads(value)
            except json.JSONDecodeError as error:
                raise self._wrong(f"{value!r}: {error.msg}", '["program", "argument"]', self._bullet_number) from None
            if not words or not all(isinstance(word, str) and word and "\0" not in word for word in words):
                raise self._wrong(f"{value!r}", 'a list of words: ["program", "argument"]', self._bullet_number)
            return tuple(words)
        value = value.strip("`")
        try:
            words = shlex.split(value)
            bare = " ".join(shlex.split(re.sub(r"'[^']*'|\"[^\"]*\"", "quoted", value)))
        except ValueError as error:
            raise self._wrong(
                f"{value!r}: {str(error).lower()}", "words, with closed quotes", self._bullet_number
            ) from None
        if found := _SHELL.search(bare):
            raise self._wrong(
                f"{found.group()!r} means something to a shell, and checks are run without one",
                'one program with its arguments; a JSON list such as ["grep", "a|b", "file"] says such words exactly',
                self._bullet_number,
                remedy="put several steps into a script, or write several checks",
            )
        return tuple(words)

    def _file(self, text: str) -> str:
        path = PurePosixPath(text.strip("`"))
        if not text or path.is_absolute() or ".." in path.parts or "\0" in text:
            raise self._wrong(f"{text!r}", "a path or pattern below the project's folder", self._bullet_number)
        return str(path)

    def _wrong(self, what: str, expected: str, number: int | None = None, remedy: str | None = None) -> BadData:
        return BadData(what, where=f"{self.name}:{number or self._number}", expected=expected, remedy=remedy)


def _check_dependencies(backlog: Backlog, name: str, known: Mapping[str, Collection[str]]) -> None:
    """Every dependency exists, and following them never comes back. Raises BadData."""
    graph: dict[str, Collection[str]] = dict(known)
    for task in backlog.tasks:
        place = f"{name}:{backlog.places[task['id']]}"
        if task["id"] in known:
            raise BadData(f"{task['id']} is in the log already", where=place, expected="an id of its own")
        graph[task["id"]] = task["depends"]
    for task in backlog.tasks:
        place = f"{name}:{backlog.places[task['id']]}"
        for id in task["depends"]:
            if id == task["id"]:
                raise BadData(f"{id} depends on itself", where=place, expected="tasks that can be done before it")
            if id not in graph:
                nearest = difflib.get_close_matches(id, graph, n=1)
                raise BadData(
                    f"{task['id']} depends on {id}, which is no task",
                    where=place,
                    expected=f"one of {', '.join(list(graph)[:12])}",
                    remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
                )
        if circle := circle_through(task["id"], graph):
            raise BadData(
                f"tasks wait for each other: {' -> '.join(circle)}",
                where=place,
                expected="an order in which they can be done",
                remedy="take one of these dependencies out",
            )


def circle_through(start: str, graph: Mapping[str, Collection[str]]) -> list[str]:
    """A way along dependencies from `start` back to it, empty when there is none."""
    came_from: dict[str, str] = {}
    pending = [start]
    while pending:
        here = pending.pop()
        for there in graph.get(here, ()):
            if there == start:
                way = [start, here]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1] if len(way) > 2 else [start, start]
            if there not in came_from:
                came_from[there] = here
                pending.append(there)
    return []
