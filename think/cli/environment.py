"""What belongs to the user and the machine, not to a run: folders, device, threads, colour, name; it changes no result.

    THINK_RUNS  THINK_DEVICE  THINK_THREADS  THINK_COLOR  THINK_OWNER        variables, which win over
    ./think.toml                                                the project's file, which wins over
    ~/.config/think/config.toml                                 the user's file (XDG_CONFIG_HOME is honoured)

The files have the keys `runs`, `device`, `threads`, `color` and `owner`; an unknown key is an error. `owner` is who
works on tasks (`think handoff`), so the project's file, which everybody shares, must not say it. Every other THINK_
name is a setting of a run (`THINK_STAGE1__STEPS`), read by `presets.sources`, which refuses the names it does not know.
pydantic is imported when the values are asked for, not before: `think --help` reads this module.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from think.core.errors import BadSettings

if TYPE_CHECKING:
    from think.core.device import RuntimeSettings

PREFIX = "THINK_"
KEYS = {
    "runs": "folder that holds the runs",
    "device": "device that `auto` becomes: cpu, cuda, cuda:N or mps",
    "threads": "processor threads that `auto` becomes",
    "color": "auto, always or never",
    "owner": "name under which you work on tasks",
}
NAMES = frozenset(PREFIX + key.upper() for key in KEYS)
"The THINK_ variables that are no settings of a run; `presets.sources.read` is told of them."

COLOURS = ("auto", "always", "never")


def files(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The files that may exist, the winning one first."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return [Path("think.toml"), Path(home) / "think" / "config.toml"]


def colour(environment: Mapping[str, str] = os.environ) -> str:
    """auto, always or never, from the variable or a file; costs two looks at the disk when there is no file."""
    choice, origin = _first_said("color", environment)
    if choice not in (None, "", *COLOURS):
        raise BadSettings(f"color = {choice!r}", where=origin, expected=f"one of {', '.join(COLOURS)}")
    return choice or "auto"


def owner(environment: Mapping[str, str] = os.environ) -> str | None:
    """Who works on tasks here: THINK_OWNER, else the user's file; None when nobody said."""
    user_file = files(environment)[-1]
    chosen = environment.get("THINK_OWNER") or (_content(user_file).get("owner") if user_file.is_file() else None)
    if chosen is not None and not isinstance(chosen, str):
        raise BadSettings(f"owner = {chosen!r}", where=str(user_file), expected=KEYS["owner"])
    return chosen


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's own records lie that are no settings; XDG_STATE_HOME is honoured."""
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "think"


def read() -> Any:
    """An object with `.runs` (Path), `.device` (str or None), `.threads` (int or None) and `.color`.

    Raises BadSettings that names the file or variable of a wrong value.
    """
    from pydantic import ValidationError

    present = [path for path in files() if path.is_file()]
    contents = {str(path): _content(path) for path in present}
    try:
        return _settings_class(present)()
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        variable = PREFIX + key.upper()
        origins = [variable] if variable in os.environ else [name for name, held in contents.items() if key in held]
        raise BadSettings(
            f"{key} = {first['input']!r}", where=next(iter(origins), None), expected=f"{KEYS[key]} ({first['msg']})"
        ) from None


def runs_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where runs live: THINK_RUNS, else the files, else ./runs. Looks at this value alone, without pydantic."""
    chosen, origin = _first_said("runs", environment)
    if not isinstance(chosen, str | None):
        raise BadSettings(f"runs = {chosen!r}", where=origin, expected=f"{KEYS['runs']} (a text)")
    return Path(chosen or "runs").expanduser()


def prefer(runtime: "RuntimeSettings") -> "RuntimeSettings":
    """The runtime settings with the user's device and threads where they say auto."""
    user = read()
    wanted = {"device": user.device, "threads": user.threads}
    taken = {key: value for key, value in wanted.items() if value is not None and getattr(runtime, key) == "auto"}
    return runtime.model_copy(update=taken)


def _first_said(key: str, environment: Mapping[str, str]) -> tuple[Any, str]:
    """The value of the variable, else of the first file that has one, and where it stands; None when nobody said."""
    variable = PREFIX + key.upper()
    if value := environment.get(variable):
        return value, variable
    for path in files(environment):
        if path.is_file() and (held := _content(path).get(key)) is not None:
            return held, str(path)
    return None, variable


def _content(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(str(error), where=str(path), expected="a TOML file") from None
    for key in held:
        if key not in KEYS:
            nearest = difflib.get_close_matches(key, KEYS, n=1)
            raise BadSettings(
                f"there is no key {key!r} here",
                where=str(path),
                expected=f"one of {', '.join(KEYS)}; settings of a run belong in a preset",
                remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
            )
    if "owner" in held and path == files()[0]:
        raise BadSettings(
            f"owner = {held['owner']!r} in a file that everybody here shares",
            where=str(path),
            expected="one name for each person and each agent",
            remedy="say it in THINK_OWNER, with --owner, or in your own file " + str(files()[-1]),
        )
    return held


def _settings_class(present: list[Path]) -> Any:
    from typing import Literal

    from pydantic import PositiveInt
    from pydantic_settings import (
        BaseSettings,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
        TomlConfigSettingsSource,
    )

    class Environment(BaseSettings):
        """The user's own environment."""

        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, env_parse_none_str="none"
        )

        runs: Path = Path("runs")
        device: str | None = None
        threads: PositiveInt | None = None
        color: Literal["auto", "always", "never"] = "auto"
        owner: str | None = None

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (env_settings, *(TomlConfigSettingsSource(settings_cls, path) for path in present))

    return Environment
