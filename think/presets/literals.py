"""Single TOML keys and values: reading those of `--set` and the environment, writing those of a rendered preset."""

import json
import re
import tomllib

from think.presets.positions import Path

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'')


def dotted(path: Path) -> str:
    """`stage1.curriculum[2].length`; a key that is not bare is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{bare(part)}" if text else bare(part)
    return text


def bare(key: str) -> str:
    """A key as TOML writes it, quoted only where it must be."""
    return key if _BARE.fullmatch(key) else quoted(key)


def quoted(text: str) -> str:
    """A TOML basic string. JSON escapes the same way, except for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def literal(value: object) -> str:
    """A value as TOML writes it on one line; tables inline. None is the word "none", which switches a setting off."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{bare(str(key))} = {literal(child)}" for key, child in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(literal(child) for child in value)}]"
    return repr(value) if isinstance(value, (int, float)) else str(value)


def parse_key(text: str) -> Path | None:
    """The path of a dotted key as TOML writes it, or None when it is not one."""
    if _CONTROL.search(text) or "=" in _QUOTED.sub("", text):
        return None
    try:
        found: object = tomllib.loads(f"{text} = 0")
    except (ValueError, RecursionError):
        return None
    path: list[str] = []
    while isinstance(found, dict):
        if len(found) != 1:
            return None
        key, found = next(iter(found.items()))
        path.append(key)
    return tuple(path) or None


def parse_change(text: str) -> tuple[Path, str] | None:
    """`key=value` cut at the first `=` outside quotes, or None when it does not say which key to set."""
    match = re.match(r"""(?:"[^"]*"|'[^']*'|[^"'=])*(?==)""", text)
    path = parse_key(match.group().strip()) if match else None
    return (path, text[match.end() + 1 :]) if match and path else None


def parse_value(text: str) -> object:
    """A TOML literal, or else a bare word, which is a string. Raises ValueError for what is neither."""
    text = text.strip()
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError) as error:
        if not text or text[0] in "\"'[{" or _CONTROL.search(text):
            raise ValueError("neither a TOML value nor a bare word") from error
        return text
    if list(found) != ["value"]:
        raise ValueError("more than one value")
    value = found["value"]
    return value if isinstance(value, (bool, int, float, str, list, dict)) else text  # no setting is a date
