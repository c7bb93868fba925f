"""What keys do. Every action has an id; its keys can be changed in ~/.config/think/keys.toml:

    pause = "p"
    "run.scale" = ["y", "L"]
    quit = []                # no key at all; `?` and the palette still run it

An unknown id, an unknown key, and one key for two actions of a screen are errors that say where.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from think.core.errors import BadSettings

FILE = "keys.toml"


@dataclass(frozen=True)
class Action:
    """Something that a key, the help or the palette runs.

    id      what a keys file calls it, such as "pause" or "runs.order"
    keys    as Textual names them; the first one is shown
    title   what it does, as a command
    weight  its place in the foot line, the lightest first; None keeps it out of there
    label   a word or two for the foot line
    """

    id: str
    keys: tuple[str, ...]
    title: str
    weight: int | None = None
    label: str = ""


COMMON = (
    Action("help", ("question_mark", "f1"), "Find a key or a command, and run it", 0, "help"),
    Action("open", ("enter",), "Open what is chosen", 10, "open"),
    Action("back", ("escape", "backspace"), "Go back: close what is open, clear the filter", 11, "back"),
    Action("filter", ("slash",), "Filter by a text or a regular expression", 20, "filter"),
    Action("pause", ("space",), "Hold the display; records keep being read", 30, "pause"),
    Action("follow", ("f",), "Stay at the newest", 40, "follow"),
    Action("screen.next", ("tab",), "Next screen", 90, "screen"),
    Action("screen.previous", ("shift+tab",), "Screen before"),
    Action("palette", ("ctrl+p",), "Command palette", 95, "palette"),
    Action("quit", ("q", "ctrl+c", "ctrl+q"), "Leave the monitor; training goes on", 1, "quit"),
    Action("down", ("j", "down"), "Down"),
    Action("up", ("k", "up"), "Up"),
    Action("left", ("h", "left"), "Left"),
    Action("right", ("l", "right"), "Right"),
    Action("top", ("g", "home"), "To the top"),
    Action("bottom", ("G", "end"), "To the bottom"),
    Action("page.down", ("ctrl+d", "pagedown"), "A page down"),
    Action("page.up", ("ctrl+u", "pageup"), "A page up"),
    Action("theme", ("t",), "Dark or light colours"),
)

REPLAY = (
    Action("replay.slower", ("left_square_bracket",), "Play at half the speed", 31, "slower"),
    Action("replay.faster", ("right_square_bracket",), "Play at twice the speed", 32, "faster"),
    Action("replay.back", ("comma", "less_than_sign"), "Go back a twentieth of the run", 33, "back"),
    Action("replay.forward", ("full_stop", "greater_than_sign"), "Go on a twentieth of the run", 34, "on"),
)

_SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "enter": "⏎",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
}


def shown(key: str) -> str:
    """A key as people write it: ^p, ?, esc."""
    *modifiers, name = key.split("+") if key != "+" else [key]
    name = _SHOWN.get(name, name)
    return "".join("^" if modifier == "ctrl" else f"{modifier}+" for modifier in modifiers) + name


def resolved(
    actions: Sequence[Action], file: Path | None, screens: Mapping[str, frozenset[str]] = MappingProxyType({})
) -> tuple[Action, ...]:
    """The actions with the user's keys. Raises BadSettings that names the file and the id.

    screens: action id -> the screens on which it works, for those that do not work on all
    """
    chosen = {} if file is None else _read(file)
    known = {action.id: action for action in actions}
    for identifier, wanted in chosen.items():
        if identifier not in known:
            nearest = difflib.get_close_matches(identifier, known, n=1)
            raise BadSettings(
                f"there is no action {identifier!r}",
                where=str(file),
                expected=f"one of {', '.join(sorted(known))}",
                remedy=f"did you mean {nearest[0]!r}?" if nearest else "`?` in the monitor lists the ids",
            )
        known[identifier] = _with_keys(known[identifier], wanted, f"{file}: {identifier}")
    found = tuple(known.values())
    if chosen:
        _refuse_clashes(found, set(chosen), screens, str(file))
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(str(error), where=str(file), expected='a TOML file with lines such as pause = "p"') from None
    except OSError as error:
        raise BadSettings(f"cannot be read: {error.strerror}", where=str(file), expected="a TOML file") from None
    return dict(_flat(held))


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """`run.scale = "y"` is a table inside a table for TOML."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _with_keys(action: Action, wanted: Any, where: str) -> Action:
    listed = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(listed, list) or not all(isinstance(key, str) for key in listed):
        raise BadSettings(f"{wanted!r} is no key", where=where, expected='"p", or several as ["p", "ctrl+x"]')
    return Action(action.id, tuple(_key(key, where) for key in listed), action.title, action.weight, action.label)


def _key(text: str, where: str) -> str:
    """Textual's name of a key written as itself ("?"), by name ("space") or with modifiers ("ctrl+x")."""
    from textual.keys import Keys, _character_to_key

    *modifiers, name = text.split("+") if len(text) > 1 else [text]
    named = {key.value for key in Keys if "+" not in key.value} | set(_SHOWN)
    by_sign = {sign: key for key, sign in _SHOWN.items() if len(sign) > 1}
    if len(name) == 1 and name.isprintable():
        name = "space" if name == " " else _character_to_key(name)
    elif name in by_sign:
        name = by_sign[name]
    elif name not in named:
        nearest = difflib.get_close_matches(name, named, n=1)
        raise BadSettings(
            f"there is no key {text!r}",
            where=where,
            expected='a character ("p", "?"), a name ("space", "f2"), or one of them after "ctrl+", "shift+" or "alt+"',
            remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
        )
    if any(modifier not in ("ctrl", "shift", "alt") for modifier in modifiers):
        raise BadSettings(f"there is no key {text!r}", where=where, expected='"ctrl+", "shift+" or "alt+" before a key')
    return "+".join([*modifiers, name])


def _refuse_clashes(
    actions: Sequence[Action], changed: set[str], screens: Mapping[str, frozenset[str]], where: str
) -> None:
    """A key may mean two things only on different screens."""
    held: dict[str, list[Action]] = {}
    for action in actions:
        for key in action.keys:
            for other in held.get(key, []):
                apart = action.id in screens and other.id in screens and not screens[action.id] & screens[other.id]
                if not apart and {action.id, other.id} & changed:
                    raise BadSettings(
                        f"{shown(key)!r} would run both {other.id!r} and {action.id!r}",
                        where=where,
                        expected="one action a key",
                        remedy=f"give {(other if action.id in changed else action).id!r} another key too",
                    )
            held.setdefault(key, []).append(action)
