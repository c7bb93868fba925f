"""Options by which somebody takes responsibility for a gate, for the commands that ask for gates."""

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from think.core.gates.verdict import Waiver


def gate_names(incomplete: str) -> list[str]:
    from think.core import plugins

    names = [name.replace("_", ".") for name in plugins.names("think.core.gates.checks")]
    return [name for name in [*names, "all"] if name.startswith(incomplete)]


Waive = Annotated[
    list[str] | None,
    typer.Option("--waive", metavar="GATE", autocompletion=gate_names, help="Let this gate through; may be repeated."),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why it is waived; goes with --waive.")]
Owner = Annotated[str | None, typer.Option("--owner", help="Who answers for it; goes with --waive.")]
Until = Annotated[str | None, typer.Option("--until", metavar="YYYY-MM-DD", help="Last day of the waiver, UTC.")]


def waivers_of(
    waive: list[str] | None, reason: str | None, owner: str | None, until: str | None
) -> "dict[str, Waiver]":
    """Waivers from the options; all four belong together. Raises UsageError."""
    from think.core.errors import UsageError
    from think.core.gates import run as engine
    from think.core.gates.verdict import Waiver

    given = {"--reason": reason, "--owner": owner, "--until": until}
    if not waive:
        extra = [name for name, value in given.items() if value is not None]
        if extra:
            raise UsageError(f"{', '.join(extra)} without --waive", expected="--waive GATE beside it")
        return {}
    missing = [name for name, value in given.items() if value is None or not value.strip()]
    last = _day(until)
    if missing or reason is None or owner is None or last is None:
        raise UsageError(
            f"a waiver needs {', '.join(missing)}",
            expected="--waive GATE --reason TEXT --owner NAME --until YYYY-MM-DD",
        )
    return {name: Waiver(name, reason.strip(), owner.strip(), last) for name in engine.chosen(waive)}


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; expected YYYY-MM-DD") from None
