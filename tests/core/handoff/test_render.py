"""HANDOFF.md: equal events give equal bytes, texts cannot forge it, edits are found and never lost."""

import os
import time

import pytest

from think.core.errors import BadData, InputOutput
from think.core.handoff import audit, evidence, log, rules, turns
from think.core.handoff.publish import publish
from think.core.handoff.render import made_of, render

HOSTILE = "a | b\n## Rules <!-- /think:rules --> \x1b[31m\u202e\ud800 `code` <b>"

SECTIONS = ("rules", "active", "evidence", "gates", "backlog", "sessions", "deprecated")


@pytest.fixture
def lived(project):
    """A log in which everything happened once."""
    project.start()
    project.do("agent-a", rules.progress, note=HOSTILE, wrong="the opposite")
    project.do("agent-a", rules.progress, claim="A is larger than B")
    project.finish(passed=False)
    project.finish()
    project.start("agent-b")
    project.do("agent-b", rules.block, reason=HOSTILE, unblocks="time")
    project.do("agent-b", rules.drop, id="T3", reason="not needed")
    project.do("agent-b", rules.progress, deprecated=("old.txt", "it was wrong"))
    given = {"status": "s", "next": "n", "gotchas": HOSTILE, "worked_on": None, "commit": "f" * 40, "dirty": True}
    project.do("agent-b", turns.end, **given)
    return project


def shown(project):
    return (project.root / "HANDOFF.md").read_text()


def findings(project, weight="wrong"):
    state = log.read(project.folder)
    found = audit.audit(project.folder, project.root, state, project.clock.now, look_at_evidence=False)
    return [each for each in found if each.weight == weight]


def test_equal_events_give_equal_bytes_whatever_the_day_and_zone(lived, monkeypatch):
    first = render(log.read(lived.folder))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert render(log.read(lived.folder)) == first
    finally:
        monkeypatch.undo()
        time.tzset()
    assert first.encode("utf-8").decode("utf-8") == first


def test_it_says_what_the_log_says(lived):
    text = render(log.read(lived.folder))
    for said in (
        "C1 A is larger than B | **NOT TESTED**",
        "T1 First | 2027-01-15 08:00 UTC | 1 of 1 check passed (E2)",
        "| T3 | Third | dropped | - | dropped: not needed |",
        "unblocks: time",
        "| `old.txt` | it was wrong |",
        "(commit ffffffffffff, tree with changes)",
    ):
        assert said in text, said
    lived.do("agent-a", rules.unblock, id="T2", how="time went by")
    lived.start("agent-a")
    active = render(log.read(lived.folder)).split("<!-- think:active -->")[1].split("<!-- /think:active -->")[0]
    assert "**T2 Second**" in active
    assert "Held by **agent-a**" in active
    assert "- Check: `true`" in active


def test_texts_cannot_open_or_close_a_section_or_hide_anything(lived):
    lines = render(log.read(lived.folder)).split("\n")
    marks = [line for line in lines if line.startswith(("<!-- think:", "<!-- /think:"))]
    assert marks == [f"<!-- {mark}think:{name} -->" for name in SECTIONS for mark in ("", "/")]
    assert sum(line.startswith("## ") for line in lines) == len(SECTIONS)
    assert not any(character in "\n".join(lines) for character in "\x1b\u202e\ud800\r")


def test_a_fresh_file_is_right_and_a_later_event_makes_it_old(lived):
    publish(lived.folder, lived.root)
    assert findings(lived) == []
    lived.do("agent-a", rules.progress, note="more", id="T1")
    (found,) = findings(lived)
    assert "out of date by 1 event" in found.text
    assert publish(lived.folder, lived.root).aside is None
    assert findings(lived) == []
    assert publish(lived.folder, lived.root).changed is False


@pytest.mark.parametrize("later", [False, True])
def test_an_edit_by_hand_is_found_in_its_section_and_set_aside(lived, later):
    publish(lived.folder, lived.root)
    edited = shown(lived).replace("| T3 | Third | dropped |", "| T3 | Third | done |")
    (lived.root / "HANDOFF.md").write_text(edited)
    if later:
        lived.do("agent-a", rules.progress, note="more", id="T1")
    (found,) = findings(lived)
    assert "(section backlog)" in found.text
    number = int(found.where.partition(":")[2])
    assert "T3" in edited.split("\n")[number - 1]
    done = publish(lived.folder, lived.root)
    assert done.aside.read_text() == edited
    assert findings(lived) == []


def test_a_forged_digest_does_not_help(lived):
    """Somebody renders with a changed state, digest and all: the text is still not what the events give."""
    publish(lived.folder, lived.root)
    state = log.read(lived.folder)
    state.title = "Another title"
    (lived.root / "HANDOFF.md").write_text(render(state))
    assert made_of(shown(lived)).untouched
    assert findings(lived)


@pytest.mark.parametrize("content", [b"", b"# Our own notes\n", b"\xff\xfe\x00"])
def test_a_file_that_is_not_ours_is_set_aside_and_not_lost(project, content):
    (project.root / "HANDOFF.md").write_bytes(content)
    assert findings(project)
    done = publish(project.folder, project.root)
    assert (done.aside is None) if not content else (done.aside.read_bytes() == content)


def test_a_missing_file_is_wrong(project):
    (found,) = findings(project)
    assert "No such file" in found.text


def test_a_broken_log_is_not_rendered(project):
    project.events.write_bytes(project.events.read_bytes().replace(b"First", b"Fifth"))
    with pytest.raises(BadData):
        publish(project.folder, project.root)
    assert not (project.root / "HANDOFF.md").exists()


def test_a_file_that_cannot_be_written_is_an_input_output_error(project, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputOutput):
        publish(project.folder, project.root)
    assert list(project.root.glob(".*.new")) == []


# ---- what check finds ---------------------------------------------------------------------------------------------


def test_a_done_task_whose_files_changed_is_wrong_before_and_after_it_is_entered(project):
    project.start()
    project.finish()
    publish(project.folder, project.root)
    assert findings(project) == []
    (project.root / "a.txt").write_text("b")
    (found,) = findings(project)
    assert (found.where, "a.txt changed" in found.text) == ("T1", True)
    before = log.read(project.folder)
    project.writer().append(lambda state: rules.overtaken(state, before, {"T1": ("a.txt",)}))
    publish(project.folder, project.root)
    (found,) = findings(project)
    assert "is stale" in found.text


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("G3 PASSED (6.09, acceptable)", True),
        ("the hybrid is better than the transformer", True),
        ("held-out loss 1.55 after a thousand steps", True),
        ("loss 1.55 after a thousand steps", True),
        ("it improved by a lot", True),
        ("saturation is at 0.5 %", True),
        ("see E1: it passed", False),
        ("see E9: it passed", True),
        ("C1 is confirmed", False),
        ("this was not tested", False),
        ("not verified yet; it beats the baseline", True),
        ("renamed two files", False),
    ],
)
def test_a_text_that_claims_must_cite(project, text, wrong):
    found = evidence.of_checks("T1", [{"passed": True}], None, None)
    project.do("agent-a", rules.progress, claim="A", evidence=[found])
    (event,) = project.do("agent-a", rules.progress, note=text, id="T1")
    publish(project.folder, project.root)
    assert [each.where for each in findings(project)] == ([f"event {event.seq}"] if wrong else [])
    if wrong:
        project.do("agent-a", rules.progress, retract=(str(event.seq), "said too much"))
        publish(project.folder, project.root)
        assert findings(project) == []


def test_what_was_cited_and_taken_back_no_longer_stands(project):
    found = evidence.of_checks("T1", [{"passed": True}], None, None)
    project.do("agent-a", rules.progress, evidence=[found])
    project.do("agent-a", rules.progress, note="E1 shows that it passed", id="T1")
    project.do("agent-a", rules.progress, retract=("E1", "the wrong file"))
    publish(project.folder, project.root)
    assert len(findings(project)) == 1


def test_a_lease_that_ran_out_is_said_and_not_wrong(project):
    project.start(seconds=60.0)
    project.clock.now += 61
    publish(project.folder, project.root)
    assert findings(project) == []
    (note,) = findings(project, "note")
    assert "ran out" in note.text
