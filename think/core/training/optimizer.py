"""Optimizers by role: which parameters decay, at what rate, and by which rule.

    role        rule (adamw)   rule (muon)   weight decay              rate
    matrix      AdamW          Muon          weight_decay              peak (muon: x matrix_scale)
    embedding   AdamW          AdamW         embedding_weight_decay    peak
    vector      AdamW          AdamW         none                      peak
    state       AdamW          AdamW         none                      peak
    decay       AdamW          AdamW         none                      peak x recurrent_scale

A parameter's role is what the model says it is, never its number of axes: a low-rank mixing matrix of RWKV-6 has two
axes and is no matrix in this sense. One `Optimizer` steps, schedules and stores both rules.

AdamW: Loshchilov and Hutter 2019, algorithm 2.   Muon: momentum made orthogonal by Newton-Schulz steps (torch.optim).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import Parameter

from think.core.errors import BadData, MachineCannot
from think.core.training.adamw import AdamW
from think.core.training.muon import Muon
from think.presets.base import Settings, knob

Role = Literal["matrix", "embedding", "vector", "state", "decay"]
ROLES: tuple[Role, ...] = ("matrix", "embedding", "vector", "state", "decay")
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Adaptive(Settings):
    """What both optimizers say about the parameters that AdamW moves."""

    kind: str
    weight_decay: NonNegativeFloat = knob(0.1, acts_on="optimizer")
    "decay of matrices per unit of learning rate"
    embedding_weight_decay: NonNegativeFloat = knob(0.0, acts_on="optimizer")
    "decay of embeddings per unit of learning rate"
    recurrent_scale: PositiveFloat = knob(1.0, acts_on="optimizer")
    "learning rate of decay and gate projections of the recurrences, as a multiple of the peak"
    beta1: Share = knob(0.9, acts_on="optimizer")
    "AdamW: share of the running mean of gradients that a step keeps"
    beta2: Share = knob(0.95, acts_on="optimizer")
    "AdamW: share of the running mean of squared gradients that a step keeps"
    epsilon: PositiveFloat = knob(1e-8, acts_on="optimizer")
    "AdamW: added to the root of the squared gradients"
    implementation: Literal["auto", "fused", "plain"] = knob("auto", acts_on="optimizer")
    "AdamW: auto is fused where a trial step shows that this device can"


class AdamWSettings(_Adaptive):
    """AdamW on every parameter."""

    kind: Literal["adamw"] = "adamw"


class MuonSettings(_Adaptive):
    """Muon on matrices, AdamW on the rest."""

    kind: Literal["muon"] = "muon"
    matrix_scale: PositiveFloat = knob(1.0, acts_on="optimizer")
    "learning rate of matrices, as a multiple of the peak"
    momentum: Share = knob(0.95, acts_on="optimizer")
    "Muon: share of the momentum that a step keeps"
    nesterov: bool = knob(True, acts_on="optimizer")
    "Muon: look ahead along the momentum"
    iterations: PositiveInt = knob(5, acts_on="optimizer")
    "Muon: Newton-Schulz iterations"
    adjust: Literal["original", "match_rms_adamw"] = knob("match_rms_adamw", acts_on="optimizer")
    "Muon: how the size of a matrix scales its rate; match_rms_adamw lets it share AdamW's rate"


OptimizerSettings = Annotated[AdamWSettings | MuonSettings, Field(discriminator="kind")]


@dataclass(frozen=True)
class Group:
    """Parameters that are moved alike; `rate` is the learning rate at the top of the schedule."""

    role: Role
    rule: Literal["adamw", "muon"]
    rate: float
    weight_decay: float
    names: tuple[str, ...]


class Optimizer:
    """AdamW, or Muon and AdamW, as one: stepped, scheduled and stored together."""

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        groups: list[Group],
        rules: Mapping[str, torch.optim.Optimizer],
        implementation: str,
    ):
        self.groups, self.implementation = groups, implementation
        self._parameters, self._rules = parameters, rules
        self._options = {group["role"]: group for rule in rules.values() for group in rule.param_groups}
        self._rule_of = {name: rules[group.rule] for group in groups for name in group.names}

    def step(self, factor: float) -> None:
        """Move every parameter along its gradient, at `factor` times its group's rate."""
        for group in self.groups:
            self._options[group.role]["lr"] = group.rate * factor
        for rule in self._rules.values():
            rule.step()

    def zero_grad(self) -> None:
        for rule in self._rules.values():
            rule.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Everything it remembers, flat: `<parameter name>|<what>`. Live tensors, not copies."""
        held = {}
        for name, parameter in self._parameters.items():
            for what, value in self._rule_of[name].state[parameter].items():
                held[f"{name}|{what}"] = value if isinstance(value, Tensor) else torch.tensor(value)
        return held

    def load(self, held: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave. Raises BadData when it belongs to other parameters."""
        unknown = {name.rpartition("|")[0] for name in held} - set(self._parameters)
        if unknown:
            raise BadData(
                f"the stored optimizer remembers {sorted(unknown)[0]!r}, which the model does not have",
                where="checkpoint, optimizer",
                expected="the optimizer state of this model",
            )
        for flat, value in held.items():
            name, _, what = flat.rpartition("|")
            parameter = self._parameters[name]
            # AdamW's step counter lives on the processor unless the fused rule runs, as torch itself places it.
            place = parameter.device if what != "step" or self.implementation == "fused" else torch.device("cpu")
            self._rule_of[name].state[parameter][what] = value.to(place, copy=True)

    def as_json(self) -> dict[str, Any]:
        """Groups with their options and sizes, for the plan."""
        return {
            "implementation": self.implementation,
            "groups": [
                {
                    "role": group.role,
                    "rule": group.rule,
                    "rate": group.rate,
                    "weight_decay": group.weight_decay,
                    "tensors": len(group.names),
                    "parameters": sum(self._parameters[name].numel() for name in group.names),
                }
                for group in self.groups
            ],
        }


def grouped(
    settings: AdamWSettings | MuonSettings, roles: Mapping[str, Role], names: list[str], rate: float
) -> list[Group]:
    """Every trainable parameter in exactly one group; groups without members are left out.

    rate: learning rate at the top of the schedule. Raises ValueError when the roles do not cover the names.
    """
    uncovered = coverage(roles, names)
    if uncovered:
        raise ValueError("; ".join(f"{name}: {problem}" for name, problem in sorted(uncovered.items())))
    muon = settings.kind == "muon"
    nothing = dict.fromkeys(ROLES, 0.0)
    decay = {**nothing, "matrix": settings.weight_decay, "embedding": settings.embedding_weight_decay}
    scale = {**dict.fromkeys(ROLES, 1.0), "decay": settings.recurrent_scale}
    if isinstance(settings, MuonSettings):
        scale["matrix"] = settings.matrix_scale
    return [
        Group(
            role=role,
            rule="muon" if muon and role == "matrix" else "adamw",
            rate=rate * scale[role],
            weight_decay=decay[role],
            names=members,
        )
        for role in ROLES
        if (members := tuple(name for name in names if roles[name] == role))
    ]


def coverage(roles: Mapping[str, Role], trainable: list[str]) -> dict[str, str]:
    """Parameters that are not in exactly one group, with what is wrong; empty when all is well."""
    wrong = {name: "trainable, but in no group" for name in trainable if name not in roles}
    wrong |= {name: "in a group, but not trainable" for name in roles if name not in set(trainable)}
    wrong |= {name: f"unknown role {role!r}" for name, role in roles.items() if role not in ROLES}
    return wrong | {name: "named twice" for name in trainable if trainable.count(name) > 1}


def build_optimizer(
    settings: AdamWSettings | MuonSettings,
    roles: Mapping[str, Role],
    parameters: Mapping[str, Parameter],
    rate: float,
    section: str = "stage1",
) -> Optimizer:
    """The optimizer of these trainable parameters. Raises MachineCannot when a fused AdamW is asked for and absent.

    section: where the settings stand, for the message.
    """
    groups = grouped(settings, roles, list(parameters), rate)
    device = next(iter(parameters.values())).device
    fused = _fused(settings.implementation, device, section)
    rules: dict[str, torch.optim.Optimizer] = {}
    if adaptive := [group for group in groups if group.rule == "adamw"]:
        rules["adamw"] = AdamW(
            [_options(group, parameters) for group in adaptive],
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            fused=fused,
            foreach=None if fused else False,
        )
    orthogonal = [group for group in groups if group.rule == "muon"]
    if isinstance(settings, MuonSettings) and orthogonal:
        rules["muon"] = Muon(
            [_options(group, parameters) for group in orthogonal],
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            ns_steps=settings.iterations,
            adjust_lr_fn=settings.adjust,
        )
    return Optimizer(parameters, groups, rules, "fused" if fused else "plain")


def fused_works(device: torch.device) -> bool:
    """Whether a fused AdamW step runs on this device, found out by taking one."""
    trial = Parameter(torch.zeros(1, device=device))
    trial.grad = torch.ones_like(trial)
    try:
        AdamW([trial], fused=True).step()
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _fused(asked: str, device: torch.device, section: str) -> bool:
    if asked == "plain" or device.type == "meta":
        return False
    works = fused_works(device)
    if asked == "fused" and not works:
        raise MachineCannot(
            f"torch has no fused AdamW for {device.type}",
            where=f"{section}.optimizer.implementation",
            remedy=f"--set {section}.optimizer.implementation=auto, which takes the plain one here",
        )
    return works


def _options(group: Group, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    return {
        "params": [parameters[name] for name in group.names],
        "lr": group.rate,
        "weight_decay": group.weight_decay,
        "role": group.role,
    }
