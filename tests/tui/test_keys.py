"""Keys: every action reachable, none twice, the user's file obeyed or refused with its place."""

from pathlib import Path

import pytest

from tests.tui import scene
from tests.tui.pilot import Driver, drive
from think.core.errors import BadSettings
from think.tui import screens
from think.tui.desk import every_action, screens_of
from think.tui.keys import resolved, shown
from think.tui.screens._help import search

SPECS = screens.specs()
ACTIONS = every_action(SPECS)


def keys_file(folder: Path, text: str) -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    return path


def user_keys(folder: Path, text: str) -> dict[str, tuple[str, ...]]:
    found = resolved(ACTIONS, keys_file(folder, text), screens_of(SPECS))
    return {action.id: action.keys for action in found}


@pytest.mark.parametrize("screen", SPECS)
def test_on_every_screen_a_key_means_one_thing(screen):
    apart = screens_of(SPECS)
    held: dict[str, str] = {}
    for action in ACTIONS:
        if action.id not in apart or screen in apart[action.id]:
            for key in action.keys:
                assert key not in held, f"{key} runs {held[key]} and {action.id}"
                held[key] = action.id


def test_every_id_stands_once_and_every_title_says_something():
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))
    assert all(action.title and (action.weight is None or action.label) for action in ACTIONS)


def test_no_file_changes_nothing(tmp_path):
    assert resolved(ACTIONS, tmp_path / "none.toml", screens_of(SPECS)) == ACTIONS


def test_keys_are_written_as_people_write_them(tmp_path):
    text = 'pause = "p"\nrun.previous = []\n"curves.scale" = ["ctrl+x", "L", "f2"]\nhelp = "?"\nfollow = "space"\n'
    keys = user_keys(tmp_path, text)
    assert keys["pause"] == ("p",)
    assert keys["run.previous"] == ()
    assert keys["curves.scale"] == ("ctrl+x", "L", "f2")
    assert keys["help"] == ("question_mark",)
    assert keys["follow"] == ("space",)
    assert keys["quit"] == {action.id: action.keys for action in ACTIONS}["quit"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('pausse = "p"', "did you mean 'pause'"),
        ('pause = "spcae"', "did you mean 'space'"),
        ('pause = "hyper+x"', "there is no key 'hyper+x'"),
        ("pause = 3", "is no key"),
        ("pause = [3]", "is no key"),
        ('pause = "q"', "would run both"),
        ('curves.scale = "n"', "would run both"),
        ("pause = ", "keys.toml"),
        ('pause = ""', "there is no key"),
        ('pause = "ctrl+"', "there is no key"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(tmp_path, text, word):
    with pytest.raises(BadSettings) as caught:
        user_keys(tmp_path, text)
    assert word in str(caught.value)
    assert "keys.toml" in str(caught.value)


def test_a_key_may_mean_two_things_on_two_screens(tmp_path):
    keys = user_keys(tmp_path, 'runs.order = "y"\n')
    assert keys["runs.order"] == keys["curves.scale"] == ("y",)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "keys.toml").mkdir()
    with pytest.raises(BadSettings, match="cannot be read"):
        resolved(ACTIONS, tmp_path / "keys.toml", screens_of(SPECS))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ctrl+p", "^p"),
        ("question_mark", "?"),
        ("escape", "esc"),
        ("enter", "⏎"),
        ("G", "G"),
        ("shift+tab", "shift+tab"),
    ],
)
def test_keys_are_shown_as_people_know_them(key, text):
    assert shown(key) == text


def test_a_remapped_key_works_and_the_old_one_does_not(tmp_path):
    async def script(driver: Driver) -> None:
        await driver.press("space")
        assert not driver.desk.paused
        await driver.press("z")
        assert driver.desk.paused
        assert " z go on" in driver.frame

    drive(script, keys=keys_file(tmp_path, 'pause = "z"'))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("gates", "screen.gates"),
        ("pause", "pause"),
        ("^p", "palette"),
        ("q", "quit"),
        ("log", "screen.log"),
        ("y", "curves.scale"),
    ],
)
def test_the_search_puts_the_nearest_first(text, first):
    assert search(ACTIONS, text)[0].id == first


def test_the_search_without_words_lists_everything_in_order():
    assert search(ACTIONS, "  ") == list(ACTIONS)
    assert search(ACTIONS, "xyzzy") == []


def test_every_action_can_be_performed_on_every_screen():
    async def script(driver: Driver) -> None:
        for name in driver.desk.listed():
            for action in driver.app.actions:
                if action.id in ("quit", "help", "palette", "filter"):
                    continue
                driver.desk.go(name)
                driver.app.perform(action.id)
        assert driver.app.is_running

    drive(script, feed=scene.FakeFeed(scene.compared()))


def test_the_document_names_every_action_and_its_keys():
    text = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text(encoding="utf-8")
    for action in ACTIONS:
        if not action.id.startswith("screen.") or action.id in ("screen.next", "screen.previous"):
            assert f"`{action.id}`" in text, action.id
            for key in action.keys[:1]:
                assert f"`{shown(key)}`" in text, action.id
    for spec in SPECS.values():
        assert f"| `{spec.key}` | {spec.title} |" in text
