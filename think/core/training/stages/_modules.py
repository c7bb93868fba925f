"""A stage that trains a module on what an earlier stage has trained: everything but the module and its objective."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from think.core.data.store import Packed
from think.core.errors import BadSettings
from think.core.models import build
from think.core.models.thinking import Thinking
from think.core.processes import Group
from think.core.training.modules import ModuleSettings, ModuleWork, Objective
from think.core.training.predecessor import Predecessor
from think.core.training.stages import Request, Stage
from think.core.training.stages._conduct import Conduct, open_data
from think.core.training.weights import load_weights

Module = Callable[[Request[Any]], nn.Module]
Teach = Callable[[Request[Any], Packed, Any], Objective]


def module_stage(
    name: str,
    settings: type[ModuleSettings],
    module: Module,
    teach: Teach,
    *,
    after: str,
    tiny: Mapping[str, Any],
    kinds: Mapping[str, Mapping[str, Any]] | None = None,
    crossings: Mapping[str, Mapping[str, Any]] | None = None,
    others: Mapping[str, Sequence[Any]] | None = None,
) -> Stage:
    """The `SPEC` of such a stage.

    name: of the file.   module: builds what is trained, also without numbers, for its size; touches no files.
    teach: the objective of this very module.   after: the stage that it stands on.
    tiny, kinds, crossings, others: for the test that every setting has an effect, as `Stage` says.
    """

    def check(request: Request[Any], *, every_byte: bool = False) -> Packed:
        packed = open_data(request)
        _refuse_machine(request, name)
        if every_byte:
            packed.verify()
        return packed

    def make(request: Request[Any], group: Group, packed: Packed) -> ModuleWork:
        with torch.device(request.machine.torch_device):
            fresh = module(request)
        return ModuleWork(teach(request, packed, fresh), request.settings)

    return Stage(
        settings,
        Conduct(name, check, make),
        check,
        make,
        after,
        module,
        tiny,
        kinds or {},
        crossings or {},
        others or {},
    )


def predecessor(request: Request[Any], stage: str) -> Predecessor:
    """The run of an earlier stage that this request stands on."""
    if request.predecessor is None:
        raise LookupError("the request names no predecessor")
    return request.predecessor.of(stage)


def backbone(request: Request[Any]) -> Thinking:
    """The model of stage 1 that the request stands on: on the machine's device, frozen, nothing dropped out."""
    found = predecessor(request, "stage1")
    with torch.device(request.machine.torch_device):
        model = build(request.model)
    load_weights(model, found.weights(), str(found.path))
    model.use_kernels(request.machine.kernels)
    return model.requires_grad_(False).eval()


def _refuse_machine(request: Request[Any], name: str) -> None:
    """What only the training of a backbone can do must be said so, not passed over."""
    if request.machine.processes > 1:
        raise BadSettings(
            f"{name} is trained by one process, and {request.machine.processes} were started",
            where="torchrun",
            expected="one process",
            remedy=f"start it without torchrun: think train {name} --preset {request.preset}",
        )
    if request.machine.compile is not None:
        raise BadSettings(
            f"{name} is not compiled",
            where="runtime.compile",
            expected='"none"',
            remedy="--set runtime.compile=none",
        )
