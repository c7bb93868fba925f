"""Reading and appending: what is torn is healed, what was changed by hand is found at its line, nothing is lost."""

import errno
import json
import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from think.core.errors import BadData, InputOutput, Locked, Missing, UsageError
from think.core.handoff import lock, log, rules, turns
from think.core.handoff.log import Reader


def note(project, text, owner="agent-a", task="T1"):
    return project.do(owner, rules.progress, note=text, id=task)


def kinds(project):
    return [event.kind for event in log.events(project.folder)]


def problem(project):
    (found,) = log.read(project.folder).problems
    return found


def test_a_reader_that_follows_sees_what_a_reader_of_the_whole_sees(project):
    follower = Reader(project.folder)
    for number in range(5):
        note(project, f"note {number}")
        assert follower.poll() == log.read(project.folder)


def test_a_poll_gives_a_state_that_later_events_do_not_change(project):
    follower = Reader(project.folder)
    before = follower.poll()
    note(project, "more")
    follower.poll()
    assert before.events == 1
    assert before.tasks["T1"].notes == ()


def test_a_folder_without_a_log_is_missing_and_says_what_makes_one(tmp_path):
    with pytest.raises(Missing) as caught:
        log.read(tmp_path / "handoff")
    assert "think handoff init" in str(caught.value.remedy)


def test_a_log_that_was_deleted_is_told_from_one_that_never_was(project):
    project.events.unlink()
    with pytest.raises(Missing, match="is gone; it had 1 events"):
        log.read(project.folder)


# ---- torn ---------------------------------------------------------------------------------------------------------


def test_a_torn_tail_is_reported_and_set_aside_by_the_next_append(project):
    torn = b'{"sha256":"12'
    with open(project.events, "ab") as file:
        file.write(torn)
    assert (problem(project).kind, problem(project).line, problem(project).fatal) == ("torn", 2, False)
    assert log.read(project.folder).events == 1
    note(project, "on we go")
    assert kinds(project) == ["init", "repair", "progress"]
    assert log.read(project.folder).problems == ()
    (aside,) = project.folder.glob("torn-*.jsonl")
    assert aside.read_bytes() == torn
    assert aside.name in log.read(project.folder).repairs[0]


def test_an_unfinished_line_is_no_problem_while_somebody_writes_it(project):
    with lock.exclusive(project.folder):
        with open(project.events, "ab") as file:
            file.write(b'{"sha')
        assert log.read(project.folder).problems == ()
    assert problem(project).kind == "torn"


def test_a_last_line_that_only_lost_its_newline_still_counts(project):
    note(project, "kept")
    project.events.write_bytes(project.events.read_bytes().rstrip(b"\n"))
    follower = Reader(project.folder)
    assert follower.poll().events == 2
    assert follower.poll().problems == ()
    note(project, "next")
    assert follower.poll() == log.read(project.folder)
    assert kinds(project) == ["init", "progress", "progress"]


# ---- changed by hand ----------------------------------------------------------------------------------------------


@pytest.fixture
def long(project):
    for number in range(4):
        note(project, f"note {number}")
    return project


def test_an_edit_is_found_at_its_line_and_nothing_is_appended_after_it(long):
    content = long.events.read_bytes()
    long.events.write_bytes(content.replace(b"note 1", b"note 9"))
    assert (problem(long).kind, problem(long).line) == ("broken", 3)
    assert "version control" in problem(long).remedy
    edited = long.events.read_bytes()
    with pytest.raises(BadData) as caught:
        note(long, "no")
    assert str(caught.value.where).endswith("events.jsonl:3")
    assert long.events.read_bytes() == edited


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[2], lines[2], *lines[3:]], 4),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
        (lambda lines: [*lines[:3], b"", *lines[3:]], 4),
        (lambda lines: [b"hello", *lines[1:]], 1),
        (lambda lines: [*lines[:4], b"\xff\x00garbage"], 5),
    ],
    ids=["removed", "doubled", "swapped", "blank", "first", "garbage"],
)
def test_lines_removed_added_or_moved_are_found(long, change, line):
    lines = long.events.read_bytes().splitlines()
    long.events.write_bytes(b"\n".join(change(lines)) + b"\n")
    assert (problem(long).kind, problem(long).line) == ("broken", line)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_any_changed_byte_is_found_in_its_own_line(long, place, byte):
    content = (long.folder / "original").read_bytes() if (long.folder / "original").exists() else None
    if content is None:
        content = long.events.read_bytes()
        (long.folder / "original").write_bytes(content)
    at = int(place * len(content))
    if content[at] == byte or at == len(content) - 1:
        return
    changed = content[:at] + bytes([byte]) + content[at + 1 :]
    long.events.write_bytes(changed)
    found = problem(long)
    assert found.fatal
    assert found.line == content[:at].count(b"\n") + 1


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
def test_a_log_cut_anywhere_is_found_and_not_mended_by_itself(long, share):
    content = long.events.read_bytes()
    long.events.write_bytes(content[: int(len(content) * share)])
    assert problem(long).kind == "short"
    assert "had 5 events" in problem(long).text
    with pytest.raises(BadData):
        note(long, "no")


def test_another_log_in_its_place_is_found(long, tmp_path):
    other = type(long)(tmp_path / "other", long.clock)
    other.root.mkdir()
    other.begin()
    for number in range(6):
        note(other, f"something else {number}")
    long.events.write_bytes(other.events.read_bytes())
    assert problem(long).kind == "broken"
    assert "replaced" in problem(long).text


def test_an_empty_file_is_bad_data_and_can_become_a_log(empty):
    empty.folder.mkdir()
    empty.events.touch()
    assert problem(empty).text == "the log holds no event"
    with pytest.raises(BadData):
        note(empty, "no")
    assert empty.begin().writer().refresh().events == 1


def test_events_of_a_newer_program_stop_writing_but_not_reading(long, monkeypatch):
    from think.core.handoff import fold
    from think.core.handoff.events import Draft

    with monkeypatch.context() as patch:
        patch.setitem(fold._KINDS, "telepathy", lambda state, event, data: None)
        long.writer().append(lambda state: [Draft("telepathy", {})])
    assert (problem(long).kind, problem(long).line) == ("unknown", 6)
    assert log.read(long.folder).events == 5
    with pytest.raises(BadData, match="telepathy"):
        note(long, "no")


def test_a_well_hashed_event_that_breaks_the_rules_is_broken_and_leaves_no_trace(long):
    """Somebody hashed it right; two active tasks are still refused."""
    from think.core.handoff.events import Actor, Draft, encode

    long.start()
    state = log.read(long.folder)
    data = {"lease": {"token": "x", "seconds": 60.0}, "takeover": None, "reason": None}
    actor = Actor("agent-e", "S2", 1, "h")
    line, _ = encode(Draft("start", data, "T3"), seq=7, time=1.0, actor=actor, previous=state.head)
    with open(long.events, "ab") as file:
        file.write(line)
    after = log.read(long.folder)
    assert (after.problems[0].kind, after.problems[0].line) == ("broken", 7)
    assert "T1 is active" in after.problems[0].text
    assert (after.active, len(after.sessions)) == ("T1", 1)


def test_the_writer_notices_a_change_behind_its_back(long):
    writer = long.writer()
    writer.refresh()
    lines = long.events.read_bytes().splitlines(keepends=True)
    long.events.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b"note 3", b"note 7"))
    with pytest.raises(BadData):
        writer.append(lambda state: rules.progress(state, owner="agent-a", note="no", id="T1"))


# ---- mending ------------------------------------------------------------------------------------------------------


def test_mending_keeps_the_good_events_and_every_byte_of_the_rest(long):
    content = long.events.read_bytes()
    edited = content.replace(b"note 1", b"note 9")
    long.events.write_bytes(edited)
    watching = Reader(long.folder)
    watching.poll()
    long.writer().mend("an editor did it")
    assert kinds(long) == ["init", "progress", "repair"]
    (aside,) = long.folder.glob("broken-*.jsonl")
    assert content.splitlines(keepends=True)[:2] == long.events.read_bytes().splitlines(keepends=True)[:2]
    assert aside.read_bytes() == b"".join(edited.splitlines(keepends=True)[2:])
    assert "an editor did it" in watching.poll().repairs[0]
    note(long, "and on")
    assert log.read(long.folder).problems == ()


def test_mending_a_cut_log_says_how_many_events_are_gone(long):
    lines = long.events.read_bytes().splitlines(keepends=True)
    long.events.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    long.writer().mend("the disk was restored")
    assert "had 5 events and holds 3: the last 2 were cut off" in log.read(long.folder).repairs[0]
    assert next(long.folder.glob("broken-*.jsonl")).read_bytes() == lines[3][:20]


def test_a_sound_log_is_not_mended(long):
    with pytest.raises(UsageError, match="sound"):
        long.writer().mend("why not")


# ---- the machine says no ------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_log_as_it_was(project, monkeypatch):
    before = project.events.read_bytes()
    writer = project.writer()
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[: len(data) // 2]))
        with pytest.raises(InputOutput, match="No space left"):
            writer.append(lambda state: rules.progress(state, owner="agent-a", note="x", id="T1"))
    assert project.events.read_bytes() == before
    writer.append(lambda state: rules.progress(state, owner="agent-a", note="y", id="T1"))
    assert log.read(project.folder).tasks["T1"].notes[0].text == "y"


def test_a_folder_that_cannot_be_written_is_an_input_output_error(project, monkeypatch):
    real = os.open

    def read_only(path, flags, *mode, **more):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(InputOutput, match="Read-only"):
        note(project, "no")
    assert log.read(project.folder).events == 1


def test_a_lock_that_is_held_names_its_holder(project):
    writer = project.writer(patience=0.01)
    with lock.exclusive(project.folder), pytest.raises(Locked) as caught:
        writer.append(lambda state: rules.progress(state, owner="agent-a", note="x", id="T1"))
    assert f"process {os.getpid()}" in caught.value.what


def test_an_event_beyond_the_limit_is_refused_and_nothing_is_written(project):
    before = project.events.read_bytes()
    with pytest.raises(UsageError, match="in one event"):
        note(project, "x" * 1_100_000)
    assert project.events.read_bytes() == before


def test_a_rule_that_refuses_leaves_nothing_behind(project):
    before = project.events.read_bytes()
    with pytest.raises(UsageError):
        project.do("agent-a", rules.progress, note="no task is active")
    assert project.events.read_bytes() == before


def test_every_text_survives_on_one_line(project):
    text = "a\nb\r\u2028\x1b[31m \ud800 \U0001f600 \x00"
    note(project, text)
    assert len(project.events.read_bytes().splitlines()) == 2
    assert log.read(project.folder).tasks["T1"].notes[0].text == text
    assert json.loads(project.events.read_bytes().splitlines()[1])["data"]["text"] == text


def test_the_lock_and_the_head_say_who_and_how_far(project):
    project.start()
    head = json.loads((project.folder / "head.json").read_text())
    assert head == {"events": 2, "sha256": log.read(project.folder).head}
    assert re.fullmatch(r"\.lock\n", (project.folder / ".gitignore").read_text())
    assert log.read(project.folder).lease.seconds == turns.LEASE_SECONDS


def test_a_second_log_in_the_same_folder_is_refused(project):
    with pytest.raises(UsageError, match="already"):
        project.begin()
