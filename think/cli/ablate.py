"""`think ablate`: paired studies over several seeds, run to the end in however many sittings, and what they found."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.ablate_asked import as_last, remember
from think.cli.ablate_plan import Planned, plan, show
from think.cli.console import Progress, console
from think.cli.options import Data, DryRun, Json
from think.core.errors import Exit

if TYPE_CHECKING:
    from think.core.ablations.cells import Cell
    from think.core.ablations.report import Report
    from think.core.ablations.run import Outcome, Seen

LAUNCHERS = "think.core.ablations.launchers"

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run studies of paired trainings, and report them")


def _studies(incomplete: str) -> list[str]:
    from think.cli.ablate_study import names

    return [name for name in names() if name.startswith(incomplete)]


def _launchers(incomplete: str) -> list[str]:
    from think.core import plugins

    return [name for name in plugins.names(LAUNCHERS) if name.startswith(incomplete)]


StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", autocompletion=_studies, help="Name of a shipped study, or a file.")
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="VARIANT", help="Only this variant; may be repeated.")
]
Seeds = Annotated[
    str | None, typer.Option("--seeds", metavar="N,N,…", help="Seeds, such as 0,1,2; the study's when absent.")
]
ForAll = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of all variants; may be repeated."),
]


@app.callback()
def ablate() -> None:
    """Run studies of paired trainings, and report them."""


@app.command()
def run(
    study: StudyName,
    only: Only = None,
    seeds: Seeds = None,
    data: Data = None,
    changes: ForAll = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Begin no further cell after so many minutes.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try cells again that failed.")] = False,
    launcher: Annotated[
        str | None,
        typer.Option("--launcher", metavar="NAME", autocompletion=_launchers, help="slurm or ray; here when absent."),
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option("--resource", metavar="KEY=VALUE", help="What the launcher is to ask for; may be repeated."),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> Exit | None:
    """Train what is not finished of a study; exit 3 when a cell failed, after the others went on."""
    _refuse_mixed(minutes, launcher, resource)
    planned = plan(study, data, only, seeds, changes, record=not dry_run)
    if dry_run:
        show(planned)
        return None
    console.note(f"{planned.study.name}: {len(planned.cells)} cells, {planned.budget.said()}")
    remember(planned.root / planned.study.name, data, changes)
    if launcher is not None:
        return _launch(planned, launcher, resource or [], retry=retry)
    return _answer(planned, _run_here(planned, minutes, retry=retry))


@app.command()
def report(
    study: StudyName, seeds: Seeds = None, data: Data = None, changes: ForAll = None, json: Json = False
) -> None:
    """Write what a study found: report.md, report.json and plots/*.svg, from as many cells as are finished.

    Without --data and --set: with those that it was run with last.
    """
    from json import dumps

    from think.core.ablations import markdown, plots

    planned, found = _found(study, seeds, data, changes)
    drawn = plots.plots(found, planned.root)
    folder = planned.root / planned.study.name
    files = {f"plots/{name}.svg": content for name, content in drawn.items()}
    files |= {
        "report.md": markdown.text(found, drawn).encode(),
        "report.json": (dumps(_plain(found.as_json()), indent=1) + "\n").encode(),
    }
    _write(folder, files)
    answer = {**found.as_json(), "report": str(folder / "report.md")}
    console.result("think.ablate-report/1", answer, lambda: _table(found, folder))


@app.command()
def page(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", autocompletion=_studies, help="Studies, in the order of the page."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The Markdown file; its plots lie beside it.")],
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Heading of the page.")] = None,
    data: Data = None,
    changes: ForAll = None,
    json: Json = False,
) -> None:
    """Write one page of what several studies found: verdicts first, then each report, plots in a folder beside it.

    Without --data and --set: each study with those that it was run with last.
    """
    from think.core.ablations import page, plots
    from think.core.errors import UsageError

    if out.suffix != ".md":
        raise UsageError(f"--out {out}", expected="a file whose name ends in .md")
    reports: list[Report] = []
    drawn: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}
    for study in studies:
        planned, found = _found(study, None, data, changes)
        reports.append(found)
        pictures = plots.plots(found, planned.root)
        drawn[found.study.name] = list(pictures)
        files |= {f"{out.stem}/{found.study.name}/{name}.svg": content for name, content in pictures.items()}
    heading = title or "What the studies say"
    _write(out.parent, files | {out.name: page.text(heading, reports, drawn, out.stem).encode()})
    answer = {"page": str(out), "studies": [found.as_json() for found in reports]}
    console.result("think.ablate-page/1", _plain(answer), f"written: {out}")


def _found(study: str, seeds: str | None, data: Path | None, changes: list[str] | None) -> "tuple[Planned, Report]":
    """A study with what its finished cells say. Raises Missing when there is none."""
    from think.core.ablations.report import make
    from think.core.errors import Missing

    if data is None and not changes:
        data, changes = as_last(study)
    planned = plan(study, data, None, seeds, changes, record=False, all_seeds=seeds is None)
    found = make(planned.study, planned.cells, planned.ledger.read(), planned.budget)
    if len(found.missing) == len(planned.cells):
        raise Missing(
            f"no cell of the study {planned.study.name!r} has finished",
            where=str(planned.ledger.path),
            expected="a study that was run, with the same settings, data and versions",
            remedy=planned.study.command("run"),
        )
    for cell, entry in found.missing:
        if entry.state == "failed":
            console.warn(f"{cell.variant.name}, seed {cell.seed}, failed: {entry.message}")
    return planned, found


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    from think.core.durable import replace_file
    from think.core.errors import InputOutput

    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            replace_file(folder / name, content)
    except OSError as error:
        raise InputOutput(
            f"the report cannot be written: {error.strerror or error}",
            where=str(folder),
            remedy="free some space or change the permissions; the cells are untouched",
        ) from error


@app.command(name="list")
def list_(json: Json = False) -> None:
    """List the studies that come with think, with what the ledger says of each."""
    from think.cli import environment
    from think.cli.ablate_study import look, names
    from think.core.ablations.ledger import Ledger

    entries = Ledger(environment.runs_folder() / "ablations").read().entries.values()
    rows = []
    for name in names():
        settings, _, _ = look(name)
        mine = [entry for entry in entries if entry.study == name]
        rows.append(
            {
                "study": name,
                "variants": [variant.name for variant in settings.variants],
                "seeds": list(settings.seeds),
                "finished": sum(entry.state == "finished" for entry in mine),
                "failed": sum(entry.state == "failed" for entry in mine),
                "summary": settings.summary,
            }
        )
    console.result(
        "think.ablate-list/1",
        rows,
        lambda: console.table(
            ["study", "variants", "seeds", "finished", "failed", "summary"],
            [
                [r["study"], len(r["variants"]), len(r["seeds"]), r["finished"], r["failed"], _question(r["summary"])]  # type: ignore[arg-type]
                for r in rows
            ],
        ),
    )


def _question(summary: object) -> str:
    """The first sentence of a summary."""
    words = " ".join(str(summary).split())
    ends = [words.find(mark) for mark in ("?", ". ") if mark in words]
    return words[: min(ends) + 1] if ends else words


def _refuse_mixed(minutes: float | None, launcher: str | None, resource: list[str] | None) -> None:
    from think.core.errors import UsageError

    if resource and launcher is None:
        raise UsageError("--resource says what a launcher asks for, and none is named", remedy="add --launcher NAME")
    if minutes is not None and launcher is not None:
        raise UsageError(
            "--minutes counts for cells that are run here, one after another",
            expected="either --minutes or --launcher",
            remedy="limit jobs by their launcher: --resource timeout_min=30",
        )


def _run_here(planned: Planned, minutes: float | None, *, retry: bool) -> "Outcome":
    from think.core.ablations.run import Runner

    total = len(planned.cells)
    with console.progress(total, f"study {planned.study.name}, {total} cells") as progress:
        return Runner(
            study=planned.study,
            root=planned.root,
            program=(sys.executable, "-m", "think.cli.tethered"),
            retry=retry,
            seconds=None if minutes is None else minutes * 60,
            watch=_watcher(planned.cells, progress),
            say=console.warn,
        ).run(planned.cells)


def _watcher(cells: "Sequence[Cell]", progress: Progress) -> Any:
    """Moves the bar by the computation that each cell takes, so that the time left holds for unequal variants too."""
    whole = sum(cell.flops for cell in cells)
    done = dict.fromkeys((cell.id for cell in cells), 0.0)

    def watch(seen: "Seen") -> None:
        before = done[seen.cell.id]
        done[seen.cell.id] = max(before, seen.share)
        progress.advance((done[seen.cell.id] - before) * seen.cell.flops / whole * len(cells), seen.note)

    return watch


def _answer(planned: Planned, outcome: "Outcome") -> Exit:
    data = {
        "study": planned.study.name,
        "cells": len(planned.cells),
        "finished": outcome.finished,
        "finished_before": outcome.already,
        "failed": outcome.failed,
        "left": outcome.left,
    }
    done = len(outcome.finished) + len(outcome.already)
    lines = [f"{done} of {len(planned.cells)} cells are finished, {len(outcome.finished)} of them now"]
    if outcome.left:
        lines.append(f"{len(outcome.left)} were not begun in the time given")
    lines += [f"{name} failed: {message}" for name, message in outcome.failed.items()]
    if outcome.failed:
        lines.append(f"to try what failed again: {planned.study.command('run')} --retry")
    if done:
        lines.append(f"what it found: {planned.study.command('report')}")
    console.result("think.ablate-run/1", data, "\n".join(lines), ok=not outcome.failed)
    return Exit.NO_VERDICT if outcome.failed else Exit.DONE


def _launch(planned: Planned, name: str, resource: list[str], *, retry: bool) -> Exit:
    from think.core import plugins
    from think.core.ablations.launchers import Job
    from think.core.ablations.run import states

    launcher = plugins.load(LAUNCHERS, name)
    skipped = {"finished"} if retry else {"finished", "failed"}
    jobs = []
    for cell, entry in states(planned.ledger, planned.cells):
        if entry.state in skipped:
            continue
        command = [sys.executable, "-m", "think", "ablate", "run", *planned.study.given]
        command += ["--only", cell.variant.name, "--seeds", str(cell.seed), *(["--retry"] if retry else [])]
        jobs.append(Job(cell.name, tuple(command), str(Path.cwd())))
    launched = launcher.launch(jobs, (planned.root / "jobs").absolute(), _resources(resource))
    failed = [each.job.name for each in launched if each.code not in (None, 0)]
    data = {
        "study": planned.study.name,
        "launcher": name,
        "jobs": [{"cell": each.job.name, "id": each.id, "exit": each.code} for each in launched],
    }
    what = "ended" if launcher.waits else "submitted"
    text = f"{len(launched)} jobs {what} by {name}; what they found: {planned.study.command('report')}"
    console.result("think.ablate-launch/1", data, "\n".join([text, *(f"{each} failed" for each in failed)]))
    return Exit.NO_VERDICT if failed else Exit.DONE


def _resources(given: list[str]) -> dict[str, object]:
    from think.core.errors import UsageError
    from think.presets.literals import parse_change, parse_value

    found: dict[str, object] = {}
    for text in given:
        change = parse_change(text)
        if change is None or len(change[0]) != 1:
            raise UsageError(f"--resource {text!r}", expected="KEY=VALUE, such as timeout_min=60")
        try:
            found[str(change[0][0])] = parse_value(change[1])
        except ValueError as error:
            raise UsageError(f"--resource {text!r} is {error}") from None
    return found


def _table(found: "Report", folder: Path) -> str:
    console.table(
        ["variant", "parameters", "seeds", "mean", "difference", "p", "verdict"],
        [
            [
                row.variant,
                f"{row.parameters:,}{'' if row.unequal is None else f' ({row.unequal:+.0%})'}",
                len(row.losses),
                None if row.mean is None else f"{row.mean.value:.4f}",
                None if row.comparison is None else str(row.comparison.difference),
                None if row.p is None else f"{row.p:.3f}",
                row.said,
            ]
            for row in found.rows
        ],
    )
    missing = len(found.missing)
    return f"{f'{missing} cells are missing; ' if missing else ''}report {folder / 'report.md'}"


def _plain(value: Any) -> Any:
    """JSON has no infinities; they are words there."""
    import math

    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
