"""The settings of any task as one choice, tagged by `kind`: the folder is the registry."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field, ValidationError

from think.core import plugins
from think.core.data.puzzles import FAMILY, Task
from think.core.errors import BadSettings
from think.presets.base import Settings

if TYPE_CHECKING:
    TaskChoice = Settings
else:
    _CLASSES = tuple(plugins.load(FAMILY, name).Settings for name in plugins.names(FAMILY))
    TaskChoice = Annotated[Union[_CLASSES], Field(discriminator="kind")]  # noqa: UP007 - built from a tuple


def name_of(settings: Any) -> str:
    """The name of the task whose settings these are."""
    return str(settings.kind)


def task_of(settings: Any) -> Task:
    """The task whose settings these are."""
    task: Task = plugins.load(FAMILY, name_of(settings))
    return task


def settings_for(name: str, values: Mapping[str, object]) -> Any:
    """The settings of a task with some of them given. Raises BadSettings that names the key and what it may be."""
    task: Task = plugins.load(FAMILY, name)
    known = [key for key in task.Settings.model_fields if key != "kind"]
    try:
        return task.Settings.model_validate_json(json.dumps(dict(values)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        wants = {"missing": "it needs to be given", "extra_forbidden": "there is no such setting"}
        raise BadSettings(
            f"{name}{'.' if key else ''}{key}: {wants.get(first['type'], first['msg'])}",
            where="--set",
            expected=f"settings of {name}: {', '.join(known)}" if known else f"no settings: {name} has none",
            remedy="such as --set path=FOLDER" if first["type"] == "missing" else None,
        ) from error
