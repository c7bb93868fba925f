"""The settings of a run, from everything that the user said: preset, environment, --set, options."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from think.cli import environment
from think.cli.console import console

if TYPE_CHECKING:
    from think.core.settings import RunSettings
    from think.presets.decode import Resolved


def load(
    preset: str | None, changes: Sequence[str] | None = None, flags: Mapping[str, object] | None = None
) -> "Resolved[RunSettings]":
    """Resolve a preset with what changes it; `flags` are option values by dotted key, None where not given.

    Raises SettingsError with all mistakes.
    """
    from think.core.settings import RunSettings
    from think.presets.decode import decode
    from think.presets.sources import read

    return decode(read(preset, changes or (), os.environ, flags, environment.NAMES), RunSettings)


def announce(resolved: "Resolved[RunSettings]") -> None:
    """Say what overrides the preset, and what a changed kind dropped."""
    from think.presets.literals import dotted, literal

    for key, value in resolved.overrides.items():
        beneath = resolved.history[key][1:2]
        over = f", over {literal(beneath[0].raw)} ({beneath[0].origin})" if beneath else ""
        console.note(f"{key} = {literal(value.raw)} ({value.origin}{over})")
    for gone in resolved.dropped:
        console.note(
            f"{dotted(gone.path)} = {literal(gone.value.raw)} ({gone.value.origin}) does not count: "
            f'kind "{gone.kind}" became "{gone.changed_to}" ({gone.changed_by})'
        )
