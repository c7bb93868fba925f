"""`think runs`: list, show, compare, report, prune and export what was trained.

Listing, showing and comparing load no torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.options import Folder, Json
from think.cli.runs_page import SAMPLE_TOKENS, refuse_other_files, sample_if_any, sample_of, write

if TYPE_CHECKING:
    from think.core.runs import RunFolder
    from think.core.telemetry.summary import Summary

LOGS = ("tensorboard", "wandb", "arrow")
"Exports of telemetry, each a module of think.core.export with `export(run, out)`."
MODEL = "huggingface"

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show, compare, prune and export runs")


def _names(incomplete: str) -> list[str]:
    from think.cli import environment
    from think.core import runs

    return [run.name for run in runs.runs(environment.runs_folder()) if run.name.startswith(incomplete)]


def _formats(incomplete: str) -> list[str]:
    return [name for name in (*LOGS, MODEL) if name.startswith(incomplete)]


OneRun = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", autocompletion=_names, help="Run name or folder; the newest when absent."),
]
NamedRun = Annotated[str, typer.Argument(metavar="RUN", autocompletion=_names, help="Run name or folder.")]


@app.command("list")
def list_runs(json: Json = False) -> None:
    """List the runs with their state and latest figures."""
    from think.cli import environment
    from think.core import runs

    root = environment.runs_folder()
    found = [run.summary() for run in runs.runs(root)]
    columns = ["run", "state", "stage", "preset", "step", "loss", "held-out", "left"]
    console.result(
        "think.runs-list/1",
        [summary.as_json() for summary in found],
        lambda: console.table(columns, map(_row, found)) if found else f"there is no run in {root} yet",
    )


@app.command()
def show(
    run: OneRun = None,
    width: Annotated[int, typer.Option("--width", min=20, max=400, help="Characters of the curves.")] = 72,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page about the run.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a run: state, figures, loss curves, gates, anomalies; with --html as a page for a browser."""
    from think.core import internals
    from think.core.facts import Facts
    from think.core.figures import figures

    if html is not None:
        refuse_other_files(html)
    facts = Facts.read(_chosen(run))
    held_out = facts.held_out()
    data = {
        "summary": facts.summary.as_json(),
        "path": str(facts.run.path),
        "held_out": None if held_out is None else {"step": held_out.step, **held_out.fields},
        "unigram_loss": facts.unigram_loss(),
        "figures": dict(figures(facts, facts.unigram_loss())),
        "gates": {line.stored.gate: line.stored.verdict.as_json() for line in facts.gates if line.stored is not None},
        "anomalies": [{"step": record.step, **record.fields} for record in facts.of("anomaly")],
        "gradient_shares": {name: share for name, (share, _) in internals.shares(facts.records).items()},
        "state_health": [{"step": record.step, **record.fields} for record in internals.health(facts.records)],
        "plan": facts.plan,
    }
    if html is None:
        console.result("think.runs-show/1", data, lambda: _shown(facts, width))
    else:
        write(facts, html)
        console.result("think.runs-show/1", {**data, "html": str(html)}, str(html))


@app.command()
def compare(first: NamedRun, second: NamedRun, json: Json = False) -> None:
    """Compare two runs: the settings in which they differ, and what came out."""
    from think.core.facts import Facts

    pair = [Facts.read(_opened(name)) for name in (first, second)]
    settings = [_settings(facts.run.settings_file) for facts in pair]
    differing = {
        key: [_said(one, key) for one in settings]
        for key in sorted({*settings[0], *settings[1]})
        if _said(settings[0], key) != _said(settings[1], key)
    }
    results = {name: [one[name] for one in map(_results, pair)] for name in _results(pair[0])}
    names = [facts.run.name for facts in pair]
    data = {"runs": names, "settings": differing, "results": results, "note": ONE_SEED}

    def human() -> None:
        if differing:
            console.table(["setting", *names], [[key, *values] for key, values in differing.items()])
        else:
            console.out("the settings are equal")
        console.out("")
        console.table(["result", *names], [[name, *map(_figure, values)] for name, values in results.items()])
        console.out("")
        console.out(ONE_SEED)

    console.result("think.runs-compare/1", data, human)


ONE_SEED = (
    "One run each: a difference between them may be the seed's. Which settings are better, only several seeds can tell."
)


@app.command()
def report(
    run: OneRun = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="What the sample goes on from; nothing by default.")
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Tokens of the sample.")] = SAMPLE_TOKENS,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample.")] = 0,
    json: Json = False,
) -> None:
    """Write report.md and plots/*.svg into a run's folder, with a text that its model writes."""
    from think.core import report as reports

    chosen = _chosen(run)
    sample = sample_of(chosen, prompt, tokens, seed) if prompt is not None else sample_if_any(chosen, tokens, seed)
    path = reports.write(chosen, sample=sample)
    data = {"report": str(path), "plots": sorted(map(str, chosen.plots.glob("*.svg")))}
    console.result("think.runs-report/1", data, f"{path}")


@app.command()
def prune(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", autocompletion=_names, help="Runs to look at; all when absent."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="Checkpoints that stay in each run; older ones go.")
    ] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="Delete runs that died and have nothing to resume from.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete; without it, only say what would go.")] = False,
    json: Json = False,
) -> None:
    """Delete old checkpoints and dead runs; never a run under way nor a run's last good checkpoint."""
    from think.cli import environment
    from think.core import runs as folders
    from think.core.errors import Locked, ThinkError, UsageError
    from think.core.pruning import doomed, remove

    if keep is None and not dead:
        raise UsageError(
            "nothing to prune was named", expected="--keep N, --dead, or both", remedy="think runs prune --help"
        )
    chosen = [_opened(name) for name in runs] if runs else folders.runs(environment.runs_folder())
    gone: list[Path] = []
    for run in chosen:
        try:
            if yes:
                gone += remove(run, keep=keep, dead=dead)
            else:
                gone += doomed(run, keep=keep, dead=dead)
        except Locked as error:
            console.note(f"{run.name} is left alone: {error.what}")
        except ThinkError as error:
            console.warn(f"{run.name} is left alone: {error.what}")
    data = {"deleted": yes, "paths": list(map(str, gone))}
    console.result("think.runs-prune/1", data, lambda: _pruned(gone, deleted=yes))


@app.command()
def export(
    run: OneRun = None,
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", autocompletion=_formats, help=", ".join((*LOGS, MODEL)) + ".")
    ] = "",
    out: Folder = None,
    json: Json = False,
) -> None:
    """Export telemetry (TensorBoard, W&B offline, Arrow) or the model (Hugging Face style folder)."""
    import difflib

    from think.core.errors import UsageError

    if to not in (*LOGS, MODEL):
        nearest = difflib.get_close_matches(to, (*LOGS, MODEL), n=1)
        raise UsageError(
            f"there is no export to {to!r}" if to else "an export needs a format",
            expected=f"--to with one of {', '.join((*LOGS, MODEL))}",
            remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
        )
    chosen = _chosen(run)
    target = out if out is not None else chosen.path / "export" / to
    count = _export_model(chosen, target) if to == MODEL else _export_log(chosen, target, to)
    what = f"{count:,} {'tensors' if to == MODEL else 'records' if to == 'arrow' else 'figures'}"
    data = {"run": chosen.name, "format": to, "path": str(target), "count": count}
    console.result("think.runs-export/1", data, f"{what} in {target}")


def _export_log(run: "RunFolder", target: Path, to: str) -> int:
    from importlib import import_module

    count: int = import_module(f"think.core.export.{to}").export(run, target)
    return count


def _export_model(run: "RunFolder", target: Path) -> int:
    from think.core.assembled import load
    from think.core.export import huggingface
    from think.core.training.weights import weights

    held = load(run.path)
    for note in held.notes:
        console.warn(f"checkpoint passed over: {note}")
    tensors = weights(held.model)
    huggingface.export(target, settings=held.settings, tensors=tensors, tokenizer=held.tokenizer, step=held.step)
    return len(tensors)


def _opened(name: str) -> "RunFolder":
    from think.cli import environment
    from think.core.runs import RunFolder

    return RunFolder.open(environment.runs_folder(), name)


def _chosen(name: str | None) -> "RunFolder":
    """The run named, else the newest, which is then said."""
    from think.cli import environment
    from think.core import runs
    from think.core.errors import Missing

    if name is not None:
        return _opened(name)
    root = environment.runs_folder()
    found = runs.newest(root)
    if found is None:
        raise Missing("there is no run yet", where=str(root), remedy="start one with `think train stage1`")
    console.note(f"the newest run, {found.path}")
    return found


def _row(summary: "Summary") -> list[str]:
    from think.cli.progress import duration

    of = f" of {summary.steps:,}" if summary.steps is not None else ""
    return [
        summary.run,
        summary.state,
        summary.stage or "-",
        summary.preset or "-",
        "-" if summary.step is None else f"{summary.step:,}{of}",
        _figure(summary.loss),
        _figure(summary.held_out),
        "-" if summary.time_left is None else duration(summary.time_left),
    ]


def _shown(facts: Any, width: int) -> None:
    from think.core import internals
    from think.core.curve import curve
    from think.core.figures import figures
    from think.core.series import series

    summary, baseline = facts.summary, facts.unigram_loss()
    console.out(f"{facts.run.path}: {summary.state}{f' ({summary.message})' if summary.message else ''}")
    lines = [(name, text.replace("**", "")) for name, text in figures(facts, baseline)]
    for name, text in lines:
        console.out(f"{name:<{max(len(name) for name, _ in lines) + 2}}{text}")
    for title, kind in (("training loss", "step"), ("held-out loss", "eval")):
        line = series(facts.records, kind, "loss")
        if len(line):
            ends = (f"step {line.steps[0]:,}", f"step {line.steps[-1]:,}")
            console.out(f"\n{title}, nats per token" if summary.stage in (None, "stage1") else f"\n{title}")
            console.out(curve(line.values.tolist(), width, 12, ends=ends, mark=baseline if kind == "eval" else None))
    for columns, rows, title in (
        (internals.SHARES, internals.share_rows(facts.records), "share of the squared gradient norm, median"),
        (internals.HEALTH, internals.health_rows(facts.records), "state health, newest"),
    ):
        if rows:
            console.out("")
            console.table(columns, rows, title=title)
    newest = {line.stored.gate: line.stored.verdict for line in facts.gates if line.stored is not None}
    if newest:
        console.out("")
        console.table(
            ["gate", "verdict", "evidence"],
            [[gate, verdict.status.value, verdict.line()] for gate, verdict in sorted(newest.items())],
        )
    anomalies = facts.of("anomaly")
    if anomalies:
        console.out(
            f"\n{len(anomalies):,} anomalies, the last at step {anomalies[-1].step}: {anomalies[-1].text('message')}"
        )


def _results(facts: Any) -> dict[str, Any]:
    """What came out of a run; None where nothing was recorded."""
    summary, held_out = facts.summary, facts.held_out()
    interval = None if held_out is None else held_out.fields.get("interval")
    return {
        "state": summary.state,
        "step": summary.step,
        "parameters": summary.parameters,
        "held-out loss": summary.held_out,
        "held-out interval": interval,
        "held-out tokens": summary.held_out_tokens,
        "training loss": summary.loss,
        "tokens per second": summary.speed,
        "anomalies": len(facts.of("anomaly")),
    }


def _settings(file: Path) -> dict[str, Any]:
    """The resolved settings of a run as flat keys; empty when it has none."""
    import tomllib

    from think.core.errors import BadData

    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadData(str(error), where=str(file), expected="the settings.toml that training wrote") from error
    # Keys beside the sections describe the preset; they are no settings.
    return dict(_flat({name: section for name, section in held.items() if isinstance(section, dict)}))


def _flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in data.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found


def _said(settings: dict[str, Any], key: str) -> str:
    return str(settings[key]) if key in settings else "(absent)"


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(map(_figure, value))
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _pruned(gone: list[Path], *, deleted: bool) -> str:
    if not gone:
        return "there is nothing to delete"
    lines = [f"{'deleted' if deleted else 'would delete'} {path}" for path in gone]
    return "\n".join(lines + ([] if deleted else ["say --yes to delete"]))
