"""Everything that follows from settings and data before the first step: the plan of a run, kept as plan.json.

Memory is an estimate: weights, gradients, what the optimizer remembers, and the tensors that one micro-batch keeps for
its backward pass. The last are counted, not guessed: a forward pass runs, and every storage that is saved is measured
once. A small pass runs on numbers, a large one on shapes without numbers, whose machinery takes long to import.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from think.core import seeding
from think.core.data.store import Packed
from think.core.device import Machine, memory_bytes
from think.core.errors import MachineCannot
from think.core.models.count import flops_per_token, shapes
from think.core.models.thinking import Settings as ModelSettings
from think.core.models.thinking import Thinking, build
from think.core.training.language import LanguageSettings
from think.core.training.loop import trainable
from think.core.training.losses import language_loss
from think.core.training.optimizer import build_optimizer, fused_works

FLOAT_BYTES = 4

QUICK_PASS = 1e10
"Floating point operations of forward passes that are run on numbers to count what they keep: a fraction of a second."
QUICK_TOKENS = 16_384
"Tokens of such passes, which bounds their memory where the model is tiny."


class Plan(Protocol):
    """What the plan of any stage tells. amount: what it reads over all steps, in words; memory: bytes, and `total`."""

    @property
    def steps(self) -> int: ...
    @property
    def parameters(self) -> int: ...
    @property
    def memory(self) -> dict[str, int]: ...
    @property
    def amount(self) -> str: ...
    def as_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class RunPlan:
    """What a run will be. Sizes in bytes, `tokens` over all steps, `flops_per_token` forward and backward.

    memory is that of one process; all else is of the run, however many processes it has.
    """

    stage: str
    steps: int
    rows: int
    lengths: list[int]
    tokens: int
    epochs: float
    parameters: int
    parameters_by_role: dict[str, int]
    parameters_by_component: dict[str, int]
    flops_per_token: int
    flops: float
    memory: dict[str, int]
    optimizer: dict[str, Any]
    machine: dict[str, Any]
    became: dict[str, Any]
    data: dict[str, Any]
    digests: dict[str, str]

    @property
    def amount(self) -> str:
        return f"{self.tokens:,} tokens"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def derive(
    stage: str,
    settings: LanguageSettings,
    model: ModelSettings,
    packed: Packed,
    machine: Machine,
    digests: dict[str, str],
) -> RunPlan:
    """The plan of one stage. Allocates next to nothing, whatever the model's size."""
    clock, sizes = settings.clock(), shapes(model)
    parameters, roles, components = trainable(sizes), sizes.roles(), sizes.components()
    optimizer = build_optimizer(settings.optimizer, roles, parameters, settings.learning_rate).as_json()
    fused = settings.optimizer.implementation != "plain" and fused_works(machine.torch_device)
    optimizer["implementation"] = "fused" if fused else "plain"
    tokens = settings.rows * clock.tokens_per_row
    train = packed.manifest.splits["train"]
    per_token = flops_per_token(model, settings.longest, sizes)
    return RunPlan(
        stage=stage,
        steps=settings.steps,
        rows=settings.rows,
        lengths=list(dict.fromkeys(span.length for span in clock.spans)),
        tokens=tokens,
        epochs=tokens / train.tokens,
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        parameters_by_role=sizes_by(parameters, roles),
        parameters_by_component=sizes_by(parameters, components),
        flops_per_token=per_token,
        flops=float(per_token) * tokens,
        memory=_memory(settings, model, optimizer, machine, per_token),
        optimizer=optimizer,
        machine=machine.as_json(),
        became={**became(machine), f"{stage}.optimizer.implementation": optimizer["implementation"]},
        data=described(packed),
        digests=digests,
    )


def became(machine: Machine) -> dict[str, Any]:
    """What every "auto" about the machine was resolved to."""
    return {
        "runtime.device": machine.device,
        "runtime.threads": machine.threads,
        "runtime.kernels": ", ".join(f"{operator} {name}" for operator, name in machine.kernels_became.items()),
        **({} if machine.parallel is None else {"runtime.parallel": str(machine.parallel)}),
    }


def described(packed: Packed) -> dict[str, Any]:
    """The data of a run, in numbers."""
    train = packed.manifest.splits["train"]
    return {
        "path": str(packed.path),
        "train_tokens": train.tokens,
        "train_documents": train.documents,
        "validation_tokens": packed.manifest.splits["validation"].tokens,
        "tokenizer": packed.manifest.tokenizer.kind,
        "tokenizer_size": packed.manifest.tokenizer.size,
    }


def memory_of(optimizer: dict[str, Any]) -> dict[str, int]:
    """Bytes of weights, gradients, and what the optimizer remembers of them; from its description."""
    weights = sum(group["parameters"] for group in optimizer["groups"]) * FLOAT_BYTES
    moments = sum(
        group["parameters"] * FLOAT_BYTES * (1 if group["rule"] == "muon" else 2) for group in optimizer["groups"]
    )
    return {"weights": weights, "gradients": weights, "optimizer": moments}


def require_memory(plan: Plan, machine: Machine) -> None:
    """Raises MachineCannot when the plan needs more memory than the device has; nothing has been allocated by then."""
    held = memory_bytes(machine)
    # processes on the processor share its memory; each accelerator has its own
    together = machine.parallel.on_this_host if machine.parallel and machine.torch_device.type == "cpu" else 1
    needed = plan.memory["total"] * together
    if needed > held:
        whose = "this run needs" if together == 1 else f"{together} processes of this run need"
        raise MachineCannot(
            f"{whose} about {needed / 1e9:,.1f} GB of memory, {machine.device} has {held / 1e9:,.1f} GB",
            expected="weights, gradients, optimizer and the activations of one micro-batch within memory",
            remedy="a smaller model, fewer rows, a shorter length or more micro-batches; --dry-run shows each part",
        )


def language_loss_of(network: Thinking, tokens: Tensor) -> Tensor:
    """The objective of a training pass on these tokens, each of which is its own target; for sizes and times only."""
    hidden, _ = network.hidden(tokens)
    weights, scored = torch.ones_like(tokens, dtype=torch.float32), float(tokens.numel())
    return language_loss(network, hidden, tokens, weights, total_weight=scored, entropy_bonus=0.0).objective


def _memory(
    settings: LanguageSettings, model: ModelSettings, optimizer: dict[str, Any], machine: Machine, flops_per_token: int
) -> dict[str, int]:
    holders = machine.processes if machine.parallel is not None and machine.parallel.kind == "fsdp" else 1
    rows = max(settings.rows // settings.micro_batches // machine.processes, 1)
    found = {
        **{part: -(-size // holders) for part, size in memory_of(optimizer).items()},
        "activations": _activations(model, rows, settings.longest, flops_per_token),
    }
    return {**found, "total": sum(found.values())}


def _activations(model: ModelSettings, rows: int, length: int, flops_per_token: int) -> int:
    """Bytes that the forward pass of one micro-batch keeps for the backward pass.

    Rows do not know of each other, so what they keep grows by the same for each: passes of one and of two rows say all.
    """
    tokens = 3 * length
    if tokens > QUICK_TOKENS or tokens * flops_per_token / 3 > QUICK_PASS:
        return _saved_bytes(model, rows, length, on_numbers=False)
    one, two = (_saved_bytes(model, count, length, on_numbers=True) for count in (1, 2))
    return one + (rows - 1) * (two - one)


def _saved_bytes(model: ModelSettings, rows: int, length: int, *, on_numbers: bool) -> int:
    """The same for a forward pass that is run, each storage counted once.

    on_numbers: run it as training does; else on shapes, which costs no memory and gives the same count.
    """
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []  # alive, so that no storage is reused and counted for another

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        kept.append(tensor)
        return tensor

    with _as_training_runs() if on_numbers else _shapes_only():
        network = build(model)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            kept.append(language_loss_of(network, torch.zeros(rows, length, dtype=torch.long)))
    for parameter in network.parameters():
        sizes.pop(parameter.untyped_storage()._cdata, None)
    return sum(sizes.values())


@contextmanager
def _as_training_runs() -> Iterator[None]:
    with seeding.untouched():
        yield


@contextmanager
def _shapes_only() -> Iterator[None]:
    """Tensors are shapes without numbers inside, and go through the kernels that will really run."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        yield


def sizes_by(parameters: Mapping[str, torch.nn.Parameter], labels: Mapping[str, Any]) -> dict[str, int]:
    """Parameters by role, component or whatever else they are labelled with."""
    counts: Counter[str] = Counter()
    for name, parameter in parameters.items():
        counts[labels[name]] += parameter.numel()
    return dict(sorted(counts.items()))
