"""The feed: what it makes of run folders, live and dead, whole and broken."""

import json
import math
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.tui.writing import Hands, begin, settle, take_steps
from think.core.gates.evidence import Source
from think.core.gates.store import Stored, append
from think.core.gates.verdict import Finding, Status, Verdict
from think.core.telemetry.process import Identity
from think.core.telemetry.sidecar import Sidecars
from think.core.telemetry.summary import Summary
from think.tui.feed import CALM_SECONDS, FOLLOW_SECONDS, FRAME_SECONDS, IDLE_SECONDS, Feed
from think.tui.once import frame, once
from think.tui.view import LogQuery, View


def feed_of(target: Path, clock: Hands, *, lives: bool | None = True, cache: Path | None = None) -> Feed:
    indexes = Sidecars(cache) if cache is not None else None
    return Feed(target, clock=clock, is_alive=lambda who: lives, indexes=indexes, extras={})


def after(feed: Feed, clock: Hands, seconds: float) -> View | None:
    clock.now += seconds
    view = feed.tick(0.5)
    while feed.busy:
        view = feed.tick(0.5) or view
    return view


# ---- rest -----------------------------------------------------------------------------------------------------------


def test_it_rests_longer_where_nothing_grows_and_not_at_all_when_somebody_asks(tmp_path: Path, monkeypatch) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    take_steps(writer, clock, 1, 5)
    feed = feed_of(tmp_path, clock)
    settle(feed)
    waits: list[tuple[float, bool]] = []
    roused = threading.Event()
    monkeypatch.setattr(feed, "_roused", roused)
    monkeypatch.setattr(roused, "wait", lambda seconds: waits.append((seconds, roused.is_set())))

    after(feed, clock, 5.0)
    feed.rest()
    take_steps(writer, clock, 6, 1)
    after(feed, clock, 0.5)
    feed.rest()
    feed.select("a")
    feed.rest()
    feed.rest()
    assert waits == [(CALM_SECONDS, False), (FOLLOW_SECONDS, False), (FOLLOW_SECONDS, True), (FOLLOW_SECONDS, False)]


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_a_row_says_what_the_summary_says(tmp_path: Path) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    take_steps(writer, clock, 1, 80)
    writer.write("eval", 80, loss=3.5, tokens=10)
    row = settle(feed_of(tmp_path, clock)).runs[0]
    summary = Summary.of(tmp_path / "a", now=clock.time, is_alive=lambda who: True)
    for name in ("state", "stage", "preset", "step", "steps", "loss", "held_out", "held_out_step", "parameters"):
        assert getattr(row, name) == getattr(summary, name), name
    assert row.speed == pytest.approx(summary.speed) == pytest.approx(64.0)
    assert row.time_left == pytest.approx(summary.time_left)
    assert row.pid == os.getpid()
    assert row.progress == pytest.approx(0.08)


def test_the_first_view_has_the_newest_run_in_full_and_the_names_of_the_others(tmp_path: Path) -> None:
    clock = Hands()
    for number, name in enumerate(("b", "c", "a")):
        take_steps(begin(tmp_path / name, clock), clock, 1, 5, seconds=0.1)
        os.utime(tmp_path / name / "telemetry-0001.jsonl", (number, number))
    feed = feed_of(tmp_path, clock)
    view = feed.tick()
    assert view is not None
    assert view.number == 1
    assert [(row.name, row.state) for row in view.runs] == [("a", "running"), ("b", "unread"), ("c", "unread")]
    assert view.selected == "a"
    assert view.run is not None
    assert view.run.curves["step.loss"].steps.tolist() == [1, 2, 3, 4, 5]
    assert [row.state for row in settle(feed).runs] == ["running"] * 3


def test_a_run_given_as_its_own_folder(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path / "a", clock), clock, 1, 5)
    view = settle(feed_of(tmp_path / "a", clock))
    assert view.one_run
    assert view.selected == "a"


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_without_runs_gets_them_later(tmp_path: Path, exists: bool) -> None:
    clock, target = Hands(), tmp_path / "runs"
    if exists:
        target.mkdir()
    feed = feed_of(target, clock)
    view = settle(feed)
    assert view.runs == ()
    assert view.run is None
    assert [notice.text for notice in view.notices] == ([] if exists else ["this folder is not there"])
    take_steps(begin(target / "late", clock), clock, 1, 3)
    found = after(feed, clock, 1.5)
    assert found is not None
    assert [row.name for row in found.runs] == ["late"]
    assert found.notices == ()


# ---- life and death -------------------------------------------------------------------------------------------------


def test_a_killed_process_is_dead_in_the_first_view(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path / "a", clock), clock, 1, 5)
    view = feed_of(tmp_path, clock, lives=False).tick()
    assert view is not None
    assert view.runs[0].state == "dead"
    assert view.runs[0].loss == 200.0
    assert view.runs[0].time_left is None


def test_a_process_that_is_killed_while_it_is_watched_is_dead_within_two_seconds(tmp_path: Path) -> None:
    clock, lives = Hands(), [True]
    take_steps(begin(tmp_path / "a", clock), clock, 1, 5)
    asked: list[Identity] = []

    def alive(who: Identity) -> bool:
        asked.append(who)
        return lives[0]

    feed = Feed(tmp_path, clock=clock, is_alive=alive, extras={})
    assert settle(feed).runs[0].state == "running"
    lives[0] = False
    for _ in range(8):
        view = after(feed, clock, 0.25)
        if view is not None and view.runs[0].state == "dead":
            break
    assert view is not None
    assert view.runs[0].state == "dead"
    assert len(asked) <= 4  # once a second


def test_silence_longer_than_the_pace_is_a_stall_and_ends_with_the_next_step(tmp_path: Path) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    take_steps(writer, clock, 1, 9, seconds=2.0)
    feed = feed_of(tmp_path, clock)
    assert settle(feed).runs[0].stalled_after == 10.0
    view = after(feed, clock, 9.5)
    assert view is not None
    assert view.runs[0].state == "running"
    writer.beat()
    view = after(feed, clock, 1.0)
    assert view is not None
    assert view.runs[0].state == "stalled"
    assert view.runs[0].silence == pytest.approx(10.5)
    take_steps(writer, clock, 10, 10, seconds=0.0)
    view = after(feed, clock, 0.3)
    assert view is not None
    assert view.runs[0].state == "running"


@pytest.mark.parametrize(("status", "state"), [("finished", "finished"), ("diverged", "diverged")])
def test_an_end_is_an_end(tmp_path: Path, status: str, state: str) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    feed = feed_of(tmp_path, clock, lives=False)
    settle(feed)
    writer.close(status, "as it \x1b[31mwas")
    view = after(feed, clock, 1.0)
    assert view is not None
    assert view.runs[0].state == state
    assert view.runs[0].message == "as it \\x1b[31mwas"


def test_a_run_that_is_removed_while_it_is_watched_is_gone_and_stays_shown(tmp_path: Path) -> None:
    clock = Hands()
    for name in ("a", "b"):
        take_steps(begin(tmp_path / name, clock), clock, 1, 5)
    feed = feed_of(tmp_path, clock)
    feed.select("a")
    settle(feed)
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    view = after(feed, clock, 1.5)
    assert view is not None
    assert [row.state for row in view.runs] == ["gone", "gone"]
    assert view.run is not None
    assert len(view.run.curves["step.loss"]) == 5
    assert any("gone" in notice.text for notice in view.run.notices)


# ---- frames ---------------------------------------------------------------------------------------------------------


def test_at_most_four_views_a_second_and_none_without_news(tmp_path: Path) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    take_steps(writer, clock, 1, 9)
    feed = feed_of(tmp_path, clock)
    settle(feed)
    numbers = []
    for _ in range(100):
        take_steps(writer, clock, 10, 10, seconds=0.02)
        view = feed.tick(0.5)
        numbers += [clock.now] if view is not None else []
    assert min(np.diff(numbers)) >= FRAME_SECONDS - 1e-9
    assert len(numbers) >= 6
    take_steps(writer, clock, 11, 11)
    after(feed, clock, 0.5)
    quiet = [after(feed, clock, 0.05) for _ in range(60)]
    assert quiet == [None] * len(quiet)
    assert after(feed, clock, IDLE_SECONDS) is not None  # ages move


def test_history_waits_while_somebody_presses_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("think.core.telemetry.stretches.backwards.__kwdefaults__", {"least": 0, "block": 2000})
    monkeypatch.setattr("think.core.telemetry.index.Index.deepen.__kwdefaults__", {"tail_bytes": 100, "most_probes": 5})
    clock = Hands()
    take_steps(begin(tmp_path / "a", clock), clock, 1, 500)
    feed = feed_of(tmp_path, clock)
    feed.tick()
    index = feed._watches["a"].index
    before = index.done
    feed.give_way()
    feed.tick(0.5)
    assert index.done == before
    assert not feed.busy
    clock.now += 0.2
    feed.tick(0.5)
    assert index.done > before


def test_nobody_looks_at_the_log_until_it_is_asked_for(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path / "a", clock), clock, 1, 5)
    feed = feed_of(tmp_path, clock)
    assert settle(feed).log.lines == ()
    feed.filter(LogQuery())
    assert len(settle(feed).log.lines) == 6
    feed.filter(None)
    assert settle(feed).log.lines == ()


def test_a_finished_run_asks_for_no_more_views(tmp_path: Path) -> None:
    clock = Hands()
    begin(tmp_path / "a", clock).close("finished")
    feed = feed_of(tmp_path, clock)
    settle(feed)
    assert [after(feed, clock, 1.0) for _ in range(10)] == [None] * 10


def test_views_are_values_that_later_ticks_do_not_change(tmp_path: Path) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    take_steps(writer, clock, 1, 9)
    feed = feed_of(tmp_path, clock)
    view = settle(feed)
    assert view.run is not None
    curve = view.run.curves["step.loss"]
    with pytest.raises(ValueError, match="read-only"):
        curve.steps[0] = 5
    take_steps(writer, clock, 10, 20)
    later = after(feed, clock, 1.0)
    assert later is not None
    assert later.run is not None
    assert view.run.curves["step.loss"].steps.tolist() == list(range(1, 10))
    assert later.run.curves["step.loss"].steps.tolist() == list(range(1, 21))
    assert (view.run.row.step, later.run.row.step) == (9, 20)


def test_wishes_are_answered_at_the_next_tick(tmp_path: Path) -> None:
    clock = Hands()
    for name in ("a", "b"):
        take_steps(begin(tmp_path / name, clock), clock, 1, 5, loss=1.0 if name == "a" else 2.0)
    feed = feed_of(tmp_path, clock)
    settle(feed)
    for name in ("a", "b"):
        feed.select(name)
        view = feed.tick()
        assert view is not None
        assert view.selected == name
        assert view.run is not None
        assert view.run.curves["step.loss"].latest == (1.0 if name == "a" else 2.0)
    feed.select("no such run")
    view = feed.tick()
    assert view is not None
    assert view.selected == "b"


def test_curves_of_runs_that_nobody_looks_at_are_let_go(tmp_path: Path) -> None:
    clock = Hands()
    names = [f"run-{number}" for number in range(6)]
    for name in names:
        take_steps(begin(tmp_path / name, clock), clock, 1, 5)
    feed = feed_of(tmp_path, clock)
    for name in names:
        feed.select(name)
        view = settle(feed)
        assert view.run is not None
        assert len(view.run.curves["step.loss"]) == 5
    assert sum(watch.index.deep for watch in feed._watches.values()) == 3
    feed.select(names[0])
    view = settle(feed)
    assert view.run is not None
    assert view.run.curves["step.loss"].count.sum() == 5


# ---- one run in full ------------------------------------------------------------------------------------------------


def test_everything_about_a_run(tmp_path: Path) -> None:
    clock, folder = Hands(), tmp_path / "a"
    writer = begin(folder, clock, seed=7, device="cpu")
    for step in (1, 2, 3):
        take_steps(writer, clock, step, step)
        writer.write("component_gradients", step, norms={"rwkv": 3.0, "mamba": 4.0}, ratio=0.75)
        for layer in (0, 1):
            writer.write("state_health", step, layer=layer, branch="rwkv", norm=step + layer / 10, rank=2.0)
    writer.write("step", 4, loss=math.nan, tokens=256)
    writer.write("anomaly", 4, rule="gradient_spike", value=9.0, limit=5.0, message="gradient spike\x07")
    writer.write("eval", 4, loss=2.0, unigram_loss=4.5, tokens=10)
    writer.write("of the future", 4, wonders=3)
    (folder / "settings.toml").write_text(
        "[stage1]\n# digest 0\nsteps = 1000  # --set stage1.steps\n\n"
        "[gates.g3.gradient]\npasses_high = 1.5  # default\n"
    )
    (folder / "plan.json").write_text(json.dumps({"tokens": 64000, "digests": {"model": "m"}}))
    (folder / "report.md").write_text(
        "# r\n\n## A sample\n\nOne text; seed 0:\n\n```text\nonce \x1b[2J upon\n```\n\n## How"
    )
    view = settle(feed_of(tmp_path, clock))
    run = view.run
    assert run is not None
    assert run.exact
    loss = run.curves["step.loss"]
    assert loss.non_finite.tolist() == [0, 0, 0, 1]
    assert math.isnan(loss.latest or 0.0)
    assert math.isnan(loss.minimum[3])
    assert run.curves["of the future.wonders"].latest == 3.0
    assert {name: curve.latest for name, curve in run.shares.items()} == {"rwkv": 0.36, "mamba": 0.64}
    assert run.health is not None
    assert run.health.rows == ((0, "rwkv"), (1, "rwkv"))
    assert run.health.columns == ("norm", "rank")
    assert run.health.values.tolist() == [[3.0, 2.0], [3.1, 2.0]]
    assert [(event.text, event.value, event.limit, event.rule) for event in run.anomalies] == [
        ("gradient spike\\x07", 9.0, 5.0, "gradient_spike")
    ]
    assert run.row.anomalies == run.anomaly_count == 1
    assert [(setting.key, setting.value, setting.origin) for setting in run.settings] == [
        ("stage1.steps", "1000", "--set stage1.steps"),
        ("gates.g3.gradient.passes_high", "1.5", "default"),
    ]
    limits = {(limit.curve, limit.value) for limit in run.limits}
    assert limits == {("step.gradient_norm", 1.5), ("eval.loss", 4.5), ("step.loss", 4.5)}
    assert [sample.text for sample in run.samples] == ["once \\x1b[2J upon"]
    assert run.facts["seed"] == "7"
    assert run.facts["tokens planned"] == "64,000"
    assert run.counts["step"] == 4


def test_wrong_files_beside_the_telemetry_are_told(tmp_path: Path) -> None:
    clock, folder = Hands(), tmp_path / "a"
    begin(folder, clock)
    (folder / "settings.toml").write_bytes(b"\xff\xfe = [")
    (folder / "plan.json").write_text("[1, 2")
    (folder / "gates.jsonl").write_text('{"schema": "of another program"}\nnonsense\n{"torn')
    view = settle(feed_of(tmp_path, clock))
    assert view.run is not None
    texts = " ".join(notice.text for notice in view.run.notices)
    assert "settings.toml" in texts
    assert "plan.json" in texts
    assert len(view.gates.problems) == 3
    assert view.runs[0].notices == len(view.run.notices)


def test_a_replay_shows_nothing_later(tmp_path: Path) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    take_steps(writer, clock, 1, 100)
    writer.write("anomaly", 90, rule="r", message="late")
    writer.close("finished")
    feed = feed_of(tmp_path, clock)
    settle(feed)
    feed.replay(40)
    view = feed.tick()
    assert view is not None
    assert view.until == 40
    assert view.run is not None
    assert view.run.curves["step.loss"].steps[-1] == 40
    assert (view.run.row.step, view.run.row.loss) == (40, 25.0)
    assert view.run.anomalies == ()
    feed.replay(None)
    view = feed.tick()
    assert view is not None
    assert view.run is not None
    assert view.run.curves["step.loss"].steps[-1] == 100


def test_two_runs_beside_each_other(tmp_path: Path) -> None:
    clock = Hands()
    for name, width, loss in (("a", 64, 1.5), ("b", 128, 1.25)):
        take_steps(begin(tmp_path / name, clock), clock, 1, 5, loss=loss)
        (tmp_path / name / "settings.toml").write_text(f"[model]\nwidth = {width}  # p.toml:3\nlayers = 2  # default\n")
    feed = feed_of(tmp_path, clock)
    feed.select("a")
    feed.compare("b")
    view = settle(feed)
    assert view.run is not None
    assert view.other is not None
    assert (view.run.curves["step.loss"].latest, view.other.curves["step.loss"].latest) == (1.5, 1.25)
    assert view.comparison is not None
    (difference,) = view.comparison.settings
    assert (difference.key, difference.left, difference.right) == ("model.width", "64", "128")
    assert (difference.left_origin, difference.right_origin) == ("p.toml:3", "p.toml:3")
    results = {found.key: (found.left, found.right) for found in view.comparison.results}
    assert results["loss"] == ("1.5000", "1.2500")


# ---- gates ----------------------------------------------------------------------------------------------------------


def stored(gate: str, status: Status, *, digests: dict[str, str], time: str, limit: float = 1.0) -> Stored:
    finding = Finding("a figure", status, "0.5 of it", "at most 1", value=0.5, count=7, interval=(0.4, 0.6))
    return Stored(
        gate=gate,
        verdict=Verdict.of([finding], remedy="do \x1b[1m this"),
        thresholds={"limit": limit},
        thresholds_sha256="t",
        evidence={"name": "e", "sha256": "e", "values": {}},
        source=Source(digests=digests, seed=3),
        time=time,
    )


def test_the_board_of_gates(tmp_path: Path) -> None:
    clock, folder = Hands(), tmp_path / "a"
    begin(folder, clock)
    (folder / "plan.json").write_text(json.dumps({"digests": {"model": "m", "tokenizer": "t"}}))
    fresh, own = tmp_path / ".gates.jsonl", folder / "gates.jsonl"
    at = "1970-01-12T13:4{}:40+00:00".format
    append(fresh, stored("g0", Status.PASS, digests={"tokenizer": "t", "code": "c"}, time=at(1)))
    append(fresh, stored("g1", Status.PASS, digests={"model": "m"}, time=at(2)))
    append(fresh, stored("g1", Status.FAIL, digests={"model": "of another model"}, time=at(3)))
    append(own, stored("g2", Status.FAIL, digests={"model": "m"}, time=at(4)))
    view = settle(feed_of(tmp_path, clock))
    rows = {row.gate: row for row in view.gates.rows}
    assert [rows[name].verdict for name in ("g0", "g1", "g2", "g3")] == ["PASS", "PASS", "FAIL", ""]
    assert (rows["g3"].after, rows["g3"].blocked_by, rows["g2"].blocks) == ("g2", "g2", ("g3",))
    assert rows["g2"].blocked_by is None
    assert rows["g2"].remedy == "do \\x1b[1m this"
    (finding,) = rows["g2"].findings
    assert (finding.status, finding.value, finding.count, finding.interval) == ("FAIL", 0.5, 7, (0.4, 0.6))
    assert rows["g0"].source["seed"] == "3"
    assert rows["g0"].record["thresholds"] == {"limit": 1.0}
    assert rows["g0"].age == pytest.approx(clock.now - 999_700.0)
    assert view.gates.counts() == {"PASS": 2, "FAIL": 1}
    assert dict(view.runs[0].gates) == {"PASS": 2, "FAIL": 1}


def test_a_verdict_under_other_thresholds_or_digests_is_stale(tmp_path: Path) -> None:
    clock, folder = Hands(), tmp_path / "a"
    begin(folder, clock)
    (folder / "plan.json").write_text(json.dumps({"digests": {"model": "now"}}))
    (folder / "settings.toml").write_text("[gates.g1]\nlimit = 0.25  # default\n")
    append(
        folder / "gates.jsonl", stored("g0", Status.PASS, digests={"model": "then"}, time="2026-01-01T00:00:00+00:00")
    )
    append(
        folder / "gates.jsonl", stored("g1", Status.PASS, digests={"model": "now"}, time="2026-01-01T00:00:00+00:00")
    )
    rows = {row.gate: row for row in settle(feed_of(tmp_path, clock)).gates.rows}
    assert rows["g0"].stale == "model changed since"
    assert rows["g1"].stale == "thresholds changed since"
    assert rows["g2"].blocked_by == "g0"


def test_a_new_verdict_is_shown_within_a_second(tmp_path: Path) -> None:
    clock, folder = Hands(), tmp_path / "a"
    begin(folder, clock)
    feed = feed_of(tmp_path, clock)
    settle(feed)
    append(folder / "gates.jsonl", stored("g0", Status.PASS, digests={}, time="2026-01-01T00:00:00+00:00"))
    view = after(feed, clock, 1.1)
    assert view is not None
    assert view.gates.counts() == {"PASS": 1}


# ---- the rest -------------------------------------------------------------------------------------------------------


def test_an_index_is_kept_and_used_again(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path / "runs" / "a", clock, largest_segment=50_000), clock, 1, 3000)
    with feed_of(tmp_path / "runs", clock, cache=tmp_path / "cache") as feed:
        settle(feed)
    view = feed_of(tmp_path / "runs", clock, cache=tmp_path / "cache").tick()
    assert view is not None
    assert view.run is not None
    assert view.run.exact
    assert view.run.curves["step.loss"].count.sum() == 3000


def test_an_index_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path / "runs" / "a", clock), clock, 1, 5)
    (tmp_path / "file").write_text("")
    feed = feed_of(tmp_path / "runs", clock, cache=tmp_path / "file" / "below")
    settle(feed)
    feed.close()
    assert any("indexes cannot be kept" in notice.text for notice in settle(feed).notices)


def test_extras_stand_under_their_names(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path / "a", clock), clock, 1, 5)
    feed = Feed(tmp_path, clock=clock, extras={"counted": lambda index, until: (index.curves.counts["step"], until)})
    assert settle(feed).extra["counted"] == (5, None)


def test_names_of_runs_are_harmless(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path / "a\x1b[2Jb", clock), clock, 1, 5)
    view = settle(feed_of(tmp_path, clock))
    assert view.runs[0].name == view.selected == "a\\x1b[2Jb"
    assert "\x1b" not in view.runs[0].path
    assert view.run is not None
    assert len(view.run.curves["step.loss"]) == 5


def test_one_frame_for_scripts(tmp_path: Path) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock)
    take_steps(writer, clock, 1, 1000)
    take_steps(writer, clock, 1001, 1001, loss=math.inf)
    feed = feed_of(tmp_path, clock)
    feed.filter(LogQuery(lines=2))
    data = frame(once(feed), points=50)
    curve = data["run"]["curves"]["step.loss"]
    assert len(curve["steps"]) == 50
    assert max(curve["maximum"]) == 1000.0
    assert sum(curve["count"]) == 1001
    assert sum(curve["not_finite"]) == 1
    assert data["runs"][0]["state"] == "running"
    assert len(data["log"]["lines"]) == 2
    json.dumps(data)
