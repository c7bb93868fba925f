"""`think eval steering`: whether an injected plan moves the text towards itself, more than other plans do."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.options import Json
from think.core.errors import UsageError

if TYPE_CHECKING:
    from think.core.eval.steering.measure import Steered
    from think.core.eval.studies import SteeringStudy

DEFAULT_COUNT, DEFAULT_PROMPT, DEFAULT_PLAN, DEFAULT_SEED = 256, 32, 8, 0
DEFAULT_RATES, DEFAULT_LAGS = (0.0, 0.05, 0.2, 0.5), (0,)


def _studies(incomplete: str) -> list[str]:
    from think.cli.eval_study import STEERING, names

    return [name for name in names(STEERING) if name.startswith(incomplete)]


def steering(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Run name or folder; the newest when absent.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="PATH", help="Checkpoint or exported folder, in place of a run.")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="TEXT", help="One plan for all windows; the true continuations when absent."),
    ] = None,
    rate: Annotated[
        list[float] | None, typer.Option("--rate", min=0.0, max=1.0, help="Injection rate; may be repeated.")
    ] = None,
    lag: Annotated[list[int] | None, typer.Option("--lag", min=0, help="Tokens too late; may be repeated.")] = None,
    decay: Annotated[
        float | None, typer.Option("--decay", min=0.0, max=1.0, help="Factor of the gates for each token of lag.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=2, help="Windows of held-out text.")] = DEFAULT_COUNT,
    prompt_tokens: Annotated[
        int, typer.Option("--prompt-tokens", min=1, help="Tokens read before the plan is injected.")
    ] = DEFAULT_PROMPT,
    plan_tokens: Annotated[
        int | None, typer.Option("--plan-tokens", min=2, help=f"Tokens of a true continuation; {DEFAULT_PLAN}.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the windows and the random plans.")] = DEFAULT_SEED,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="NAME",
            autocompletion=_studies,
            help="Rates, lags and length of plans of a shipped study, or of a file, where none are given.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Whether an injected plan moves the text towards itself, more than shuffled, other and random plans do"""
    from think.cli.generate import assemble, unescaped
    from think.core.data.store import Packed
    from think.core.deliberator import expect_recurrent
    from think.core.eval.results import STEERING, keep
    from think.core.eval.steering.items import windows
    from think.core.eval.steering.measure import steer
    from think.core.planning.injection import InjectionSettings

    if plan is not None and plan_tokens is not None:
        raise UsageError("--plan and --plan-tokens were both given", expected="one of them")
    usually = _usually(study)
    rates = list(dict.fromkeys(usually.rates if rate is None else rate))
    lags = list(dict.fromkeys(usually.lags if lag is None else lag))
    thinker = assemble(run, model)
    expect_recurrent(thinker)
    planned: int | list[int] = plan_tokens or usually.plan_tokens
    if plan is not None:
        planned = thinker.tokenizer.encode(unescaped(plan))
        if len(planned) < 2:
            raise UsageError(f"a plan of {len(planned)} tokens", where="--plan", expected="2 or more")
    drawn = windows(Packed.open(thinker.settings.data.path).split("validation"), count, prompt_tokens, planned, seed)
    found: list[Steered] = []
    usual = InjectionSettings()
    with console.progress(count * len(rates) * len(lags), "windows") as progress:
        for late in lags:
            for share in rates:
                settings = InjectionSettings(rate=share, decay=usual.decay if decay is None else decay)
                found.append(steer(thinker.model, drawn, settings, late, advance=lambda done: progress.advance(done)))
    of_run = thinker.run
    data: dict[str, Any] = {
        "run": thinker.path.name if of_run is None else of_run.name,
        "model": str(thinker.path),
        "step": thinker.step,
        "split": "validation",
        "count": count,
        "prompt_tokens": prompt_tokens,
        "plan_tokens": len(drawn.truth[0]),
        "plan": plan,
        "study": study,
        "seed": seed,
        "gates": [[one.rate, one.lag, one.alpha] for one in found],
        "results": [one.as_json() for one in found],
        "command": shlex.join(["think", *sys.argv[1:]]),
    }
    data["kept"] = None if of_run is None else str(keep(of_run, data, STEERING))
    console.result("think.eval.steering/1", data, lambda: _show(found, data))


def _usually(study: str | None) -> "SteeringStudy":
    """Rates, lags and length of plans where none are given. Raises as `eval_study.read` does."""
    from think.cli.eval_study import STEERING, read
    from think.core.eval.studies import SteeringStudy

    if study is not None:
        return read(study, STEERING, SteeringStudy)
    return SteeringStudy(summary="as usual", rates=DEFAULT_RATES, lags=DEFAULT_LAGS, plan_tokens=DEFAULT_PLAN)


def _show(found: "list[Steered]", data: dict[str, Any]) -> str:
    from think.core.eval.steering.items import ARMS, PLANNED
    from think.core.eval.steering.page import FIGURES

    said = "the true continuation" if data["plan"] is None else repr(data["plan"])
    console.out(
        f"{data['count']:,} windows of {data['prompt_tokens']} tokens of the {data['split']} split; "
        f"the plan is {said}, {data['plan_tokens']} tokens; gain over no injection, 95 % intervals; all layers sure"
    )
    for figure in found[0].gains:
        rows = []
        for one in found:
            leads = [str(one.lead(figure, arm)) for arm in ARMS if arm != PLANNED]
            rows.append([f"{one.rate:g}", one.lag, f"{one.alpha:.3g}", str(one.gain(figure, PLANNED)), *leads])
        console.out(f"\n{FIGURES[figure]}")
        console.table(["rate", "lag", "alpha", "plan", *(f"more than {arm}" for arm in ARMS if arm != PLANNED)], rows)
    return "\n".join(_verdict(found, figure) for figure in found[0].gains)


def _verdict(found: "list[Steered]", figure: str) -> str:
    """In which settings the plan did more than every other one, intervals included."""
    from think.core.eval.steering.items import ARMS, PLANNED

    best = [
        f"rate {one.rate:g} lag {one.lag}"
        for one in found
        if one.gain(figure, PLANNED).low > 0 and all(one.lead(figure, arm).low > 0 for arm in ARMS if arm != PLANNED)
    ]
    return f"{figure}: raised, and more than by every other plan, at {', '.join(best) or 'none of these settings'}"
