"""The index of a history: what it adds up to is what the plain reader says, whatever happened to the files."""

import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from think.core.telemetry import index as index_module
from think.core.telemetry import stretches
from think.core.telemetry.columns import figures
from think.core.telemetry.index import Index
from think.core.telemetry.records import Record, encode
from think.core.telemetry.segment import GARBAGE, NEWER, OVERLONG, TORN
from think.core.telemetry.sidecar import Sidecars, default_folder
from think.core.telemetry.summary import Summary
from think.core.telemetry.tail import read
from think.core.telemetry.writer import Clock, Writer, segments

NEVER: Callable[[], bool] = lambda: False  # noqa: E731


class Ticking(Clock):
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        self.now += 0.5
        return self.now

    def monotonic(self) -> float:
        return self.now


def begin(folder: Path, clock: Clock, resumed: int | None = None, largest_segment: int = 2**26) -> Writer:
    writer = Writer(folder, clock=clock, heartbeat_seconds=None, largest_segment=largest_segment)
    writer.write("run_start", resumed, resumed_from_step=resumed, steps=5000, stage="stage1")
    return writer


def steps(writer: Writer, first: int, last: int) -> None:
    for step in range(first, last + 1):
        writer.write("step", step, loss=1.0 + (step * 7919) % 101, tokens=step * 64, gradient_norm=0.5)
        if step % 50 == 0:
            writer.write("eval", step, loss=5.0 / step, tokens=100, seconds=0.25)
            writer.write("state_health", step, layer=step % 3, branch="rwkv", norm=step * 1.0)


def opened(folder: Path, **options: int) -> Index:
    index = Index(folder)
    index.open()
    index.deepen(**options)
    return index


def exact(folder: Path) -> Index:
    index = opened(folder, tail_bytes=0, most_probes=0)
    index.backfill(NEVER)
    assert index.exact
    return index


def assert_counts_what_is_there(index: Index, folder: Path) -> None:
    """The index against the plain reader: the same values, each in one bucket of its step."""
    tables = index.tables()
    expected: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for record in read(folder):
        if record.step is None or record.kind in ("run_start", "run_end", "heartbeat", "log"):
            continue
        for name, value in figures(record).items():
            if name != "layer":
                expected.setdefault((record.kind, name), []).append((record.step, value))
    found = {(kind, name) for kind, table in tables.items() for name in table.names if table.count.any()}
    assert {key for key in found if tables[key[0]].count[tables[key[0]].names.index(key[1])].any()} == set(expected)
    for (kind, name), pairs in expected.items():
        table = tables[kind]
        row = table.names.index(name)
        assert table.count[row].sum() == len(pairs)
        by_key: dict[int, list[float]] = {}
        for step, value in pairs:
            by_key.setdefault(step // table.width, []).append(value)
        kept = table.count[row] > 0
        assert table.keys[kept].tolist() == sorted(by_key)
        assert table.low[row][kept].tolist() == [min(by_key[key]) for key in sorted(by_key)]
        assert table.high[row][kept].tolist() == [max(by_key[key]) for key in sorted(by_key)]


def test_a_history_in_many_segments(tmp_path: Path) -> None:
    steps(begin(tmp_path, Ticking(), largest_segment=20_000), 1, 1000)
    assert len(segments(tmp_path)) > 5
    index = exact(tmp_path)
    assert_counts_what_is_there(index, tmp_path)
    assert index.latest.step() == 1000
    assert {key: record.step for key, record in index.curves.layers["state_health"].items()} == {
        (0, "rwkv"): 900,
        (1, "rwkv"): 1000,
        (2, "rwkv"): 950,
    }


def test_small_blocks_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(begin(tmp_path, Ticking()), 1, 300)
    whole = exact(tmp_path).tables()["step"]
    real = stretches.backwards
    monkeypatch.setattr(index_module, "backwards", lambda path, stop, **o: real(path, stop, **(o | {"block": 700})))
    index = exact(tmp_path)
    assert_counts_what_is_there(index, tmp_path)
    assert np.array_equal(index.tables()["step"].low, whole.low)


@pytest.mark.parametrize("resumed", [None, 0, 120, 333, 499])
def test_what_a_resumed_run_does_again_counts_once(tmp_path: Path, resumed: int | None) -> None:
    clock = Ticking()
    steps(begin(tmp_path, clock), 1, 500)
    steps(begin(tmp_path, clock, resumed), (resumed or 0) + 1, 520)
    assert_counts_what_is_there(exact(tmp_path), tmp_path)


@pytest.mark.parametrize("resumed", [None, 120, 333])
def test_a_run_that_is_resumed_while_it_is_watched(tmp_path: Path, resumed: int | None) -> None:
    clock = Ticking()
    steps(begin(tmp_path, clock), 1, 500)
    index = exact(tmp_path)
    steps(begin(tmp_path, clock, resumed), (resumed or 0) + 1, 520)
    index.follow(NEVER)
    index.backfill(NEVER)
    assert_counts_what_is_there(index, tmp_path)
    assert index.latest.step() == 520


def test_a_long_run_that_is_resumed_while_it_is_watched_is_read_again_where_buckets_hold_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("think.core.telemetry.buckets.MOST", 64)
    monkeypatch.setattr("think.core.telemetry.buckets.joined.__defaults__", (64,))
    monkeypatch.setattr("think.core.telemetry.buckets.width_for.__defaults__", (64,))
    clock = Ticking()
    steps(begin(tmp_path, clock), 1, 500)
    index = exact(tmp_path)
    assert index.tables()["step"].width > 1
    steps(begin(tmp_path, clock, 333), 334, 520)
    index.follow(NEVER)
    assert not index.exact
    assert len(index.tables()["step"]) > 30  # what is known is shown meanwhile
    index.backfill(NEVER)
    assert_counts_what_is_there(index, tmp_path)


def test_a_start_inside_a_segment_voids_what_stands_before_it(tmp_path: Path) -> None:
    lines = [encode(Record("step", step, {"loss": 1.0}, seq=step, time=step)) for step in range(1, 21)]
    lines.append(encode(Record("run_start", 5, {"resumed_from_step": 5}, seq=0, time=30.0)))
    lines += [encode(Record("step", step, {"loss": 2.0}, seq=step, time=30.0 + step)) for step in range(6, 9)]
    (tmp_path / "telemetry-0001.jsonl").write_bytes(b"".join(lines))
    index = exact(tmp_path)
    assert_counts_what_is_there(index, tmp_path)
    assert index.tables()["step"].keys.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_reading_in_any_portions_while_it_is_written(tmp_path: Path) -> None:
    """A seeded script of appends, torn writes and reads."""
    whole = tmp_path / "whole"
    whole.mkdir()
    steps(begin(whole, Ticking()), 1, 400)
    content = (whole / "telemetry-0001.jsonl").read_bytes()
    folder = tmp_path / "growing"
    folder.mkdir()
    path, choose = folder / "telemetry-0001.jsonl", random.Random(0)
    path.write_bytes(content[:5000])
    index, at = opened(folder, tail_bytes=1000, most_probes=5), 5000
    while at < len(content):
        size = choose.choice([1, 7, 100, 900, 5000])
        with open(path, "ab") as file:
            file.write(content[at : at + size])
        at += size
        index.follow(NEVER)
        if choose.random() < 0.2:
            index.backfill(lambda: True)
    index.backfill(NEVER)
    assert_counts_what_is_there(index, folder)
    assert not index.notices


def test_the_first_picture_covers_the_whole_range_and_says_that_it_is_sampled(tmp_path: Path) -> None:
    steps(begin(tmp_path, Ticking(), largest_segment=100_000), 1, 4000)
    index = opened(tmp_path, tail_bytes=20_000, most_probes=200)
    table = index.tables()["step"]
    assert not index.exact
    assert index.done < 0.2
    assert table.steps[0] < 100
    assert table.steps[-1] == 4000
    assert np.diff(table.steps).max() < 100
    index.backfill(NEVER)
    assert_counts_what_is_there(index, tmp_path)


def test_the_newest_facts_agree_with_the_summary(tmp_path: Path) -> None:
    clock = Ticking()
    steps(begin(tmp_path, clock), 1, 300)
    steps(begin(tmp_path, clock, 120), 121, 140)
    latest, summary = opened(tmp_path).latest, Summary.of(tmp_path, now=lambda: clock.now)
    assert latest.step() == summary.step == 140
    assert latest.evaluation is not None
    assert (latest.evaluation.step, latest.evaluation.number("loss")) == (summary.held_out_step, summary.held_out)
    newest = latest.newest_step()
    assert newest is not None
    assert newest.loss == summary.loss
    assert latest.tokens_per_second() == pytest.approx(summary.speed)
    assert latest.state(clock.now, lambda who: True) == summary.state


def test_the_newest_evaluation_is_found_beyond_the_tail(tmp_path: Path) -> None:
    writer = begin(tmp_path, Ticking())
    steps(writer, 1, 50)
    for step in range(51, 1000):
        writer.write("step", step, loss=1.0, tokens=step * 64)
    index = Index(tmp_path)
    index.open()
    assert index.latest.evaluation is None
    index.seek_evaluation()
    assert index.latest.evaluation is not None
    assert index.latest.evaluation.step == 50


# ---- what can be wrong with files -----------------------------------------------------------------------------------


def test_garbage_is_counted_and_shown_and_nothing_else_is_lost(tmp_path: Path) -> None:
    steps(begin(tmp_path, Ticking()), 1, 100)
    path = tmp_path / "telemetry-0001.jsonl"
    lines = path.read_bytes().split(b"\n")
    for place, junk in (
        (30, b"{"),
        (20, b"\xff\xfe\x00"),
        (10, b"[1, 2]"),
        (5, b'{"kind": "step", "loss": NaN, "step": 3}'),
    ):
        lines.insert(place, junk)
    path.write_bytes(b"\n".join(lines))
    index = exact(tmp_path)
    assert index.notices[GARBAGE] == 3
    assert index.tables()["step"].count[0].sum() == 101  # JSON of other writers knows NaN


def test_a_file_of_another_program_or_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "telemetry-0001.jsonl").write_bytes(os.urandom(100_000))
    (tmp_path / "telemetry-0002.jsonl").write_bytes(b"")
    index = exact(tmp_path)
    assert index.tables() == {}
    assert index.notices[GARBAGE] > 100
    assert index.latest.state(0.0, lambda who: True) == "created"


def test_lines_of_ten_megabytes_are_passed_over(tmp_path: Path) -> None:
    steps(begin(tmp_path, Ticking()), 1, 20)
    path = tmp_path / "telemetry-0001.jsonl"
    before = path.read_bytes()
    after = encode(Record("step", 21, {"loss": 3.0}, time=2000.0))
    path.write_bytes(before + b"x" * 10_000_000 + b"\n" + after)
    index = exact(tmp_path)
    assert index.notices[OVERLONG] == 1
    assert index.tables()["step"].keys.tolist() == list(range(1, 22))


def test_a_line_of_ten_megabytes_that_is_being_written(tmp_path: Path) -> None:
    steps(begin(tmp_path, Ticking()), 1, 20)
    index = exact(tmp_path)
    with open(tmp_path / "telemetry-0001.jsonl", "ab") as file:
        for _ in range(10):
            file.write(b"x" * 1_000_000)
            file.flush()
            index.follow(NEVER)
        file.write(b"\n" + encode(Record("step", 21, {"loss": 3.0}, time=2000.0)))
    index.follow(NEVER)
    assert index.notices[OVERLONG] == 1
    assert index.tables()["step"].steps[-1] == 21


def test_a_cut_file_is_told_and_followed_on(tmp_path: Path) -> None:
    writer = begin(tmp_path, Ticking())
    steps(writer, 1, 100)
    index = exact(tmp_path)
    os.truncate(tmp_path / "telemetry-0001.jsonl", 1000)
    index.follow(NEVER)
    assert any("was cut" in text for text in index.notices)
    with open(tmp_path / "telemetry-0001.jsonl", "ab") as file:
        file.write(b"\n" + encode(Record("step", 101, {"loss": 3.0}, time=5000.0)))
    index.follow(NEVER)
    assert index.tables()["step"].steps[-1] == 101


@pytest.mark.parametrize("longer", [False, True])
def test_a_replaced_file_is_told_and_read_from_its_start(tmp_path: Path, longer: bool) -> None:
    steps(begin(tmp_path, Ticking()), 1, 100)
    index = exact(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    clock = Ticking()
    clock.now = 9000.0
    steps(begin(other, clock), 1, 500 if longer else 7)
    os.replace(other / "telemetry-0001.jsonl", tmp_path / "telemetry-0001.jsonl")
    other.rmdir()
    index.follow(NEVER)
    index.backfill(NEVER)
    assert any("was replaced" in text for text in index.notices)
    assert_counts_what_is_there(index, tmp_path)


def test_a_file_written_anew_in_place_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    steps(begin(tmp_path, Ticking()), 1, 10)
    index = exact(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    clock = Ticking()
    clock.now = 9000.0
    steps(begin(other, clock), 1, 50)
    (tmp_path / "telemetry-0001.jsonl").write_bytes((other / "telemetry-0001.jsonl").read_bytes())
    index.follow(NEVER)
    index.backfill(NEVER)
    assert any("was replaced" in text for text in index.notices)
    assert_counts_what_is_there(index, tmp_path)


def test_a_torn_end_counts_only_when_its_process_is_over(tmp_path: Path) -> None:
    clock = Ticking()
    steps(begin(tmp_path, clock), 1, 10)
    with open(tmp_path / "telemetry-0001.jsonl", "ab") as file:
        file.write(b'{"v":1,"kind":"step","step":11,"lo')
    index = exact(tmp_path)
    index.follow(NEVER)
    assert not index.notices
    begin(tmp_path, clock, 10)
    index.follow(NEVER)
    index.follow(NEVER)
    assert index.notices[TORN] == 1


def test_records_of_a_newer_format_and_of_unknown_kinds_are_read_and_told(tmp_path: Path) -> None:
    lines = [encode(Record("of the future", step, {"figure": 1.5 * step}, version=2)) for step in range(1, 4)]
    (tmp_path / "telemetry-0001.jsonl").write_bytes(b"".join(lines))
    index = exact(tmp_path)
    assert index.notices[NEWER] >= 1
    assert index.tables()["of the future"].last.tolist() == [[1.5, 3.0, 4.5]]


def test_a_folder_that_goes_is_gone_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    steps(begin(folder, Ticking()), 1, 10)
    index = exact(folder)
    hidden = folder.rename(tmp_path / "hidden")
    index.follow(NEVER)
    assert index.gone
    assert index.tables()["step"].steps[-1] == 10
    hidden.rename(folder)
    index.follow(NEVER)
    assert not index.gone


def test_endless_figures_are_bounded(tmp_path: Path) -> None:
    lines = [encode(Record("reward", step, {f"figure {step}": 1.0})) for step in range(1, 1000)]
    (tmp_path / "telemetry-0001.jsonl").write_bytes(b"".join(lines))
    index = exact(tmp_path)
    index.tables()
    assert sum(len(table.names) for table in index.tables().values()) <= 160
    assert len(index.curves.left_out) > 800


def test_steps_that_are_no_steps_are_left_out(tmp_path: Path) -> None:
    lines = [{"kind": "step", "step": step, "loss": 1.0} for step in (1, -5, 10**30, 2.5, "3", True, None, 4)]
    (tmp_path / "telemetry-0001.jsonl").write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    assert exact(tmp_path).tables()["step"].keys.tolist() == [1, 4]


# ---- kept indexes ---------------------------------------------------------------------------------------------------


def kept(folder: Path, cache: Path) -> Sidecars:
    sidecars = Sidecars(cache)
    sidecars.save(exact(folder))
    return sidecars


def loaded(folder: Path, sidecars: Sidecars) -> Index | None:
    index = Index(folder)
    index.open()
    return index if sidecars.load(index) else None


def test_a_kept_index_is_exact_at_once_and_goes_on_from_there(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    writer = begin(folder, Ticking(), largest_segment=20_000)
    steps(writer, 1, 500)
    sidecars = kept(folder, tmp_path / "cache")
    index = loaded(folder, sidecars)
    assert index is not None
    assert index.exact
    assert_counts_what_is_there(index, folder)
    steps(writer, 501, 700)
    index = loaded(folder, sidecars)
    assert index is not None
    assert not index.exact
    assert index.done > 0.5
    index.deepen()
    index.backfill(NEVER)
    assert_counts_what_is_there(index, folder)
    assert index.curves.counts["step"] == 700


def test_notices_about_lines_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    steps(begin(folder, Ticking()), 1, 10)
    with open(folder / "telemetry-0001.jsonl", "ab") as file:
        file.write(b"garbage\n")
    index = loaded(folder, kept(folder, tmp_path / "cache"))
    assert index is not None
    assert index.notices[GARBAGE] == 1


@pytest.mark.parametrize("change", ["first byte", "last byte", "shorter", "replaced", "gone", "resumed", "damaged"])
def test_a_kept_index_that_does_not_fit_is_not_believed(tmp_path: Path, change: str) -> None:
    folder, clock = tmp_path / "run", Ticking()
    folder.mkdir()
    steps(begin(folder, clock, largest_segment=20_000), 1, 500)
    sidecars = kept(folder, tmp_path / "cache")
    first = folder / "telemetry-0001.jsonl"
    content = bytearray(first.read_bytes())
    match change:
        case "first byte":
            first.write_bytes(b" " + content[1:])
        case "last byte":
            first.write_bytes(content[:-2] + b" \n")
        case "shorter":
            os.truncate(first, len(content) - 400)
        case "replaced":
            (folder / "new").write_bytes(content)
            os.replace(folder / "new", first)
        case "gone":
            first.unlink()
        case "resumed":
            begin(folder, clock, 200)
        case "damaged":
            path = sidecars.path(folder)
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert loaded(folder, sidecars) is None
    assert sidecars.problems == []
    assert_counts_what_is_there(exact(folder), folder)


def test_a_cache_that_cannot_be_written_is_told_once_and_nothing_fails(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    steps(begin(folder, Ticking()), 1, 10)
    (tmp_path / "file").write_text("no folder")
    sidecars = Sidecars(tmp_path / "file" / "cache")
    for _ in range(2):
        sidecars.save(exact(folder))
    assert len(sidecars.problems) == 1
    assert loaded(folder, sidecars) is None


def test_what_is_not_read_to_its_end_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    steps(begin(folder, Ticking()), 1, 3000)
    sidecars = Sidecars(tmp_path / "cache")
    sidecars.save(opened(folder, tail_bytes=1000, most_probes=10))
    assert not sidecars.path(folder).exists()


def test_the_cache_folder_follows_the_environment(tmp_path: Path) -> None:
    assert default_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "think" / "telemetry"
    assert default_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "think" / "telemetry"


def test_a_loss_that_is_not_finite_is_counted(tmp_path: Path) -> None:
    writer = begin(tmp_path, Ticking())
    writer.write("step", 1, loss=math.nan)
    writer.write("step", 2, loss=2.0)
    table = exact(tmp_path).tables()["step"]
    assert table.bad[table.names.index("loss")].tolist() == [1, 0]
