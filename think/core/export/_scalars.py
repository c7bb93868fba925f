"""The numbers of a record under flat names, as loggers of scalars want them."""

from collections.abc import Iterator, Mapping
from typing import Any

from think.core.telemetry.records import LIFECYCLE, Record

_PLACE = ("layer", "branch", "split", "gate", "rule")
"Fields that say where a figure belongs, not how large it is."


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """Name and number of each figure of a record with a step, such as ("state_health/layer0.rwkv/norm", 0.8)."""
    if record.step is None or record.kind in LIFECYCLE:
        return
    place = ".".join(_label(name, record.fields[name]) for name in _PLACE if name in record.fields)
    prefix = f"{record.kind}/{place}/" if place else f"{record.kind}/"
    for name, value in record.fields.items():
        if name in _PLACE:
            continue
        if isinstance(value, Mapping):
            inside = Record(record.kind, record.step, dict(value))
            yield from (
                (f"{prefix}{name}.{key}", number) for key in value if (number := inside.number(key)) is not None
            )
        elif (number := record.number(name)) is not None:
            yield f"{prefix}{name}", number


def _label(name: str, value: Any) -> str:
    return f"layer{value}" if name == "layer" else str(value)
