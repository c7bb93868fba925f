"""What `think train --dry-run` shows: parameters, tokens, operations, memory and time of a run that is not started."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from think.cli.console import console
from think.core import plugins

STAGES = "think.core.training.stages"

if TYPE_CHECKING:
    from think.core.derive import Plan, RunPlan
    from think.core.estimate import Estimate
    from think.core.training.stages import Request


def show(stage: str, request: "Request[Any]", plan: "Plan") -> None:
    """Estimate the time of the plan, and print it all."""
    from think.core.derive import RunPlan
    from think.core.device import prepare
    from think.core.estimate import estimate

    prepare(request.machine)
    if not isinstance(plan, RunPlan):
        _show_module(stage, request, plan)
        return
    found = estimate(plan, request.settings, request.model, request.machine)
    data = {**plan.as_json(), "seconds": found.likely, "seconds_least": found.least, "seconds_most": found.most}
    console.result("think.train-plan/1", data, lambda: _text(plan, found))


def warn_of_emulation(request: "Request[Any]") -> None:
    """bfloat16 that the processor has to emulate costs time and accuracy for nothing; that is the user's to decide."""
    from think.core.training.language import LanguageSettings

    if not isinstance(request.settings, LanguageSettings):
        return
    if request.settings.precision != "bfloat16" or request.machine.torch_device.type != "cpu":
        return
    from think.core.device import narrow_gain

    gain = narrow_gain(request.machine)
    if gain < 1:
        console.warn(
            f"matrix products in bfloat16 take {1 / gain:.1f} times as long as in float32 on this processor, which "
            "seems to emulate it; --set stage1.precision=float32 is faster here"
        )


def _show_module(stage: str, request: "Request[Any]", plan: "Plan") -> None:
    from think.cli.progress import duration
    from think.core.derive_module import ModulePlan, step_seconds

    assert isinstance(plan, ModulePlan)
    packed = plugins.load(STAGES, stage).check(request)
    least, most = (plan.steps * seconds for seconds in step_seconds(stage, request, packed))
    data = {**plan.as_json(), "seconds_least": least, "seconds_most": most}
    stands_on = plan.predecessor
    lines = [
        f"parameters   {plan.parameters:,} ({_listed(plan.parameters_by_role)})",
        f"examples     {plan.examples:,} in {plan.steps:,} steps of {plan.rows} rows",
        f"memory       about {_megabytes(plan.memory['total'])} without activations ({_memory(plan.memory)})",
        f"time         {duration(least)} to {duration(most)} for steps, without evaluations, "
        f"on {plan.machine['device']}, {plan.machine['threads']} threads",
        f"stands on    {stands_on['run']}, {stands_on['stage']} at step {stands_on['step']:,}, "
        f"weights {stands_on['sha256'][:16]}…",
        *(f"auto         {key} = {value}" for key, value in plan.became.items()),
    ]
    console.result("think.train-plan/1", data, "\n".join(lines))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _listed(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in parts.items())


def _memory(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {_megabytes(size)}" for name, size in parts.items() if name != "total")


def _text(plan: "RunPlan", time: "Estimate") -> str:
    from think.cli.progress import duration

    lengths = " then ".join(map(str, plan.lengths))
    return "\n".join(
        [
            f"parameters   {plan.parameters:,} ({_listed(plan.parameters_by_component)})",
            f"tokens       {plan.tokens:,} in {plan.steps:,} steps of {plan.rows} rows x {lengths}; "
            f"{plan.epochs:.2f} epochs",
            f"compute      {plan.flops_per_token:,} operations per token, {plan.flops:.3g} in all",
            f"memory       about {_megabytes(plan.memory['total'])} ({_memory(plan.memory)})",
            f"time         about {duration(time.likely)} ({duration(time.least)} to {duration(time.most)}), steps and "
            f"evaluations, on {plan.machine['device']}, {plan.machine['threads']} threads",
            f"data         {plan.data['path']}: {plan.data['train_tokens']:,} tokens to train on, "
            f"{plan.data['validation_tokens']:,} held out, "
            f"{plan.data['tokenizer']} tokenizer of {plan.data['tokenizer_size']}",
            *(f"auto         {key} = {value}" for key, value in plan.became.items()),
        ]
    )
