"""The scale ladder before training: a preset that names the rung below waits for the gates of that one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from think.cli.console import console

if TYPE_CHECKING:
    from think.cli.gate_subject import GateSubject
    from think.core.gates.ladder import Unmet
    from think.core.gates.store import Stored
    from think.core.gates.verdict import Waiver
    from think.core.settings import RunSettings
    from think.presets.decode import Resolved


@dataclass
class Rung:
    """Waivers that let a rung be trained, to be stored when it really is."""

    subject: "GateSubject | None" = None
    records: "list[Stored]" = field(default_factory=list)

    def keep(self) -> None:
        """Store the waivers, so that they are seen and end on their day. Raises InputOutput."""
        from think.core.gates import run as engine

        for record in self.records:
            assert self.subject is not None
            self.subject.keep(engine.load(record.gate), record)
            console.warn(f"{record.gate} of the rung below is waived: {record.verdict.line()}")


def look(resolved: "Resolved[RunSettings]", waivers: "Mapping[str, Waiver]", *, dry_run: bool, going_on: bool) -> Rung:
    """Whether these settings may be trained; what is no rung, or was begun already (`going_on`), always may.

    Raises GateFailed or NoVerdict when a gate of the rung below does not stand and is not waived; a dry run, which
    trains nothing, only says so.
    """
    from think.core.errors import GateFailed, NoVerdict, UsageError
    from think.core.gates import ladder
    from think.core.gates import run as engine
    from think.core.gates.verdict import Status

    below = None if resolved.header is None or going_on else resolved.header.after
    if below is None:
        if waivers and going_on:
            raise UsageError("--waive counts when a run is begun, and this one was", remedy="leave --waive out")
        if waivers:
            raise UsageError(
                "--waive lets a rung of the scale ladder through, and this preset is none",
                expected="a preset whose header says after = PRESET",
                remedy="leave --waive out",
            )
        return Rung()
    from think.cli.gate_subject import find

    now = datetime.now(UTC)
    engine.check_waivers(waivers, engine.gates(), now.date())
    subject = find(engine.gates(), None, below, None, None)
    stored = subject.stored()
    missing = ladder.unmet(subject.question, stored, now.date())
    refused = [each for each in missing if each.gate not in waivers]
    if refused:
        kind = GateFailed if any(each.status is Status.FAIL for each in refused) else NoVerdict
        name = resolved.header.name if resolved.header is not None else ""
        error = kind(
            f"{name} is the rung above {below}, and {len(refused)} of its gates do not stand: {_told(refused)}",
            expected=f"{', '.join(engine.gates())} PASS, WARN or WAIVED for {below}",
            remedy=_remedy(below, subject, refused),
        )
        if not dry_run:
            raise error
        console.warn(f"training would be refused: {error}")
        return Rung()
    return Rung(subject, ladder.waived(missing, waivers, subject.question, stored, now))


def _told(refused: "list[Unmet]") -> str:
    return "; ".join(each.why if each.why.startswith(each.gate) else f"{each.gate}: {each.why}" for each in refused)


def _remedy(below: str, subject: "GateSubject", refused: "list[Unmet]") -> str:
    judge = f"`think gate all --preset {below}`"
    trained = judge if subject.run is not None else f"`think train stage1 --preset {below}`, then {judge}"
    waive = " ".join(f"--waive {each.gate}" for each in refused)
    return f"{trained}; or answer for it: {waive} --reason TEXT --owner NAME --until YYYY-MM-DD"
