"""`think eval page`: what `think eval reasoning`, `sweep` and `steering` found of some runs, as one file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from think.cli.console import console
from think.cli.options import Json
from think.core.errors import InputOutput, Missing, UsageError


def page(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs that were asked, in the order of the page.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The Markdown file; its plots lie beside it.")],
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="Heading of the page.")
    ] = "What search is worth",
    json: Json = False,
) -> None:
    """Write one page of what runs were asked: verdicts first, over seeds too, then each exam and each sweep"""
    from think.cli import environment
    from think.core.durable import replace_file
    from think.core.eval.reasoning import page as written
    from think.core.eval.reasoning import sweep_page
    from think.core.eval.results import EXAM, STEERING, SWEEP, kept
    from think.core.eval.steering import page as steering_page
    from think.core.runs import RunFolder

    if out.suffix != ".md":
        raise UsageError(f"--out {out}", expected="a file whose name ends in .md")
    found: list[dict[str, Any]] = []
    swept: list[dict[str, Any]] = []
    steerings: list[dict[str, Any]] = []
    for name in dict.fromkeys(runs):
        folder = RunFolder.open(environment.runs_folder(), name)
        here, gone_through, steered = (list(kept(folder.path, kind)) for kind in (EXAM, SWEEP, STEERING))
        if not here and not gone_through and not steered:
            raise Missing(
                "nothing was asked of this run",
                where=str(folder.path),
                expected="a result of an evaluation",
                remedy=f"think eval reasoning {name}",
            )
        found += here
        swept += gone_through
        steerings += steered
    files = {f"{out.stem}/exam-{number}.svg": written.plot(one) for number, one in enumerate(found, 1)}
    files |= {f"{out.stem}/exam-{number}-time.svg": written.plot(one, time=True) for number, one in enumerate(found, 1)}
    files |= {f"{out.stem}/sweep-{number}.svg": sweep_page.plot(one) for number, one in enumerate(swept, 1)}
    for number, one in enumerate(steerings, 1):
        files |= {f"{out.stem}/steering-{number}-{name}.svg": plot for name, plot in steering_page.plots(one)}
    files[out.name] = written.text(title, found, out.stem, swept, steerings, _recipes(found)).encode()
    try:
        for name, content in files.items():
            (out.parent / name).parent.mkdir(parents=True, exist_ok=True)
            replace_file(out.parent / name, content)
    except OSError as error:
        raise InputOutput(f"the page cannot be written: {error.strerror or error}", where=str(out)) from None
    console.result(
        "think.eval.page/1",
        {"page": str(out), "exams": len(found), "sweeps": len(swept), "steerings": len(steerings)},
        f"written: {out}",
    )


def _recipes(results: list[dict[str, Any]]) -> dict[str, str]:
    """How the critics were trained, by checkpoint as results name it; of those that their runs still end with."""
    from think.cli import environment
    from think.core.eval.reasoning.seeds import recipe
    from think.core.predecessors import read
    from think.core.runs import RunFolder

    found: dict[str, str] = {}
    for path, name in {(one["critic"], one["critic_run"]) for one in results if one["critic"] is not None}:
        beside = Path(path).parent.parent
        try:
            folder = RunFolder(beside) if beside.is_dir() else RunFolder.open(environment.runs_folder(), name)
            now = read(folder)
            if now.path.name == Path(path).name:
                found[path] = recipe(now)
            else:
                console.note(f"exams with {path} stand in no table of seeds: {name} is at {now.path.name} now")
        except Missing as gone:
            console.note(f"exams with {name} stand in no table of seeds: {gone}")
    return found
