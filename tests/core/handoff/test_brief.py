"""What the next one is told: the right thing to do, and never more than two kilobytes."""

import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from think.core.handoff import brief, log, markdown, rules, turns
from think.core.handoff.events import LARGEST_EVENT
from think.core.handoff.markup import CUT

SCHEMA = "think.handoff-next/1"


def told(project, owner=None, changed=None):
    state = log.read(project.folder)
    return brief.brief(state, project.clock.now, changed or {}, owner, brief.ascii_size(SCHEMA))


def test_what_to_do_follows_the_log(project):
    assert (told(project)["do"], told(project)["command"]) == ("start", "think handoff start T1")
    project.start("agent-a", seconds=60.0)
    assert told(project, "agent-a")["do"] == "go on"
    assert told(project, "agent-b")["do"] == "wait"
    project.clock.now += 60
    assert told(project, "agent-b")["do"] == "take over"
    given = {"status": "half", "next": "the rest", "gotchas": "none", "worked_on": None, "commit": None, "dirty": None}
    project.do("agent-a", turns.end, **given)
    assert told(project)["do"] == "resume"
    assert told(project)["last_session"] == {
        "owner": "agent-a",
        "status": "half",
        "next": "the rest",
        "gotchas": "none",
    }
    project.start("agent-b")
    project.do("agent-b", rules.block, reason="no data", unblocks="data")
    assert told(project)["task"]["id"] == "T3"
    assert told(project)["blocked"] == ["T1: no data (unblocks: data)"]
    project.do("agent-b", rules.drop, id="T3", reason="x")
    assert told(project)["do"] == "unblock"
    for id in ("T1", "T2"):
        project.do("agent-b", rules.drop, id=id, reason="x")
    assert (told(project)["do"], told(project)["task"]) == ("nothing", None)


def test_a_stale_task_is_checked_again_first(project):
    project.start()
    project.finish()
    seen = log.read(project.folder)
    project.writer().append(lambda state: rules.overtaken(state, seen, {"T1": ("a.txt",)}))
    assert (told(project)["do"], told(project)["command"]) == ("check again", "think handoff done T1")


def test_short_texts_are_whole(project):
    project.start()
    project.do("agent-a", rules.progress, note="the newest", wrong="the oldest")
    task = told(project, "agent-a")["task"]
    assert task["notes"] == ["wrong: the oldest; now known: the newest"]
    assert (task["why"], task["checks"], task["files"]) == ("it comes first", ["true"], ["a.txt"])


texts = st.text(min_size=1, max_size=40).filter(str.strip)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, times=st.sampled_from([1, 20, 60]), count=st.sampled_from([1, 40]))
def test_it_fits_whatever_the_texts_are(empty, text, times, count):
    long = text * times
    tasks = [
        {
            "id": f"T{number}",
            "title": long,
            "why": long,
            "checks": [{"arguments": [long] * 3, "exit": 0, "seconds": 1.0, "gate": None, "run": None}] * 3,
            "depends": [f"T{number - 1}"] if number > 1 else [],
            "files": [long] * min(count, 12),
        }
        for number in range(1, min(count, 6) + 1)
    ]
    from think.core.handoff.events import Draft

    folder = empty.root / f"log-{len(list(empty.root.iterdir()))}"
    project = type(empty)(empty.root, empty.clock)
    project.folder = folder
    data = {"title": long, "root": "r", "rules": [], "tasks": tasks, "claims": [long], "deprecated": []}
    assume(len(json.dumps(data)) < LARGEST_EVENT - 1000)  # beside them stand the time and the actor
    project.writer("x" * 60).begin(Draft("init", data))
    project.start("x" * 60)
    for _ in range(3):
        project.do("x" * 60, rules.progress, note=long, wrong=long)
    given = {"status": long, "next": long, "gotchas": long, "worked_on": long, "commit": None, "dirty": None}
    project.do("x" * 60, turns.end, **given)
    answer = told(project, changed={f"T{number}": (long,) * count for number in range(1, count + 1)})
    envelope = {"schema": SCHEMA, "ok": True, "data": answer, "warnings": [], "error": None}
    assert len(json.dumps(envelope)) <= brief.LARGEST
    assert answer["command"] == "think handoff start T1"
    assert answer["task"]["id"] == "T1"
    if len(long) > 500:
        assert CUT in json.dumps(answer, ensure_ascii=False)


def test_the_longest_id_still_fits():
    id = "T" + "1" * 31
    assert markdown.ID.fullmatch(id)
    assert not markdown.ID.fullmatch(id + "1")


@pytest.mark.parametrize("owner", [None, "agent-a"])
def test_problems_are_told(project, owner):
    with open(project.events, "ab") as file:
        file.write(b"torn")
    assert "unfinished" in told(project, owner)["problems"][0]
