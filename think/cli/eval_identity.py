"""`think eval identity`: facts about persons, asked of a trained model later."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.options import Json

if TYPE_CHECKING:
    from think.core.eval.identity.run import Count

TrainedRun = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="Run name or folder, checkpoint or export; the newest run when absent."),
]


def identity(
    run: TrainedRun = None,
    longest: Annotated[
        int, typer.Option("--longest", min=1, help="Most tokens of other text between a fact and its question.")
    ] = 8192,
    draws: Annotated[
        int, typer.Option("--draws", min=1, help="Rows of small talk for each kind of fact; more give more questions.")
    ] = 1,
    json: Json = False,
) -> None:
    """Ask for facts about persons that were told once: recall over turns and tokens, two persons, corrections."""
    from think.cli import environment
    from think.core.assembled import load, newest
    from think.core.errors import Missing
    from think.core.eval.identity.listener import ModelListener
    from think.core.eval.identity.run import run as ask
    from think.core.runs import locate

    root = environment.runs_folder()
    if run is None:
        found = newest(root)
        if found is None:
            raise Missing("there is no trained run yet", where=str(root), remedy="start one with `think train stage1`")
        console.note(f"the newest run, {found.path}")
    place = found.path if run is None and found is not None else locate(root, run or "")
    held = load(place)
    for note in held.notes:
        console.warn(f"checkpoint passed over: {note}")
    counts = ask(ModelListener(held), draws=draws, longest=longest)
    data = {"path": str(held.path), "step": held.step, "conditions": [count.as_json() for count in counts]}
    console.result("think.eval.identity/1", data, lambda: _show(counts))


def _show(counts: "list[Count]") -> str:
    console.table(
        ["probe", "after", "right", "chance", "control", "another's or older", "questions"],
        [_row(count) for count in counts],
    )
    above = [count for count in counts if count.remembers]
    said = ", ".join(f"{count.probe} after {count.distance:,} {count.unit}" for count in above)
    return (
        f"above chance, interval included: {said or 'nothing'}. "
        "The control, whose state is cleared after the facts, is at chance by design."
    )


def _row(count: "Count") -> list[Any]:
    after = f"{count.distance:,} {count.unit}"
    if not count.asked:
        return [count.probe, after, "too long for full attention", f"{count.chance:.1%}", None, None, 0]
    at = count.accuracy
    return [
        count.probe,
        after,
        f"{at.value:.1%} (95 % {at.low:.1%} to {at.high:.1%})",
        f"{count.chance:.1%}",
        f"{count.control.value:.1%}",
        None if count.probe == "recall" else f"{count.confused / count.asked:.1%}",
        count.asked,
    ]
