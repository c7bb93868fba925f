"""The base of every settings class, and the declaration of one setting.

A settings class stands in the file that reads it. Each leaf is declared with `knob`, which says what the value acts
on; the effect test (`think preset check --effects`) changes the leaf and demands that exactly this channel moves.

    class Schedule(Settings):
        warmup: NonNegativeInt = knob(0, acts_on="schedule")
        "optimizer steps of linear rise"

The string under a field is its documentation, with the unit (see docstrings.py). "Off" is None or absence, never -1.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Channel = Literal["graph", "optimizer", "data", "schedule", "cadence", "evaluation", "judge", "runtime"]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"A share, 0 to 1, ends included."

_REQUIRED: Any = ...


class Settings(BaseModel):
    """Frozen, strict, and deaf to nothing: an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    in_order: ClassVar[tuple[str, ...]] = ()
    "All fields as presets show them, for a class that has its own among those that it inherits."

    @classmethod
    def __pydantic_init_subclass__(cls) -> None:  # type: ignore[override]
        if cls.in_order:
            fields = cls.__pydantic_fields__
            others = [name for name in fields if name not in cls.in_order]
            cls.__pydantic_fields__ = {name: fields[name] for name in (*cls.in_order, *others)}
            cls.model_rebuild(force=True)


def knob(
    default: Any = _REQUIRED, *, acts_on: Channel, may_change_on_resume: bool = False, came_later: bool = False
) -> Any:
    """Declare a leaf: its default (none: required), its channel, and whether a resumed run may change it.

    came_later: the leaf was added when there were runs already. While it has its default it is neither written nor
    hashed, so that their digests hold; the default must therefore never change.
    """
    return Field(
        default=default,
        exclude_if=(lambda value: bool(value == default)) if came_later else None,
        json_schema_extra={"acts_on": acts_on, "may_change_on_resume": may_change_on_resume},
    )
