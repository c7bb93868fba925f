"""Results on stdout, talk on stderr, nothing that can move a cursor, colour by precedence."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.cli.console import Branching, Console, harmless
from think.cli.progress import PlainProgress, duration
from think.core.errors import BadData


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x2FFF)))
def test_harmless_text_has_no_control_characters(text):
    shown = harmless(text)
    assert not any(
        (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 or 0x202A <= ord(c) <= 0x202E for c in shown
    )
    assert harmless(shown) == shown


def test_a_file_name_that_is_no_unicode_can_be_printed(capsys):
    Console({}).out(os.fsdecode(b"caf\xe9.txt"))
    assert capsys.readouterr().out == "caf\\udce9.txt\n"


def test_a_terminal_without_unicode_shows_escapes():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    program = "from think.cli.console import console; console.result('x/1', {'loss': 'δ'}, 'δ ⣿')"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "\\u03b4 \\u28ff\n"
    done = subprocess.run(
        [sys.executable, "-c", program.replace("console.result", "console.begin(json=True); console.result")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["data"] == {"loss": "δ"}


def test_harmless_keeps_ordinary_text():
    assert harmless("Größe 3 µs\n\tδ = 0.5 ✓") == "Größe 3 µs\n\tδ = 0.5 ✓"
    assert harmless("\x1b[2J") == r"\x1b[2J"


@pytest.mark.parametrize(
    ("flag", "environment", "terminal", "coloured"),
    [
        (None, {}, True, True),
        (None, {}, False, False),
        (None, {"TERM": "dumb"}, True, False),
        (None, {"NO_COLOR": "1"}, True, False),
        (None, {"NO_COLOR": ""}, True, True),
        (None, {"FORCE_COLOR": "1"}, False, True),
        (None, {"FORCE_COLOR": "0"}, False, False),
        (None, {"CLICOLOR_FORCE": "1"}, False, True),
        (None, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
    ],
)
def test_colour_precedence(flag, environment, terminal, coloured):
    console = Console(environment)
    console.set_colour(flag=flag)
    assert console.colours(Terminal() if terminal else io.StringIO()) is coloured


def test_the_flag_wins_over_the_user_who_wins_over_no_color():
    console = Console({"NO_COLOR": "1"})
    console.set_colour(user="always")
    assert console.colours(io.StringIO())
    console.set_colour(flag="never")
    assert not console.colours(Terminal())


def test_text_and_json_are_the_same_answer(capsys):
    console = Console({})
    console.result("think.test/1", {"loss": 1.5}, "loss 1.5")
    assert capsys.readouterr().out == "loss 1.5\n"
    console.begin(json=True)
    console.warn("careful")
    console.result("think.test/1", {"loss": float("nan"), "bands": (1, float("inf"))}, "unused")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "schema": "think.test/1",
        "ok": True,
        "data": {"loss": "nan", "bands": [1, "inf"]},
        "warnings": ["careful"],
        "error": None,
    }
    assert "careful" in captured.err


@given(st.text())
def test_any_text_survives_the_envelope_and_none_reaches_the_terminal_raw(text):
    console = Console({})
    console.begin(json=True)
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        console.result("think.test/1", text)
    assert json.loads(screen.getvalue())["data"] == text
    assert harmless(screen.getvalue()) == screen.getvalue()


def test_an_error_after_the_answer_adds_no_second_envelope(capsys):
    console = Console({})
    console.begin(json=True)
    console.result("think.test/1", [])
    console.failed(BadData("broken"))
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert json.loads(captured.out)["data"] == []
    assert "broken" in captured.err


def test_a_table_away_from_a_terminal_is_plain_and_never_cut(capsys):
    Console({}).table(["name", "loss"], [["x" * 300, 1.23456], ["\x1b[31mred", None]])
    lines = capsys.readouterr().out.splitlines()
    assert "x" * 300 in lines[1]
    assert lines[1].endswith("1.235")
    assert lines[2].split() == [r"\x1b[31mred", "-"]


def test_a_table_on_a_terminal_fits_and_shows_markup_as_text(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "50")
    Console({"NO_COLOR": "1"}).table(["name"], [["[bold]word " * 20]], title="runs")
    shown = re.sub("\x1b\\[[0-9;]*m", "", screen.getvalue())
    assert "[bold]" in shown
    assert max(map(len, shown.splitlines())) <= 50


def test_a_tree_is_harmless_and_cut_on_a_terminal_alone(monkeypatch, capsys):
    tree = Branching("root", "", (Branching("\x1b[31m[bold]\nx" + "y" * 300, "bold", (Branching("leaf", ""),)),))
    Console({"NO_COLOR": "1"}).tree(tree)
    shown = ["root", r"└── \x1b[31m[bold] x" + "y" * 300, "    └── leaf"]
    assert capsys.readouterr().out.splitlines() == shown
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "50")
    Console({"NO_COLOR": "1"}).tree(tree)
    lines = re.sub("\x1b\\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert len(lines) == 3
    assert len(lines[1]) == 50
    assert lines[1].endswith("…")


def test_plain_progress_speaks_every_thirty_seconds_and_at_the_end():
    now = [0.0]
    said: list[str] = []
    progress = PlainProgress(100, "packing", said.append, lambda: now[0], every=30.0)
    for _ in range(100):
        now[0] += 1.0
        progress.advance(note="loss 2.1")
    progress.finish()
    assert len(said) == 4
    assert said[0] == "packing: 30% after 30 s, 1 min 10 s left (loss 2.1)"
    assert said[-1] == "packing: done in 1 min 40 s (loss 2.1)"


def test_progress_away_from_a_terminal_writes_no_escape(capsys):
    with Console({}).progress(2, "work") as progress:
        progress.advance(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "work: done in 0 s\n"


def test_progress_on_a_terminal_is_a_bar_with_the_time_left(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Console({}).progress(2, "[work]") as progress:
        progress.advance(1, note="half")
        progress.advance(1)
    assert "[work]" in screen.getvalue()
    assert "100%" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
