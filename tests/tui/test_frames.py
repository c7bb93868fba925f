"""Whole frames as plain text, at a frozen time: what a person sees may change only on purpose.

`python -m tests.tui.test_frames` writes them anew; read the difference before committing it.
"""

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.tui import scene
from tests.tui.pilot import Driver, frame, monitor
from think.tui.view import View

FOLDER = Path(__file__).parent / "frames"

SIZES = ((80, 24), (200, 60))
KEYS = {
    "runs": (),
    "run": ("2",),
    "run_opened": ("2", "j", "enter", "y"),
    "gates": ("3",),
    "gate_opened": ("3", "j", "enter"),
    "compare": ("5",),
    "log": ("6",),
    "help": ("question_mark",),
}
"Name of a frame -> the keys that lead to it."

CASES = [(name, size) for name in KEYS for size in SIZES]


def drawn(name: str, size: tuple[int, int], view: View | None = None) -> str:
    async def run() -> str:
        app = monitor(scene.FakeFeed(view or scene.compared()), clock=lambda: 0.0)
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot)
            await driver.until(lambda: app.desk.shown is not None and bool(app.board.shown))
            for key in KEYS[name]:
                await driver.press(key)
            if name == "help":
                await driver.sees("Find a key")
            await pilot.pause()
            return frame(app)

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def path(name: str, size: tuple[int, int]) -> Path:
    return FOLDER / f"{name}_{size[0]}x{size[1]}.txt"


@pytest.mark.parametrize(("name", "size"), CASES, ids=lambda value: str(value))
def test_a_frame_is_as_it_was(name, size):
    wanted = path(name, size).read_text(encoding="utf-8")
    assert drawn(name, size) + "\n" == wanted, f"see {path(name, size).name}; if it is meant, write the frames anew"


@pytest.mark.parametrize("word", ["PASS", "FAIL", "BLOCKED", "not judged"])
def test_verdicts_are_words_and_need_no_colour(word):
    assert word in drawn("gates", (80, 24))


@pytest.mark.parametrize("word", ["running", "finished", "dead"])
def test_states_are_words_and_need_no_colour(word):
    assert word in drawn("runs", (80, 24))


def test_without_colour_the_frame_is_the_same(monkeypatch):
    coloured = drawn("run", (80, 24))
    monkeypatch.setenv("NO_COLOR", "1")
    assert drawn("run", (80, 24)) == coloured


def test_a_curve_of_probes_says_that_it_is_sampled():
    row = scene.row()
    view = scene.view(run=scene.run(row, exact=False))
    shown = drawn("run", (80, 24), view)
    assert "sampled" in shown
    assert "reading 40%" in drawn("run", (200, 60), view)
    assert "sampled" not in drawn("run", (80, 24))


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        path(*case).write_text(drawn(*case) + "\n", encoding="utf-8")
