"""Gates, one a file. `SPEC = Gate(...)` is all that a file must export.

A gate says what it needs, which earlier gate must stand, what in a model's identity its verdict hangs on, and brings
examples that show each word it can say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from think.core.gates.evidence import Evidence
from think.core.gates.verdict import Status, Verdict
from think.presets.base import Settings

FAMILY = "think.core.gates.checks"


@dataclass(frozen=True)
class Example:
    """Evidence, the thresholds it meets, and the word that must come out."""

    name: str
    evidence: Evidence
    expected: Status
    settings: Settings


@dataclass(frozen=True)
class Turn:
    """One setting's fixture: on this evidence the mild value gives a better word than the strict one."""

    evidence: Evidence
    mild: Any
    strict: Any


@dataclass(frozen=True)
class Gate:
    """One gate.

    judge       pure: (settings, evidence of the kind `needs`) -> Verdict
    after       the gate that must stand before this one is judged, None for the first
    hangs_on    digests that must be equal for a stored verdict to count for what is asked about now
    needs_run   whether evidence comes from a finished run; otherwise a preset is enough
    turns       setting -> fixture on which it decides, dots for nested settings
    """

    Settings: type[Settings]
    needs: type[Evidence]
    judge: Callable[[Any, Any], Verdict]
    after: str | None
    hangs_on: tuple[str, ...]
    needs_run: bool
    examples: tuple[Example, ...]
    turns: Mapping[str, Turn] = field(default_factory=dict)


def file_name(gate: str) -> str:
    """Gate `g3.6` stands in the file `g3_6`."""
    return gate.replace(".", "_")


def gate_name(file: str) -> str:
    """File `g3_6` holds the gate `g3.6`."""
    return file.replace("_", ".")
