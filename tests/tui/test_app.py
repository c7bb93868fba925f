"""The app as a person meets it: keys, mouse, filter, pause, follow, help, themes, sizes, a broken reader."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.tui import scene
from tests.tui.pilot import Driver, drive
from think.core.errors import Exit
from think.tui import screens, themes
from think.tui.app import Monitor
from think.tui.replay import Replay
from think.tui.screens._fatal import Fatal
from think.tui.screens._help import Help
from think.tui.view import LogQuery, View


@pytest.mark.parametrize(("key", "name"), [(spec.key, name) for name, spec in screens.specs().items()])
def test_every_screen_has_a_key(key, name):
    async def script(driver: Driver) -> None:
        if name in driver.desk.listed():
            await driver.press(key)
            assert driver.desk.current == name
            assert f"[{key} {driver.desk.spec.title}]" in driver.frame

    drive(script, feed=scene.FakeFeed(scene.compared()))


def test_tab_goes_round_the_screens_and_back():
    async def script(driver: Driver) -> None:
        names = list(driver.desk.listed())
        seen = []
        for _ in names:
            seen.append(driver.desk.current)
            await driver.press("tab")
        assert seen == names
        assert driver.desk.current == names[0]
        await driver.press("shift+tab")
        assert driver.desk.current == names[-1]

    drive(script)


def test_letters_and_arrows_choose_and_enter_opens():
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        assert driver.board.cursor == "first"
        await driver.press("j", "down")
        assert driver.board.cursor == "third"
        await driver.press("k")
        assert driver.board.cursor == "second"
        await driver.press("g")
        assert driver.board.cursor == "first"
        await driver.press("G", "up", "enter")
        assert ("select", "second") in feed.asked
        assert driver.desk.current == "run"
        await driver.press("escape")
        assert driver.desk.current == "runs"

    drive(script, feed=feed)


def test_h_and_l_walk_a_grid_of_charts():
    async def script(driver: Driver) -> None:
        await driver.press("2")
        await driver.press("l", "j")
        assert driver.board.cursor == "step.tokens_per_second"
        await driver.press("h")
        assert driver.board.cursor == "step.gradient_norm"
        await driver.press("enter")
        assert driver.desk.place.opened == "step.gradient_norm"
        assert "training loss" not in driver.frame
        await driver.press("escape")
        assert "training loss" in driver.frame

    drive(script, size=(200, 60))


def test_curves_turn_logarithmic_smooth_and_by_time():
    async def script(driver: Driver) -> None:
        await driver.press("2", "enter")
        plain = driver.frame
        for key, option in (("y", "log"), ("s", "smooth"), ("x", "time")):
            await driver.press(key)
            assert driver.desk.options[option] == 1
            assert driver.frame.splitlines()[4:-1] != plain.splitlines()[4:-1], option
            await driver.press(key)
            assert driver.frame.splitlines()[4:-1] == plain.splitlines()[4:-1], option
        await driver.press("x")
        assert "6 m 51 s" in driver.frame

    drive(script)


def test_the_filter_narrows_stays_and_is_cleared():
    async def script(driver: Driver) -> None:
        await driver.press("slash", *"sec")
        await driver.sees("second")
        assert "third" not in driver.frame
        await driver.press("enter")
        assert "filter: sec" in driver.frame
        await driver.press("j")  # the filter does not get it any more
        assert driver.desk.place.filter == "sec"
        await driver.press("escape")
        await driver.sees("third")

    drive(script)


def test_a_filter_may_be_an_expression_and_a_bad_one_is_plain_text():
    async def script(driver: Driver) -> None:
        await driver.press("slash", *"^(f|t)", "enter")
        assert [item.key for item in driver.board.page.items] == ["first", "third"]
        await driver.press("escape", "slash", *"sec(", "enter")
        assert driver.board.page.items == ()
        assert "no run matches 'sec('" in driver.frame

    drive(script)


def test_letters_typed_into_the_filter_run_nothing():
    async def script(driver: Driver) -> None:
        await driver.press("slash", "q", "2", "space", "question_mark", "f")
        assert driver.app.is_running
        assert driver.desk.current == "runs"
        assert driver.desk.place.filter == "q2 ?f"
        assert len(driver.app.screen_stack) == 1
        await driver.press("backspace", "escape")
        assert driver.desk.place.filter == ""

    drive(script)


def test_pause_holds_the_picture_while_views_come_in():
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        await driver.press("space")
        assert "PAUSED" in driver.frame
        feed.give(scene.view(2, runs=(scene.row("newcomer"),)))
        await driver.until(lambda: driver.desk.newest is not None and driver.desk.newest.number == 2, "the second view")
        assert "newcomer" not in driver.frame
        await driver.press("space")
        assert "newcomer" in driver.frame
        assert "PAUSED" not in driver.frame

    drive(script, feed=feed)


def test_follow_takes_the_run_that_started_last_until_a_run_is_chosen():
    late = replace(scene.row("late"), started=scene.NOW)
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        await driver.press("f")
        assert "FOLLOW" in driver.frame
        feed.give(scene.view(2, runs=(*scene.view().runs, late)))
        await driver.until(lambda: ("select", "late") in feed.asked, "the newest run being selected")
        await driver.press("g", "enter")
        assert "FOLLOW" not in driver.frame

    drive(script, feed=feed)


def test_the_log_follows_its_end_until_somebody_moves():
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        await driver.press("6")
        assert "following" in driver.frame
        assert driver.board.cursor == "499"
        feed.give(scene.view(2, log=scene.log(LogQuery(), 520)))
        await driver.until(lambda: driver.board.cursor == "519", "the newest record")
        await driver.press("up")
        assert "following" not in driver.frame
        feed.give(scene.view(3, log=scene.log(LogQuery(), 540)))
        await driver.until(lambda: driver.desk.newest is not None and driver.desk.newest.number == 3, "the third view")
        assert driver.board.cursor == "518"
        await driver.press("f")
        assert driver.board.cursor == "539"

    drive(script, feed=feed)


def test_the_log_asks_for_what_was_typed_and_for_older_records():
    feed = scene.FakeFeed()

    def queries() -> list[LogQuery]:
        return [query for word, query in feed.asked if word == "filter" and isinstance(query, LogQuery)]

    async def script(driver: Driver) -> None:
        await driver.press("6", "slash", *"anomaly", "enter")
        assert queries()[-1].text == "anomaly"
        await driver.press("escape", "g")
        assert queries()[-1].newest > 0

    drive(script, feed=feed)


def test_a_record_opens_with_all_its_fields():
    async def script(driver: Driver) -> None:
        await driver.press("6", "enter")
        assert "Record 499: step" in driver.frame
        assert "loss                 nan" in driver.frame
        await driver.press("escape")
        assert "Log of first" in driver.frame

    drive(script)


def test_the_help_finds_and_runs_what_is_picked():
    async def script(driver: Driver) -> None:
        await driver.press("question_mark")
        await driver.until(lambda: isinstance(driver.app.screen, Help), "the help")
        await driver.sees("Find a key")
        await driver.press(*"verdicts")
        await driver.sees("Gates: verdicts")
        await driver.press("enter")
        await driver.until(lambda: driver.desk.current == "gates", "the gates")
        assert len(driver.app.screen_stack) == 1

    drive(script)


def test_the_help_lists_every_key_of_the_screen_and_its_id():
    async def script(driver: Driver) -> None:
        await driver.press("2", "question_mark")
        await driver.until(lambda: isinstance(driver.app.screen, Help) and "help" in driver.frame, "the help")
        listed = {item.key for item in driver.app.screen.query_one("#found").page.items}
        applicable = {action.id for action in driver.app.actions if driver.desk.applies(action)}
        assert listed == applicable >= {"curves.scale", "pause", "quit", "screen.gates"}
        await driver.press("escape")
        assert len(driver.app.screen_stack) == 1

    drive(script, size=(100, 60))


def test_the_palette_offers_the_same_actions():
    async def script(driver: Driver) -> None:
        await driver.press("ctrl+p")
        await driver.until(lambda: len(driver.app.screen_stack) == 2, "the palette")
        titles = {command.title for command in driver.app.get_system_commands(driver.app.screen)}
        assert {"Hold the display; records keep being read", "Order of the runs"} <= titles
        await driver.press(*"dark or light")
        await driver.until(lambda: "Dark or light" in driver.frame, "the command")
        await driver.press("enter")
        await driver.until(lambda: driver.app.theme == themes.LIGHT.name, "the light theme")

    drive(script)


def test_the_theme_changes_and_every_theme_has_all_roles():
    async def script(driver: Driver) -> None:
        for theme in (themes.DARK.name, themes.LIGHT.name, "nord", "ansi-dark"):
            driver.app.theme = theme
            await driver.pilot.pause()
            styles = {role: driver.board.style_of(role) for role in ("", "good", "bad", "dim", "first", "good|chosen")}
            assert styles["good"].color != styles["bad"].color, theme
            assert "first" in driver.frame
        await driver.press("t")
        assert driver.app.theme in (themes.DARK.name, themes.LIGHT.name)

    drive(script)


@pytest.mark.parametrize("size", [(200, 60), (120, 40), (80, 24), (40, 10), (20, 5), (12, 3)])
def test_any_size_is_drawn_and_never_overflows(size):
    async def script(driver: Driver) -> None:
        for name in driver.desk.listed():
            driver.desk.go(name)
            driver.app.draw()
            await driver.pilot.pause()
            lines = driver.frame.splitlines()
            assert len(lines) == size[1]
            for line in driver.board.shown:
                assert sum(len(text) for text, _ in line) <= size[0], name

    drive(script, feed=scene.FakeFeed(scene.compared()), size=size)


def test_resizing_at_any_time():
    async def script(driver: Driver) -> None:
        await driver.press("2")
        for size in ((40, 10), (200, 60), (13, 4), (80, 24)):
            await driver.pilot.resize_terminal(*size)
            await driver.pilot.pause()
            await driver.until(lambda size=size: driver.board.size.width == size[0], f"size {size}")
        await driver.sees("training loss")

    drive(script)


def test_clicks_choose_open_and_press_the_keys_on_screen():
    async def script(driver: Driver) -> None:
        await driver.pilot.click("#board", offset=(5, 2))
        assert driver.board.cursor == "second"
        await driver.pilot.click("#board", offset=(5, 2))
        await driver.until(lambda: driver.desk.current == "run", "the run being opened")
        head = driver.app.head
        start = next(start for start, _, action in head.targets if action == "screen.gates")
        await driver.pilot.click("#head", offset=(start + 1, 0))
        await driver.until(lambda: driver.desk.current == "gates", "the gates")
        foot = driver.app.foot
        start = next(start for start, _, action in foot.targets if action == "pause")
        await driver.pilot.click("#foot", offset=(start + 1, 0))
        await driver.until(lambda: driver.desk.paused, "the pause")

    drive(script)


def test_the_wheel_scrolls_and_a_page_key_moves_a_screenful():
    async def script(driver: Driver) -> None:
        await driver.press("2")
        driver.board.scroll(6)
        await driver.pilot.pause()
        assert driver.board.scroll_line == 6
        await driver.press("pagedown")
        assert driver.board.scroll_line > 6
        await driver.press("G")
        assert driver.board.hidden[1] == 0
        await driver.press("g")
        assert driver.board.hidden[0] == 0

    drive(script)


def test_a_broken_reader_is_shown_and_nothing_freezes():
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        feed.error = RuntimeError("the disk ate it [bold]")
        await driver.until(lambda: isinstance(driver.app.screen, Fatal), "the fatal screen")
        await driver.sees("the monitor stopped reading")
        await driver.press("G")
        driver.app.screen.query_one("#fatal").scroll(1000)
        await driver.sees("the disk ate it [bold]")
        await driver.press("escape")
        await driver.press("2")
        assert "training loss" in driver.frame
        await driver.until(lambda: feed.closed, "the feed being closed")

    drive(script, feed=feed)


def test_leaving_the_fatal_screen_gives_the_code_of_a_bug():
    feed = scene.FakeFeed()
    codes: list[int | None] = []

    async def script(driver: Driver) -> None:
        feed.error = RuntimeError("broken")
        await driver.until(lambda: isinstance(driver.app.screen, Fatal), "the fatal screen")
        await driver.press("q")
        codes.append(driver.app.return_code)

    drive(script, feed=feed)
    assert codes == [Exit.BUG]


def test_quitting_closes_the_feed():
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        await driver.press("q")
        assert driver.app.return_code == 0

    drive(script, feed=feed)
    assert feed.closed


@pytest.mark.parametrize("key", ["6", "1", "2"])
def test_what_looks_like_markup_is_text(key):
    line = replace(scene.log(LogQuery()).lines[-1], text=scene.HOSTILE)
    hostile = replace(scene.row(), name=scene.HOSTILE, message=scene.HOSTILE)
    view = scene.view(runs=(hostile,), run=scene.run(hostile), log=replace(scene.log(LogQuery()), lines=(line,)))

    async def script(driver: Driver) -> None:
        await driver.press(key)
        await driver.sees("red [bold]not bold[/bold]")

    drive(script, feed=scene.FakeFeed(replace(view, selected=scene.HOSTILE)), size=(160, 24))


def test_nothing_is_painted_when_nothing_changed():
    painted: list[int] = []

    async def script(driver: Driver) -> None:
        await driver.press("2")
        board = driver.board
        inner = board.render_line
        board.render_line = lambda y: (painted.append(y), inner(y))[1]  # type: ignore[method-assign]
        driver.app.draw()
        driver.app.desk.take(scene.view(2))
        driver.app.draw()
        await driver.pilot.pause()

    drive(script)
    assert painted == []


def test_a_new_view_paints_only_the_lines_that_differ():
    painted: set[int] = set()
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        board = driver.board
        inner = board.render_line
        board.render_line = lambda y: (painted.add(y), inner(y))[1]  # type: ignore[method-assign]
        first, *others = scene.view().runs
        feed.give(scene.view(2, runs=(replace(first, step=413), *others)))
        await driver.sees("413")

    drive(script, feed=feed)
    assert painted <= {1, 7}  # the row, and the line of its details


def test_a_replay_plays_pauses_jumps_and_changes_speed():
    now = [0.0]
    feed = scene.FakeFeed()

    def steps() -> list[object]:
        return [step for word, step in feed.asked if word == "replay"]

    async def script(driver: Driver) -> None:
        replay = driver.app.replaying
        assert replay is not None
        await driver.until(lambda: steps() == [1], "the first step")
        now[0] += 1.0
        await driver.until(lambda: len(steps()) > 1, "time passing")
        assert steps()[-1] == 1 + replay.speed
        await driver.press("space")
        now[0] += 100.0
        driver.app._play()
        assert steps()[-1] == 1 + replay.speed
        await driver.press("right_square_bracket", "left_square_bracket", "left_square_bracket")
        assert f"REPLAY {replay.speed:g}x" in driver.frame
        await driver.press("full_stop")
        assert isinstance(steps()[-1], int)
        assert steps()[-1] > 20
        await driver.press("comma")
        assert steps()[-1] == 1 + replay.position

    drive(script, feed=feed, replay=Replay(), clock=lambda: now[0])


def test_without_a_replay_its_keys_do_nothing():
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        await driver.press("full_stop", "right_square_bracket")
        assert not [word for word, _ in feed.asked if word == "replay"]

    drive(script, feed=feed)


def test_an_empty_folder_tells_what_to_do():
    empty = View(1, scene.NOW, "runs")

    async def script(driver: Driver) -> None:
        assert "There is no run in runs yet." in driver.frame
        assert "think train stage1" in driver.frame
        for key in ("2", "3", "6", "enter", "j", "G", "space"):
            await driver.press(key)

    drive(script, feed=scene.FakeFeed(empty))


def test_a_run_that_vanishes_is_told_and_not_fatal():
    feed = scene.FakeFeed()

    async def script(driver: Driver) -> None:
        await driver.press("2")
        gone = scene.row(state="gone")
        feed.give(scene.view(2, runs=(gone,), run=scene.run(gone)))
        await driver.sees("gone")
        feed.give(View(3, scene.NOW, "runs"))
        await driver.sees("There is no run in runs yet.")

    drive(script, feed=feed)


def test_no_torch_and_no_textual_where_they_do_not_belong():
    program = (
        "import sys\n"
        "from think.tui import desk, keys, screens, feed, once\n"
        "screens.specs()\n"
        "assert not {'textual', 'torch', 'datasets'} & set(sys.modules)\n"
        "import think.tui.app\n"
        "assert not {'torch', 'datasets'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_movement_is_off():
    assert Monitor(scene.FakeFeed(), None, ()).animation_level == "none"  # type: ignore[arg-type]
