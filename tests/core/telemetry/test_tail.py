"""Readers: only whole lines, every record once, whatever happens to the files meanwhile."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.telemetry import tail as tail_module
from think.core.telemetry.records import Record, encode
from think.core.telemetry.tail import LONGEST_LINE, History, Tail, follow_to_end, read, read_backwards


def line(step: int, kind: str = "step", **fields: object) -> bytes:
    return encode(Record(kind, step, fields, run="r", seq=step, time=float(step)))


def segment(folder: Path, number: int = 1) -> Path:
    return folder / f"telemetry-{number:04d}.jsonl"


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def steps(records: list[Record]) -> list[int | None]:
    return [record.step for record in records]


class TestTail:
    def test_nothing_there_is_nothing_new(self, tmp_path: Path) -> None:
        assert Tail(tmp_path / "absent").poll().records == []

    def test_an_unfinished_line_waits_for_its_end(self, tmp_path: Path) -> None:
        tail, whole = Tail(tmp_path), line(2)
        append(segment(tmp_path), line(1) + whole[:10])
        assert steps(tail.poll().records) == [1]
        assert tail.poll().records == []
        append(segment(tmp_path), whole[10:] + line(3))
        assert steps(tail.poll().records) == [2, 3]
        assert (tail.garbage, tail.torn) == (0, 0)

    def test_an_unfinished_line_is_torn_once_a_later_segment_exists(self, tmp_path: Path) -> None:
        append(segment(tmp_path), line(1) + b'{"kind": "st')
        append(segment(tmp_path, 2), line(2))
        tail = Tail(tmp_path)
        assert steps(tail.poll().records) == [1, 2]
        assert tail.torn == 1

    def test_garbage_is_counted_and_passed_over(self, tmp_path: Path) -> None:
        append(segment(tmp_path), b"\xff\xfe\x00\n\n" + line(1) + b"not json\n[1]\n" + line(2))
        tail = Tail(tmp_path)
        assert steps(tail.poll().records) == [1, 2]
        assert tail.garbage == 3

    def test_a_line_without_end_is_skipped_and_not_held(self, tmp_path: Path) -> None:
        append(segment(tmp_path), line(1) + b"x" * (3 * LONGEST_LINE + 5))
        tail = Tail(tmp_path)
        assert steps(list(follow_to_end(tail))) == [1]
        append(segment(tmp_path), b"x" * 100)
        assert tail.poll().records == []
        append(segment(tmp_path), b"\n" + line(2))
        assert steps(tail.poll().records) == [2]
        assert tail.overlong == 1

    def test_one_poll_does_bounded_work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tail_module, "LONGEST_LINE", 2000)
        append(segment(tmp_path), b"".join(line(step) for step in range(1000)))
        append(segment(tmp_path, 2), line(1000))
        tail, found, polls = Tail(tmp_path), [], 0
        while True:
            poll = tail.poll(work_bytes=4000)
            assert len(poll.records) < 60
            found += poll.records
            polls += 1
            if not poll.more:
                break
        assert steps(found) == list(range(1001))
        assert polls > 15

    def test_a_file_that_was_cut_gives_no_record_twice(self, tmp_path: Path) -> None:
        path, tail = segment(tmp_path), Tail(tmp_path)
        append(path, line(1) + line(2) + line(3))
        tail.poll()
        os.truncate(path, len(line(1)))
        append(path, line(4))
        poll = tail.poll()
        assert steps(poll.records) == [4]
        assert "was cut" in poll.notices[0]

    def test_a_file_that_was_replaced_is_read_from_its_start(self, tmp_path: Path) -> None:
        path, tail = segment(tmp_path), Tail(tmp_path)
        append(path, line(5) + line(6))
        tail.poll()
        append(tmp_path / "other", line(1) + line(2) + line(3))
        os.replace(tmp_path / "other", path)
        poll = tail.poll()
        assert steps(poll.records) == [1, 2, 3]
        assert "was replaced" in poll.notices[0]

    def test_a_file_that_vanished_is_no_error(self, tmp_path: Path) -> None:
        tail = Tail(tmp_path)
        append(segment(tmp_path), line(1))
        tail.poll()
        segment(tmp_path).unlink()
        assert tail.poll().records == []

    @given(data=st.data())
    def test_read_in_any_pieces_every_record_comes_once(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder = tmp_path_factory.mktemp("run")
        junk = st.binary(max_size=30).map(lambda junk: junk.replace(b"\n", b"") + b"\n")
        lines = [line(step, note="é" * (step % 7)) for step in range(12)]
        content = b"".join(data.draw(junk | st.just(b"")) + whole for whole in lines)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
        tail, found = Tail(folder), []
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            append(segment(folder), content[start:end])
            found += tail.poll().records
        assert [step for step in steps(found) if step is not None] == list(range(12))


class TestHistory:
    def test_a_resumed_run_supersedes_what_it_does_again(self, tmp_path: Path) -> None:
        first = [line(0, "run_start")] + [line(step) for step in range(1, 6)] + [line(4, "eval"), line(5, "run_end")]
        append(segment(tmp_path), b"".join(first))
        append(segment(tmp_path, 2), line(3, "run_start", resumed_from_step=3) + line(4, loss=9.0))
        found = read(tmp_path)
        assert [(record.kind, record.step) for record in found] == [
            ("run_start", 0),
            ("step", 1),
            ("step", 2),
            ("step", 3),
            ("run_end", 5),
            ("run_start", 3),
            ("step", 4),
        ]
        assert found[-1].fields["loss"] == 9.0

    def test_a_run_begun_anew_supersedes_all_training(self, tmp_path: Path) -> None:
        append(segment(tmp_path), line(0, "run_start") + line(1) + line(2))
        append(segment(tmp_path, 2), line(0, "run_start", resumed_from_step=None) + line(1))
        assert [(record.kind, record.step) for record in read(tmp_path)] == [
            ("run_start", 0),
            ("run_start", 0),
            ("step", 1),
        ]

    def test_it_counts_what_it_dropped(self) -> None:
        history = History()
        history.add([Record("step", 1), Record("step", 2), Record("run_start", None, {"resumed_from_step": 1})])
        assert history.superseded == 1

    @given(
        story=st.lists(st.none() | st.integers(0, 6), max_size=5),
        block=st.integers(1, 300),
        end=st.sampled_from([b"", b"torn", b"\n", b"junk\n"]),
    )
    def test_backwards_is_forwards_reversed(
        self, tmp_path_factory: pytest.TempPathFactory, story: list[int | None], block: int, end: bytes
    ) -> None:
        folder = tmp_path_factory.mktemp("run")
        for number, resumed_from in enumerate(story, start=1):
            begun = line(0, "run_start", resumed_from_step=resumed_from)
            content = begun + b"".join(line((resumed_from or 0) + step) for step in range(1, 5)) + line(9, "log")
            append(segment(folder, number), content + end)
        assert list(read_backwards(folder, block)) == list(reversed(read(folder)))

    def test_backwards_passes_over_a_line_without_end(self, tmp_path: Path) -> None:
        append(segment(tmp_path), line(1) + b"x" * (2 * LONGEST_LINE) + b"\n" + line(2) + b"y" * (2 * LONGEST_LINE))
        assert steps(list(read_backwards(tmp_path))) == [2, 1]


def test_an_unreadable_file_becomes_a_notice(tmp_path: Path) -> None:
    segment(tmp_path).mkdir()
    append(segment(tmp_path, 2), line(1))
    poll = Tail(tmp_path).poll()
    assert steps(poll.records) == [1]
    assert "cannot be read" in poll.notices[0]
    with contextlib.suppress(StopIteration):
        next(read_backwards(tmp_path))
