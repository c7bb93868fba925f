"""What `think train --dry-run` shows: parameters, tokens, operations, memory and time of a run that is not started."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from think.cli.console import console

if TYPE_CHECKING:
    from think.core.derive import RunPlan
    from think.core.estimate import Estimate
    from think.core.training.stages import Request


def show(request: "Request", plan: "RunPlan") -> None:
    """Estimate the time of the plan, and print it all."""
    from think.core.device import prepare
    from think.core.estimate import estimate

    prepare(request.machine)
    found = estimate(plan, request.settings, request.model, request.machine)
    data = {**plan.as_json(), "seconds": found.likely, "seconds_least": found.least, "seconds_most": found.most}
    console.result("think.train-plan/1", data, lambda: _text(plan, found))


def warn_of_emulation(request: "Request") -> None:
    """bfloat16 that the processor has to emulate costs time and accuracy for nothing; that is the user's to decide."""
    if request.settings.precision != "bfloat16" or request.machine.torch_device.type != "cpu":
        return
    from think.core.device import narrow_gain

    gain = narrow_gain(request.machine)
    if gain < 1:
        console.warn(
            f"matrix products in bfloat16 take {1 / gain:.1f} times as long as in float32 on this processor, which "
            "seems to emulate it; --set stage1.precision=float32 is faster here"
        )


def _text(plan: "RunPlan", time: "Estimate") -> str:
    from think.cli.progress import duration

    def megabytes(count: int) -> str:
        return f"{count / 1e6:,.1f} MB"

    def listed(parts: Mapping[str, int]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in parts.items())

    memory = ", ".join(f"{name} {megabytes(size)}" for name, size in plan.memory.items() if name != "total")
    lengths = " then ".join(map(str, plan.lengths))
    return "\n".join(
        [
            f"parameters   {plan.parameters:,} ({listed(plan.parameters_by_component)})",
            f"tokens       {plan.tokens:,} in {plan.steps:,} steps of {plan.rows} rows x {lengths}; "
            f"{plan.epochs:.2f} epochs",
            f"compute      {plan.flops_per_token:,} operations per token, {plan.flops:.3g} in all",
            f"memory       about {megabytes(plan.memory['total'])} ({memory})",
            f"time         about {duration(time.likely)} ({duration(time.least)} to {duration(time.most)}), steps and "
            f"evaluations, on {plan.machine['device']}, {plan.machine['threads']} threads",
            f"data         {plan.data['path']}: {plan.data['train_tokens']:,} tokens to train on, "
            f"{plan.data['validation_tokens']:,} held out, "
            f"{plan.data['tokenizer']} tokenizer of {plan.data['tokenizer_size']}",
            *(f"auto         {key} = {value}" for key, value in plan.became.items()),
        ]
    )
