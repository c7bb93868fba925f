"""Whether a preset says how a stage is trained."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from think.core.settings import RunSettings


def require(stage: str, preset: str, settings: "RunSettings") -> None:
    """Raises BadSettings, naming the presets that do, when these settings have no section for the stage."""
    from think.core.errors import BadSettings

    if settings.stage(stage) is not None:
        return
    known = with_section(stage)
    raise BadSettings(
        f"this preset has no [{stage}]",
        where=preset,
        expected=f"a preset that says how {stage} is trained",
        remedy=(f"take {' or '.join(known)}, or " if known else "")
        + f"add a section [{stage}]: think preset explain {stage}.steps",
    )


def with_section(stage: str) -> list[str]:
    """Shipped presets that have a section for the stage, sorted."""
    from think.presets import catalog

    return [name for name in catalog.names() if any(stage in link.sections for link in catalog.chain(name))]
