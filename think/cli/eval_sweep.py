"""`think eval sweep`: one exam of a trained run at several values of one option, paired by puzzle."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli import exams
from think.cli.console import console
from think.cli.data_reasoning import TaskSettings
from think.cli.options import Json
from think.core.errors import UsageError

if TYPE_CHECKING:
    from think.core.eval.reasoning.measure import Measured
    from think.core.eval.reasoning.searching import Searching
    from think.core.eval.reasoning.sweep import Sweep

DEFAULT_ARMS = ("search", "greedy")


def _studies(incomplete: str) -> list[str]:
    from think.cli.eval_study import SWEEPS, names

    return [name for name in names(SWEEPS) if name.startswith(incomplete)]


def sweep(
    run: exams.Run = None,
    model: exams.Model = None,
    critic: exams.CriticRun = None,
    larger: exams.Larger = None,
    over: Annotated[
        str | None,
        typer.Option("--over", metavar="OPTION=A,B,…", help="An option of searches and its values; or --study."),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study", metavar="NAME", autocompletion=_studies, help="A shipped one, in place of --over, or a file."
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", autocompletion=exams.arms, help="Way of answering, may be repeated; search and greedy when absent."
        ),
    ] = None,
    count: exams.Count = exams.DEFAULT_COUNT,
    samples: exams.Samples = exams.DEFAULT_SAMPLES,
    simulations: exams.Simulations = exams.DEFAULT_SIMULATIONS,
    rule: exams.Rule = exams.DEFAULT_RULE,
    considered: exams.Considered = None,
    value_scale: exams.ValueScale = None,
    exploration: exams.Exploration = None,
    heads: exams.Heads = exams.DEFAULT_HEADS,
    caution: exams.Caution = None,
    prior: exams.Prior = exams.DEFAULT_PRIOR,
    rules_below: exams.RulesBelow = True,
    keep_tree: exams.KeepTree = False,
    split: exams.SplitName = "test",
    seed: exams.Seed = exams.DEFAULT_SEED,
    task_settings: TaskSettings = None,
    json: Json = False,
) -> None:
    """One exam at several values of one option: the same puzzles and arms, every difference paired by puzzle"""
    from think.core.eval.reasoning import sweep as core
    from think.core.eval.reasoning.searching import Searching, heads_of
    from think.core.eval.results import SWEEP, keep

    named, texts = _asked_for(over, study)
    arms = list(dict.fromkeys(arm or DEFAULT_ARMS))
    moved, still = core.split(named, arms)
    base = Searching(
        simulations, rule, considered, value_scale, exploration, heads_of(heads), caution, rules_below, keep_tree, prior
    )
    asked = exams.ask(run, model, arms, critic, larger, base, split, count, seed, task_settings)
    through = core.sweep(named, texts, asked.exam.model.settings.layers)
    _refuse_given(through, base)
    every = [asked.searched(through.put(base, value)) for value in through.values]  # so that all mistakes come first
    found: list[list[Measured]] = [[] for _ in moved]
    with console.progress(count * (len(moved) * len(every) + len(still)), "puzzles") as progress:
        for one in every:
            for place, name in enumerate(moved):
                found[place].append(one.exam.measure(name, samples, lambda done: progress.advance(done)))
        beside = [asked.exam.measure(name, samples, lambda done: progress.advance(done)) for name in still]
    data: dict[str, Any] = asked.as_json() | {
        "samples": samples,
        "larger": larger,
        "study": study,
        **core.as_json(through, found, beside),
    }
    data["kept"] = None if asked.run is None else str(keep(asked.run, data, SWEEP))
    console.result("think.eval.sweep/1", data, lambda: _say(data))


def _asked_for(over: str | None, study: str | None) -> tuple[str, list[str]]:
    """An option and the texts of its values. Raises UsageError unless exactly one of the two was given."""
    from think.cli.eval_study import SWEEPS, names, read
    from think.core.eval.studies import SweepStudy

    if (over is None) == (study is None):
        raise UsageError(
            "neither --over nor --study was given" if over is None else "--over and --study were both given",
            expected=f"--over such as simulations=1,4,16,64, or --study, one of {', '.join(names(SWEEPS))}",
        )
    if study is not None:
        found = read(study, SWEEPS, SweepStudy)
        return found.over, [str(value) for value in found.values]
    name, _, values = str(over).partition("=")
    return name.replace("-", "_"), [value.strip() for value in values.split(",") if value.strip()]


def _refuse_given(through: "Sweep", base: "Searching") -> None:
    """Raises UsageError where the option that is gone through was given a value beside it."""
    from think.core.eval.reasoning.searching import Searching

    if getattr(base, through.over) != getattr(Searching(), through.over):
        option = f"--{through.over.replace('_', '-')}"
        raise UsageError(f"{option} is what is gone through, and was given a value", where=option, expected="not both")


def _say(data: dict[str, Any]) -> None:
    from think.core.eval.reasoning.sweep_page import POINTS, SHARE, cells

    task = " ".join(f"{key}={value}" for key, value in data["task"].items() if key != "kind")
    console.out(
        f"{data['task']['kind']} {task}".rstrip()
        + f": {data['count']:,} different puzzles of the {data['split']} split, {data['over']} gone through"
    )
    if data["kept"] is not None:
        console.note(f"kept in {data['kept']}; `think eval page` makes a page of such results")
    console.table(
        [data["over"], "way", "solved", SHARE, "MFLOP", "seconds", "against", POINTS, "alone", "p", "verdict"],
        [list(row) for row in cells(data)],
    )
    for arm in data["arms"]:
        if arm["monotone"] is not None:
            console.out(f"{arm['arm']}: does more of {data['over']} solve more? {arm['monotone']}")
