"""The plan of a stage that trains a module on what an earlier stage has trained, and how long its steps take.

Memory is that of weights, gradients, optimizer and the backbone that is read; activations are not counted, since what
is computed belongs to the stage.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from think.core import plugins, seeding
from think.core.data.store import Packed
from think.core.derive import FLOAT_BYTES, became, described, memory_of, sizes_by
from think.core.models.count import parameters as parameters_of
from think.core.models.roles import components, roles
from think.core.predecessors import as_planned
from think.core.training.loop import trainable
from think.core.training.optimizer import build_optimizer, fused_works
from think.core.training.stages import FAMILY, Request

TIMED_STEPS = 3
"The first one warms up and is not counted."


@dataclass(frozen=True)
class ModulePlan:
    """What a run will be. Sizes in bytes; `examples` over all steps; `predecessor`: the weights that it stands on."""

    stage: str
    steps: int
    rows: int
    examples: int
    parameters: int
    parameters_by_role: dict[str, int]
    parameters_by_component: dict[str, int]
    memory: dict[str, int]
    optimizer: dict[str, Any]
    machine: dict[str, Any]
    became: dict[str, Any]
    data: dict[str, Any]
    digests: dict[str, str]
    predecessor: dict[str, Any]

    @property
    def amount(self) -> str:
        return f"{self.examples:,} examples"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def derive_module(stage: str, request: Request[Any], packed: Packed) -> ModulePlan:
    """The plan of a stage whose request names its predecessor. Allocates next to nothing."""
    settings, machine = request.settings, request.machine
    made_by = plugins.load(FAMILY, stage)
    assert request.predecessor is not None, "a stage after the first stands on something"
    with seeding.untouched(), torch.device("meta"):
        module = made_by.module(request)
    parameters = trainable(module)
    own_roles = {name: role for name, role in roles(module).items() if name in parameters}
    optimizer = build_optimizer(settings.optimizer, own_roles, parameters, settings.learning_rate, stage).as_json()
    fused = settings.optimizer.implementation != "plain" and fused_works(machine.torch_device)
    optimizer["implementation"] = "fused" if fused else "plain"
    memory = {**memory_of(optimizer), "backbone": parameters_of(request.model) * FLOAT_BYTES}
    return ModulePlan(
        stage=stage,
        steps=settings.steps,
        rows=settings.rows,
        examples=settings.steps * settings.rows,
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        parameters_by_role=sizes_by(parameters, own_roles),
        parameters_by_component=sizes_by(parameters, components(module)),
        memory={**memory, "total": sum(memory.values())},
        optimizer=optimizer,
        machine=machine.as_json(),
        became={**became(machine), f"{stage}.optimizer.implementation": optimizer["implementation"]},
        data=described(packed),
        digests=request.digests,
        predecessor=as_planned(request.predecessor),
    )


def step_seconds(stage: str, request: Request[Any], packed: Packed) -> tuple[float, float]:
    """The quickest and the slowest of a few real steps, forward and backward, which leave nothing behind."""
    with seeding.untouched():
        seeding.start(request.settings.seed, stage, "initialisation")
        work = plugins.load(FAMILY, stage).make(request, request.group, packed)
        work.ready()
        progress, seconds = work.begin(), []
        for step in range(1, TIMED_STEPS + 1):
            began = time.perf_counter()
            progress = work.take(step, progress, looks=False).progress
            seconds.append(time.perf_counter() - began)
    return min(seconds[1:]), max(seconds[1:])
