"""The settings of two runs compared, as they stand in their settings.toml."""

from collections.abc import Mapping

from think.core.settings_file import Setting
from think.tui.view import Difference

ABSENT = "(absent)"


def differences(left: tuple[Setting, ...], right: tuple[Setting, ...]) -> tuple[Difference, ...]:
    """Settings in which two runs differ, in the order of the first."""
    one, other = ({setting.key: setting for setting in side} for side in (left, right))
    return tuple(
        Difference(key, *(_said(side, key) for side in (one, other)), *(_origin(side, key) for side in (one, other)))
        for key in dict.fromkeys([*one, *other])
        if _said(one, key) != _said(other, key)
    )


def _said(settings: Mapping[str, Setting], key: str) -> str:
    return settings[key].value if key in settings else ABSENT


def _origin(settings: Mapping[str, Setting], key: str) -> str:
    return settings[key].origin if key in settings else ""
