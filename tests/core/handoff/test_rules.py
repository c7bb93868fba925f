"""What the log enforces: one active task, in order, held by one owner, done only on evidence."""

import pytest

from think.core.errors import Locked, UsageError
from think.core.handoff import log, markdown, rules, turns, workspace

HOUR = 3600.0


def state(project):
    return log.read(project.folder)


def statuses(project):
    return {task.id: str(task.status) for task in state(project).tasks.values()}


def end(project, owner):
    given = {"status": "half", "next": "the rest", "gotchas": "none", "worked_on": None, "commit": None, "dirty": None}
    return project.do(owner, turns.end, **given)


# ---- one active task, in order ------------------------------------------------------------------------------------


def test_the_next_task_is_the_first_that_waits_for_nothing(project):
    project.start()
    assert state(project).active == "T1"


@pytest.mark.parametrize("id", ["T2", "T3"])
def test_a_second_task_cannot_be_active_even_with_a_reason(project, id):
    project.start()
    with pytest.raises(UsageError, match="one active task"):
        project.start(id=id, reason="I would like to", force=True)


def test_out_of_order_needs_a_reason_and_keeps_it(project):
    with pytest.raises(UsageError, match="not next") as caught:
        project.start(id="T3")
    assert "T1 (First) comes first" in caught.value.expected
    (event,) = project.start(id="T3", reason="T1 waits for data")
    assert event.data["reason"] == "T1 waits for data"
    assert state(project).active == "T3"


def test_a_task_whose_dependencies_are_open_says_what_it_waits_for(project):
    with pytest.raises(UsageError) as caught:
        project.start(id="T2")
    assert "waits for T1" in caught.value.expected


def test_an_unknown_task_gets_the_nearest(project):
    with pytest.raises(UsageError) as caught:
        project.start(id="T11")
    assert "T1" in caught.value.remedy


# ---- the lease ----------------------------------------------------------------------------------------------------


def test_only_the_holder_works_on_the_active_task(project):
    project.start("agent-a")
    for rule, given in [
        (rules.progress, {"note": "x"}),
        (rules.progress, {"note": "x", "id": "T1"}),
        (rules.block, {"reason": "x", "unblocks": "y"}),
        (rules.drop, {"id": "T1", "reason": "x"}),
        (rules.split, {"parts": [], "reason": "x"}),
    ]:
        with pytest.raises(Locked, match="held by agent-a"):
            project.do("agent-b", rule, **given)
    with pytest.raises(Locked):
        project.finish("agent-b")
    assert state(project).events == 2


def test_the_holders_events_renew_the_lease_and_nobody_elses(project):
    project.start("agent-a", seconds=HOUR)
    project.clock.now += 0.9 * HOUR
    project.do("agent-b", rules.progress, note="about another task", id="T3")
    assert state(project).lease.expires == project.clock.now + 0.1 * HOUR
    project.do("agent-a", rules.progress, note="still here")
    assert state(project).lease.expires == project.clock.now + HOUR


def test_a_lease_that_ran_out_can_be_taken_over_and_it_shows(project):
    project.start("agent-a", seconds=HOUR)
    with pytest.raises(Locked):
        project.start("agent-b")
    project.clock.now += HOUR
    project.start("agent-b")
    (takeover,) = state(project).takeovers
    assert (takeover.was, takeover.now, takeover.how, takeover.task) == ("agent-a", "agent-b", "expired", "T1")
    with pytest.raises(Locked, match="held by agent-b"):
        project.do("agent-a", rules.progress, note="I was only asleep")


def test_a_late_holder_goes_on_when_nobody_took_over(project):
    project.start("agent-a", seconds=HOUR)
    project.clock.now += 10 * HOUR
    project.do("agent-a", rules.progress, note="back again")
    assert state(project).lease.expires == project.clock.now + HOUR
    assert state(project).takeovers == []


def test_force_needs_a_reason(project):
    project.start("agent-a")
    with pytest.raises(UsageError, match="needs a reason"):
        project.start("agent-b", force=True)
    project.start("agent-b", force=True, reason="agent-a is ill")
    (takeover,) = state(project).takeovers
    assert (takeover.how, takeover.reason) == ("forced", "agent-a is ill")


def test_two_agents_under_one_name_do_not_share_a_task_unnoticed(project):
    project.start("agent", token="one")
    with pytest.raises(UsageError, match="holds T1 already") as caught:
        project.start("agent", token="two")
    assert "two agents need two names" in caught.value.remedy
    project.clock.now += HOUR
    project.start("agent", token="two")
    with pytest.raises(Locked, match="token"):
        project.do("agent", rules.progress, note="the first one", token="one")
    project.do("agent", rules.progress, note="the second one", token="two")


# ---- blocked, split, dropped --------------------------------------------------------------------------------------


def test_a_blocked_task_says_what_unblocks_it_and_lets_the_next_one_start(project):
    project.start()
    with pytest.raises(UsageError):
        project.do("agent-a", rules.block, reason="no data", unblocks="  ")
    project.do("agent-a", rules.block, reason="no data", unblocks="the pack is made")
    now = state(project)
    assert (now.active, now.lease) == (None, None)
    with pytest.raises(UsageError) as caught:
        project.start(id="T1", reason="anyway")
    assert caught.value.expected == "the pack is made"
    project.start()
    assert state(project).active == "T3"  # T2 waits for T1
    project.do("agent-b", rules.unblock, id="T1", how="the pack is there")
    assert statuses(project)["T1"] == "backlog"
    assert "no data" in state(project).tasks["T1"].notes[0].text


def test_when_all_that_is_left_is_blocked_the_error_says_what_would_help(project):
    for id in ("T1", "T3"):
        project.do("agent-a", rules.block, id=id, reason="no data", unblocks="the pack is made")
    with pytest.raises(UsageError, match="nothing can be started") as caught:
        project.start()
    assert "the pack is made" in caught.value.expected


def parts(project, text):
    known = {task.id: task.depends for task in state(project).tasks.values()}
    return markdown.parse(text, "parts.md", known).tasks


def test_a_split_puts_the_parts_first_and_the_whole_still_has_to_be_shown(project):
    project.start()
    project.do("agent-a", rules.progress, note="too large")
    new = parts(project, "## T1.1 Half\n- check: true\n## T1.2 Other half\n- depends: T1.1\n- check: true\n")
    with pytest.raises(UsageError):
        project.do("agent-a", rules.split, parts=new, reason="")
    project.do("agent-a", rules.split, parts=new, reason="two things in one")
    now = state(project)
    assert list(now.tasks) == ["T1.1", "T1.2", "T1", "T2", "T3"]
    assert (now.active, now.tasks["T1"].depends, now.tasks["T1.1"].parent) == (None, ("T1.1", "T1.2"), "T1")
    assert [note.text for note in now.tasks["T1"].notes] == ["too large", "split into T1.1, T1.2: two things in one"]
    for id in ("T1.1", "T1.2", "T1"):
        project.start()
        assert state(project).active == id
        project.finish()
    assert statuses(project)["T1"] == "done"


def test_a_part_cannot_wait_for_its_whole(project):
    new = parts(project, "## T1.1 Half\n- depends: T1\n- check: true\n")
    with pytest.raises(UsageError, match="depends on T1"):
        project.do("agent-a", rules.split, id="T1", parts=new, reason="x")


def test_a_dropped_task_stays_and_what_waited_for_it_needs_a_reason(project):
    project.do("agent-a", rules.drop, id="T1", reason="not needed")
    assert (statuses(project)["T1"], state(project).tasks["T1"].dropped) == ("dropped", "not needed")
    assert state(project).next_task().id == "T3"
    project.start(id="T2", reason="it can be done without T1")
    project.finish()
    assert statuses(project)["T2"] == "done"


# ---- done ---------------------------------------------------------------------------------------------------------


def test_done_needs_the_checks_to_pass(project):
    project.start()
    (event,) = project.finish(passed=False)
    assert (event.kind, statuses(project)["T1"]) == ("checked", "active")
    assert state(project).tasks["T1"].attempts == 1
    (event,) = project.finish()
    assert (event.kind, statuses(project)["T1"]) == ("done", "done")
    assert state(project).tasks["T1"].evidence == ("E2",)
    assert state(project).lease is None


def test_checks_that_ran_while_the_task_changed_hands_count_for_nobody(project):
    project.start("agent-a", seconds=HOUR)
    writer = project.writer("agent-a")
    before = rules.may_finish(writer.refresh(), owner="agent-a", id=None)
    token = writer.state.lease.token
    project.clock.now += HOUR
    project.start("agent-b")
    with pytest.raises(Locked, match="changed hands"):
        writer.append(lambda now: rules.finish(now, before, token, owner="agent-a", evidence=[], files={}))
    assert statuses(project)["T1"] == "active"


def test_a_task_that_is_not_active_cannot_be_done(project):
    with pytest.raises(UsageError, match="T3 is backlog"):
        project.finish(id="T3")


def test_a_changed_file_makes_a_done_task_stale_until_its_checks_pass_again(project):
    project.start()
    project.finish()
    assert workspace.overtaken(project.root, state(project)) == {}
    (project.root / "a.txt").write_text("b")
    seen = state(project)
    changed = workspace.overtaken(project.root, seen)
    assert changed == {"T1": ("a.txt",)}
    project.writer("agent-b").append(lambda now: rules.overtaken(now, seen, changed))
    assert (statuses(project)["T1"], state(project).tasks["T1"].changed) == ("stale", ("a.txt",))
    assert state(project).next_task().id == "T3"  # T2 waits for T1 again
    project.finish("agent-b", id="T1")  # nobody has to take it up for that
    assert statuses(project)["T1"] == "done"
    assert workspace.overtaken(project.root, state(project)) == {}


def test_what_was_seen_before_a_task_was_done_again_makes_it_not_stale(project):
    project.start()
    project.finish()
    (project.root / "a.txt").write_text("b")
    seen = state(project)
    changed = workspace.overtaken(project.root, seen)
    project.writer().append(lambda now: rules.overtaken(now, seen, changed))
    project.finish(id="T1")
    assert project.writer().append(lambda now: rules.overtaken(now, seen, changed)) == []


@pytest.mark.parametrize("change", ["gone", "new"])
def test_files_that_vanish_or_appear_under_a_pattern_are_changes(project, change):
    new = parts(project, "## P1 Patterns\n- files: src/*.txt\n- check: true\n")
    (project.root / "src").mkdir()
    (project.root / "src" / "one.txt").write_text("1")
    project.do("agent-a", rules.split, id="T1", parts=new, reason="for the pattern")
    project.start()
    project.finish()
    if change == "gone":
        (project.root / "src" / "one.txt").unlink()
    else:
        (project.root / "src" / "two.txt").write_text("2")
    assert list(workspace.overtaken(project.root, state(project))) == ["P1"]


# ---- sessions, claims ---------------------------------------------------------------------------------------------


def test_a_session_runs_from_the_first_event_to_the_summary(project):
    project.start("agent-b")
    project.finish("agent-b", passed=False)
    end(project, "agent-b")
    now = state(project)
    session = now.last_ended()
    assert (session.id, session.owner, session.tasks, session.events) == ("S2", "agent-b", ("T1",), 3)
    assert session.worked_on == "T1 First (active)"
    assert session.checks == "T1: 0 of 1 check passed (E1)"
    assert (now.active, now.lease) == ("T1", None)
    with pytest.raises(UsageError, match="no open session"):
        end(project, "agent-b")
    project.start("agent-a")  # what was left active is taken up without force, and is no takeover
    assert state(project).lease.owner == "agent-a"
    assert state(project).takeovers == []


@pytest.mark.parametrize("missing", ["status", "next", "gotchas"])
def test_a_summary_has_no_empty_part(project, missing):
    given = {"status": "s", "next": "n", "gotchas": "g", "worked_on": None, "commit": None, "dirty": None}
    with pytest.raises(UsageError, match=missing):
        project.do("agent-a", turns.end, **{**given, missing: " "})


def test_a_wrong_assumption_is_kept_beside_what_is_so(project):
    project.start()
    project.do("agent-a", rules.progress, note="lines depend on each other", wrong="lines are independent")
    (note,) = state(project).tasks["T1"].notes
    assert (note.text, note.wrong) == ("lines depend on each other", "lines are independent")


def test_a_claim_is_not_tested_until_evidence_stands_behind_it(project):
    from think.core.handoff import evidence

    project.do("agent-a", rules.progress, claim="A beats B")
    claim = state(project).claims["C1"]
    assert state(project).standing(claim) == []
    found = evidence.of_checks("T1", [{"passed": True}], None, None)
    project.do("agent-a", rules.progress, claim="C1", evidence=[found])
    assert [each.id for each in state(project).standing(state(project).claims["C1"])] == ["E1"]
    project.do("agent-a", rules.progress, retract=("E1", "the data were wrong"))
    assert state(project).standing(state(project).claims["C1"]) == []
    project.do("agent-a", rules.progress, retract=("C1", "B was the better one"))
    with pytest.raises(UsageError, match="retracted"):
        project.do("agent-a", rules.progress, claim="A beats B")


def test_evidence_for_a_claim_that_is_not_there_is_a_mistake(project):
    with pytest.raises(UsageError, match="no claim C7"):
        project.do("agent-a", rules.progress, claim="C7")


def test_only_what_was_said_can_be_taken_back(project):
    with pytest.raises(UsageError, match="nothing called"):
        project.do("agent-a", rules.progress, retract=("17", "why"))


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\nb", "\x1b[31m"])
def test_names_that_cannot_stand_in_a_log_are_refused(name):
    with pytest.raises(UsageError, match="cannot name an owner"):
        rules.owner_name(name)
