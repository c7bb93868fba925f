"""`think gate`: verdicts with evidence, and an exit code for scripts.

think gate g0 g1 g2 g3      judge; `all` is every gate
think gate list             what there is
think gate verify           look at stored verdicts again
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from think.cli.console import console
from think.cli.options import Changes, Data, Json, Preset, Run
from think.cli.waivers import Owner, Reason, Until, Waive, gate_names, waivers_of
from think.core.errors import Exit

if TYPE_CHECKING:
    from think.core.gates.store import Stored
    from think.core.gates.verify import Checked

JUDGE = "judge"
STYLES = {
    "PASS": "green",
    "WARN": "yellow",
    "FAIL": "bold red",
    "NO_EVIDENCE": "magenta",
    "BLOCKED": "magenta",
    "WAIVED": "cyan",
    "WRONG": "bold red",
    "GONE": "magenta",
}


class GateGroup(TyperGroup):
    """Whatever is no sub-command is a gate: `think gate g0 g1` means `think gate judge g0 g1`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [JUDGE, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


app = typer.Typer(
    cls=GateGroup,
    add_completion=False,
    no_args_is_help=True,
    help="Judge gates (`think gate g0 g1`, `think gate all`), list them, verify stored verdicts",
)


@app.callback()
def gate() -> None:
    """Judge gates (`think gate g0 g1`, `think gate all`), list them, verify stored verdicts"""


Names = Annotated[
    list[str], typer.Argument(metavar="GATE...", autocompletion=gate_names, help="Gates such as g0 g1, or all.")
]


@app.command(JUDGE)
def judge(
    names: Names,
    run: Run = None,
    preset: Preset = None,
    changes: Changes = None,
    data: Data = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="RUN", help="Run to compare with, for gates that compare.")
    ] = None,
    waive: Waive = None,
    reason: Reason = None,
    owner: Owner = None,
    until: Until = None,
    strict: Annotated[bool, typer.Option("--strict", help="A warning fails, exit code 1.")] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the verdicts as JUnit XML.")
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Also print workflow annotations for a build service, on stderr.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show every figure, threshold and source.")] = False,
    json: Json = False,
) -> Exit:
    """Judge gates in their order; the word `judge` may be left out."""
    from think.cli.gate_subject import find
    from think.core.errors import InputOutput
    from think.core.gates import run as engine
    from think.core.gates.verdict import exit_code

    wanted = engine.chosen(names)
    waivers = waivers_of(waive, reason, owner, until)
    subject = find(wanted, run, preset, changes, data, baseline)
    console.note(subject.announcement)
    unstored: list[InputOutput] = []

    def keep(name: str, gate: Any, record: "Stored") -> None:
        try:
            subject.keep(gate, record)
        except InputOutput as error:  # the verdict is still shown; that it is not stored comes after it
            unstored.append(error)

    records = engine.run(wanted, subject.question, subject.produce, subject.stored(), waivers=waivers, keep=keep)
    code = exit_code((record.verdict.status for record in records), strict=strict)
    if junit is not None:
        _write_junit(junit, records, strict)
    if annotations:
        _annotate(records, strict)
    result: dict[str, Any] = {
        "run": subject.run_name,
        "preset": subject.preset_name,
        "exit": int(code),
        "strict": strict,
    }
    result["gates"] = [_as_json(record, explain) for record in records]
    console.result("think.gate/1", result, lambda: _show(records, explain), ok=code is Exit.DONE)
    if unstored:
        raise unstored[0]
    return code


@app.command("list")
def list_gates(json: Json = False) -> None:
    """List all gates: what each asks, what it waits for, its thresholds by default."""
    from think.core import plugins
    from think.core.gates import run as engine
    from think.core.gates.checks import FAMILY, file_name

    rows: list[dict[str, Any]] = []
    for name in engine.gates():
        gate = engine.load(name)
        rows.append(
            {
                "gate": name,
                "asks": plugins.summary(FAMILY, file_name(name)),
                "after": gate.after,
                "needs_run": gate.needs_run,
                "evidence": gate.needs.name,
                "thresholds": gate.Settings().model_dump(mode="json"),
            }
        )
    console.result(
        "think.gate-list/1",
        rows,
        lambda: console.table(
            ["gate", "asks", "after", "takes", "thresholds"],
            [
                [
                    row["gate"],
                    row["asks"],
                    row["after"],
                    "a run" if row["needs_run"] else "a preset or a run",
                    _summary(row["thresholds"]),
                ]
                for row in rows
            ],
        ),
    )


@app.command()
def verify(
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="This run's verdicts only.")] = None,
    json: Json = False,
) -> Exit:
    """Look at stored verdicts again, offline: exit code 1 when one is wrong, 3 when evidence is gone."""
    from think.cli import environment
    from think.cli.gate_subject import recheck_for
    from think.core import runs
    from think.core.gates import store
    from think.core.gates import verify as verifying

    root = environment.runs_folder()
    folders = [runs.RunFolder.open(root, run)] if run is not None else runs.runs(root)
    files = [(folder.gates_file, folder) for folder in folders]
    if run is None:
        files.insert(0, (store.fresh_file(root), None))  # type: ignore[arg-type]
    checked = [
        each for file, folder in files for each in verifying.verify(file, store.lines(file), recheck_for(folder))
    ]
    code = verifying.exit_code(checked)
    rows = [_checked_as_json(each) for each in checked]
    console.result(
        "think.gate-verify/1",
        {"exit": int(code), "verdicts": rows},
        lambda: _show_checked(checked, root),
        ok=code is Exit.DONE,
    )
    return code


def _write_junit(path: Path, records: "Sequence[Stored]", strict: bool) -> None:
    from think.core.durable import replace_file
    from think.core.gates import junit

    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, junit.junit(records, strict=strict))


def _annotate(records: "Sequence[Stored]", strict: bool) -> None:
    from think.core.gates import junit

    for line in junit.annotations(records, strict=strict):
        console.talk(line)


def _as_json(record: "Stored", explain: bool) -> dict[str, Any]:
    """The stored verdict; the measured values themselves only on request, for they can be long."""
    data = record.as_json()
    if data["evidence"] is not None and not explain:
        data["evidence"] = {key: value for key, value in data["evidence"].items() if key != "values"}
    return data


def _show(records: "Sequence[Stored]", explain: bool) -> None:
    rows = [
        [record.gate, record.verdict.status.value, record.verdict.line(), record.verdict.remedy or ""]
        for record in records
    ]
    columns = ["gate", "verdict", "evidence", "remedy"]
    if not any(row[-1] for row in rows):  # nothing to mend: leave the room to the evidence
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    console.table(columns, rows, styles=STYLES)
    if explain:
        for record in records:
            _explain(record)


def _explain(record: "Stored") -> None:
    console.out(f"\n{record.gate} {record.verdict.status.value}")
    for finding in record.verdict.deciding():
        console.out(f"    {finding.status.value:<12}{finding.name}: {finding.line()}")
    console.out(f"    thresholds  {_summary(record.thresholds)} (sha256 {record.thresholds_sha256[:12]})")
    source = record.source
    facts = {
        "run": source.run,
        "telemetry": ", ".join(f"{span.file} bytes {span.start} to {span.stop}" for span in source.spans) or None,
        "checkpoint": source.checkpoint_path,
        "seed": source.seed,
        "commit": None if source.commit is None else source.commit[:12] + (" with changes" if source.dirty else ""),
        "evidence": None if record.evidence is None else f"{record.evidence['name']} {record.evidence['sha256'][:12]}",
    }
    for name, fact in facts.items():
        if fact is not None:
            console.out(f"    {name:<12}{fact}")
    for note in record.notes:
        console.out(f"    note        {note}")


def _summary(thresholds: dict[str, Any], prefix: str = "") -> str:
    parts = []
    for name, value in thresholds.items():
        if isinstance(value, dict):
            parts.append(_summary(value, f"{prefix}{name}."))
        elif name != "kind":
            parts.append(f"{prefix}{name} {value:g}" if isinstance(value, (int, float)) else f"{prefix}{name} {value}")
    return ", ".join(parts)


def _checked_as_json(each: "Checked") -> dict[str, Any]:
    return {
        "file": str(each.file),
        "line": each.line,
        "gate": each.gate,
        "verdict": each.verdict,
        "outcome": each.outcome.value,
        "why": each.why,
    }


def _show_checked(checked: "Sequence[Checked]", root: Path) -> None:
    if not checked:
        console.out(f"there are no stored verdicts below {root}; `think gate all --preset NAME` makes some")
        return
    rows = [
        [f"{each.file}:{each.line}", each.gate, each.verdict, each.outcome.value, each.why or "-"] for each in checked
    ]
    console.table(["stored at", "gate", "verdict", "checked", "why"], rows, styles=STYLES)
