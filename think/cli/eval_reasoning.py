"""`think eval reasoning`: held-out puzzles before a trained run, answered in several ways."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli import exams
from think.cli.console import console
from think.cli.data_reasoning import TaskSettings
from think.cli.exams import SEARCH
from think.cli.options import Json
from think.core.errors import UsageError

if TYPE_CHECKING:
    from think.core.eval.reasoning.measure import Exam, Measured

DEFAULT_ARMS = ("greedy", "random_legal")


def reasoning(
    run: exams.Run = None,
    model: exams.Model = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", autocompletion=exams.arms, help="Way of answering, may be repeated; greedy and chance when absent."
        ),
    ] = None,
    count: exams.Count = exams.DEFAULT_COUNT,
    samples: exams.Samples = exams.DEFAULT_SAMPLES,
    match: Annotated[
        bool, typer.Option("--match", help="Give arms that have several as many samples as cost what `search` costs.")
    ] = False,
    critic: exams.CriticRun = None,
    larger: exams.Larger = None,
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
    """Held-out puzzles of a run's task: share solved by each way of answering, with intervals and costs"""
    from think.core.eval.reasoning.searching import Searching, heads_of
    from think.core.eval.results import keep

    arms = list(dict.fromkeys(arm or DEFAULT_ARMS))
    if match and SEARCH not in arms:
        raise UsageError("nothing is there to match", where="--match", expected=f"--arm {SEARCH} among the arms")
    searching = Searching(
        simulations, rule, considered, value_scale, exploration, heads_of(heads), caution, rules_below, keep_tree, prior
    )
    asked = exams.ask(run, model, arms, critic, larger, searching, split, count, seed, task_settings)
    found = _measured(asked.exam, arms, samples, match=match)
    data: dict[str, Any] = asked.as_json() | {
        "samples": None if match else samples,
        "larger": larger,
        "arms": [one.as_json() | ({} if one is found[0] else {"against": one.against(found[0])}) for one in found],
    }
    data["kept"] = None if asked.run is None else str(keep(asked.run, data))
    console.result("think.eval.reasoning/1", data, lambda: _say(data))


def _measured(exam: "Exam", arms: list[str], samples: int, *, match: bool) -> "list[Measured]":
    """Every arm in its turn; where samples are to match, the search comes first, for its cost is what they match."""
    found: dict[str, Measured] = {}
    with console.progress(len(exam.puzzles) * len(arms), "puzzles") as progress:
        for name in sorted(arms, key=lambda name: match and name != SEARCH):
            wanted = samples
            if match and name != SEARCH:
                wanted = exam.matched(name, found[SEARCH].flops / len(exam.puzzles))
            found[name] = exam.measure(name, wanted, lambda done: progress.advance(done))
    return [found[name] for name in arms]


def _say(data: dict[str, Any]) -> None:
    task = " ".join(f"{key}={value}" for key, value in data["task"].items() if key != "kind")
    console.out(
        f"{data['task']['kind']} {task}".rstrip()
        + f": {data['count']:,} different puzzles of the {data['split']} split, chance {100 * data['chance']:.1f} %"
    )
    rows = []
    for arm in data["arms"]:
        against = arm.get("against")
        rows.append(
            [
                arm["arm"] + ("" if arm["samples"] is None else f" × {arm['samples']}"),
                f"{arm['solved']:,} of {arm['count']:,}",
                f"{100 * arm['share']:.1f} %",
                f"{100 * arm['low']:.1f} – {100 * arm['high']:.1f}",
                f"{arm['tokens_per_puzzle']:.1f}",
                f"{arm['flops_per_puzzle'] / 1e6:,.1f}",
                f"{arm['seconds']:.1f}",
                "" if against is None else f"{against['only_this']} : {against['only_that']}, p = {against['p']:.2g}",
                ""
                if against is None
                else f"{100 * against['difference']:+.1f} ({100 * against['difference_low']:+.1f} … "
                f"{100 * against['difference_high']:+.1f})",
            ]
        )
    paired = f"alone : {data['arms'][0]['arm']} alone"
    if data["kept"] is not None:
        console.note(f"kept in {data['kept']}; `think eval page` makes a page of such results")
    console.table(["arm", "solved", "share", "95 %", "tokens", "MFLOP", "seconds", paired, "points"], rows)
