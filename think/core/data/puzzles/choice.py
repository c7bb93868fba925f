"""The settings of any task as one choice, tagged by `kind`: the folder is the registry."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from think.core import plugins
from think.core.data.puzzles import FAMILY, Task
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


def standard(name: str) -> Any:
    """A task's settings without any change. Raises ValidationError where the task needs to be told a path."""
    return plugins.load(FAMILY, name).Settings()
