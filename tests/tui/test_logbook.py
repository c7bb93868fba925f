"""Pages of records: any filter, any place, as the files grow; checked against a plain search of all lines."""

from pathlib import Path

import pytest

from tests.tui.writing import Hands, begin, settle, take_steps
from think.core.telemetry import stretches
from think.core.telemetry.index import Index
from think.core.telemetry.writer import segments
from think.tui import logbook as module
from think.tui.feed import Feed
from think.tui.logbook import Filter, Logbook
from think.tui.view import LogPage, LogQuery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clock = Hands()
    writer = begin(tmp_path / "a", clock, largest_segment=20_000)
    for step in range(1, 401):
        take_steps(writer, clock, step, step)
        if step % 40 == 0:
            writer.write("eval", step, loss=1.0)
            writer.write("log", step, level="warning", message=f"Halt at \x1b {step}")
    return tmp_path / "a"


def page(book: Logbook, text: str = "", newest: int = 0, lines: int = 10) -> LogPage:
    book.ask(LogQuery(text, newest, lines))
    book.look(lambda: False)
    return book.page()


def opened(folder: Path) -> Logbook:
    index = Index(folder)
    index.open()
    return Logbook(index)


def all_lines(folder: Path) -> list[str]:
    return [line for path in segments(folder) for line in path.read_text().split("\n") if line]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("kind:eval", 10),
        ("kind:log", 10),
        ("HALT", 10),
        ("kind:log 400", 1),
        ("kind:log !400", 9),
        ("kind:eval kind:log", 20),
        ("no such word", 0),
        ("", 421),
    ],
)
@pytest.mark.parametrize("block", [600, 256 * 1024])
def test_filters(folder: Path, text: str, count: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = stretches.backwards
    monkeypatch.setattr(module, "backwards", lambda path, stop: real(path, stop, block=block))
    found = page(opened(folder), text, lines=500)
    assert len(found.lines) == count
    assert found.total == count
    assert found.complete


@pytest.mark.parametrize("newest", [0, 1, 9, 57, 300, 415])
def test_a_page_anywhere(folder: Path, newest: int) -> None:
    everything = all_lines(folder)
    found = page(opened(folder), newest=newest, lines=10)
    end = len(everything) - newest
    assert [line.raw for line in found.lines] == everything[max(end - 10, 0) : end]
    assert found.newest == newest


def test_a_place_beyond_the_oldest_line_gives_the_oldest(folder: Path) -> None:
    found = page(opened(folder), newest=100_000, lines=10)
    assert found.lines[0].kind == "run_start"
    assert found.newest == 420


def test_new_lines_come_at_the_end_and_old_ones_are_not_looked_for_again(tmp_path: Path) -> None:
    clock = Hands()
    writer = begin(tmp_path / "a", clock, largest_segment=3000)
    take_steps(writer, clock, 1, 50)
    book = opened(tmp_path / "a")
    assert page(book, "kind:step").total == 50
    for step in range(51, 81):
        take_steps(writer, clock, step, step)
        book.index.follow(lambda: False)
        found = page(book, "kind:step")
        assert [line.step for line in found.lines] == list(range(step - 9, step + 1))
        assert found.total == step


def test_lines_are_harmless_and_say_what_they_are(folder: Path) -> None:
    (line,) = page(opened(folder), "kind:log", lines=1).lines
    assert (line.kind, line.level, line.step, line.text) == ("log", "warning", 400, "Halt at \\x1b 400")
    assert "\x1b" not in line.raw
    (step,) = page(opened(folder), "kind:step", lines=1).lines
    assert "loss 2.5" in step.text


def test_garbage_has_a_line_too(tmp_path: Path) -> None:
    (tmp_path / "telemetry-0001.jsonl").write_bytes(b"\xff\x1b[2J garbage\n" + b"y" * 5000 + b"\n")
    lines = page(opened(tmp_path)).lines
    assert [line.kind for line in lines] == ["?", "?"]
    assert "\x1b" not in lines[0].raw
    assert len(lines[1].raw) <= 4096


def test_a_filter_is_looked_for_all_over_and_no_filter_only_for_the_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, read = stretches.backwards, []

    def counted(path: Path, stop: int) -> stretches.Stretch:
        read.append(stop)
        return real(path, stop, block=2000)

    monkeypatch.setattr(module, "backwards", counted)
    page(opened(folder), lines=5)
    assert len(read) <= 2
    page(opened(folder), "kind:run_start", lines=5)
    assert len(read) > 20


def test_a_cut_file_is_looked_through_again(tmp_path: Path) -> None:
    clock = Hands()
    take_steps(begin(tmp_path, clock), clock, 1, 50)
    book = opened(tmp_path)
    assert page(book, "kind:step").total == 50
    path = tmp_path / "telemetry-0001.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:21]) + b"\n")
    book.index.follow(lambda: False)
    assert page(book, "kind:step").total == 20


def test_words() -> None:
    assert Filter.of("").all
    assert Filter.of("a !b kind:eval").matching(b'x a "kind":"eval"\na b "kind":"eval"\na\n') == [b'x a "kind":"eval"']


def test_the_feed_shows_the_page_that_was_asked_for(folder: Path) -> None:
    feed = Feed(folder, clock=Hands(), is_alive=lambda who: True, extras={})
    feed.filter(LogQuery("kind:eval", newest=2, lines=3))
    log = settle(feed).log
    assert [line.step for line in log.lines] == [240, 280, 320]
    assert (log.total, log.complete) == (10, True)
