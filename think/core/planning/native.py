"""Search over a GRU world in one native call: the same trees as `search.py`, many times as fast.

B positions   H width of a state   A actions
"""

from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from think.core.errors import MachineCannot, UsageError
from think.core.planning.gru import GruWorld
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.planning.search import Result, begin, expect_finite, expect_noise, expect_shape
from think.core.planning.search import search as search_in_torch
from think.core.planning.selection import schedule_table
from think.core.planning.shelf import Tensors
from think.core.planning.tree import NONE, Tree
from think.kernels.search import Problem, Rule, Trees, Weights, lacking, run
from think.kernels.search.native import NO_LIMIT

AUTO, NATIVE, TORCH = "auto", "native", "torch"
IMPLEMENTATIONS = (AUTO, NATIVE, TORCH)


def search(
    states: Float[Tensor, "B H"],
    world: GruWorld,
    settings: SearchSettings,
    *,
    noise: Float[Tensor, "B A"] | None = None,
    legal: Bool[Tensor, "B A"] | None = None,
    tree: Tree | None = None,
    implementation: str = AUTO,
) -> Result:
    """Search from a batch of states; arguments and errors as those of `search.search`.

    implementation: "native" for float32 on the processor, "torch" anywhere, "auto" the first of them that can.
    Raises MachineCannot when native is asked for and cannot run, UsageError for an unknown implementation.
    """
    if resolve(states, implementation) == TORCH:
        return search_in_torch(states, world.world(), settings, noise=noise, legal=legal, tree=tree)
    settings.check(world.actions)
    with torch.no_grad():
        return _search(states, world, settings, noise, legal, tree)


def resolve(states: Tensor, implementation: str = AUTO) -> str:
    """What searches these states: "native" or "torch"."""
    if implementation not in IMPLEMENTATIONS:
        raise UsageError(
            f"there is no implementation {implementation!r} of a search", expected=", ".join(IMPLEMENTATIONS)
        )
    reason = lacking()
    if states.device.type != "cpu" or states.dtype != torch.float32:
        reason = f"it takes float32 on the processor, not {str(states.dtype)[6:]} on {states.device.type}"
    if implementation == NATIVE and reason is not None:
        raise MachineCannot(f"the native search cannot run here: {reason}", remedy="take implementation=auto or torch")
    return TORCH if implementation == TORCH or reason is not None else NATIVE


def _search(
    states: Tensor,
    world: GruWorld,
    settings: SearchSettings,
    noise: Tensor | None,
    legal: Tensor | None,
    tree: Tree | None,
) -> Result:
    old = 0 if tree is None else tree.room
    positions, places = states.shape[0] if tree is None else tree.positions, old + settings.simulations + (tree is None)
    trees = Trees.room(positions, places, world.actions, world.width)
    found = _view(trees, world.actions)
    expect_noise(settings, found, noise)
    if noise is not None and isinstance(settings.rule, Gumbel):
        noise = (noise if settings.rule.noise == 1 else settings.rule.noise * noise).float().contiguous()
    if tree is None:
        if legal is not None:
            expect_shape("legal", legal, found)
            legal = legal.contiguous()
        trees.states[:, 0] = states
        inherited = torch.zeros_like(trees.used)
    else:
        _copy(tree, trees)
        begin(found, legal)
        inherited = trees.used.clone()
    weights, rule = packed(world), rule_of(settings)
    run(trees, weights, rule, settings.simulations, fresh=tree is None, noise=noise, legal=legal)
    if any(problems := trees.problem.tolist()):
        if Problem.NO_LEGAL_ACTION in problems:
            begin(found, None)
        expect_finite(found)
    return Result(
        action=trees.chosen,
        policy=_without_padding(trees.policy, world.actions),
        visits=_without_padding(trees.made, world.actions),
        considered=trees.began_with,
        inherited=inherited,
        tree=found,
    )


def _view(trees: Trees, actions: int) -> Tree:
    """The same memory as a tree."""
    return Tree(
        parent=trees.parent,
        action=trees.action,
        visits=trees.visits,
        total=trees.total,
        evaluated=trees.evaluated,
        reward=trees.reward,
        terminal=trees.terminal,
        logits=_without_padding(trees.logits, actions),
        child=_without_padding(trees.child, actions),
        taken=_without_padding(trees.taken, actions),
        q=_without_padding(trees.q, actions),
        used=trees.used,
        shelf=Tensors(trees.states.view(-1, trees.states.shape[2])),
    )


def _without_padding(values: Tensor, actions: int) -> Tensor:
    return values if values.shape[-1] == actions else values[..., :actions]


def _copy(tree: Tree, into: Trees) -> None:
    """Put a tree into the first places."""
    old, actions = tree.room, tree.actions
    into.used.copy_(tree.used)
    for name in ("parent", "action", "visits", "total", "evaluated", "reward", "terminal"):
        getattr(into, name)[:, :old] = getattr(tree, name)
    for name, nothing in (("logits", -torch.inf), ("child", NONE), ("taken", 0), ("q", 0.0)):
        getattr(into, name)[:, :old, :actions] = getattr(tree, name)
        getattr(into, name)[:, :old, actions:] = nothing
    into.states[:, :old] = tree.shelf.read(torch.arange(tree.positions * old)).view(tree.positions, old, -1)


# ---- what native code reads ------------------------------------------------------------------------------------------

_PACKED: "WeakKeyDictionary[GruWorld, tuple[list[Tensor], tuple[object, ...], Weights]]" = WeakKeyDictionary()
"Of each world: its parameters, what they were when they were packed, and the packed ones."


def packed(world: GruWorld) -> Weights:
    """The weights as they are now; packed again only when one of them has changed."""
    # `parameters()` takes as long as a search of a few simulations
    layers = [layer._parameters.values() for layer in world._modules.values() if layer is not None]
    parameters: list[Tensor] = [parameter for layer in layers for parameter in layer if parameter is not None]
    now = (world.squash, world.caution, *((id(p), p.data_ptr(), p._version) for p in parameters))
    known = _PACKED.get(world)
    if known is None or known[1] != now:
        known = _PACKED[world] = parameters, now, _pack(world)  # holding them keeps their ids theirs
    return known[2]


def _pack(world: GruWorld) -> Weights:
    cell, further = world.cell, [head for head in (world.reward, world.end) if head is not None]
    heads = [world.policy, world.value, *further]
    return Weights(
        cell.weight_hh,
        cell.bias_hh,
        world.embedding.weight @ cell.weight_ih.T + cell.bias_ih,
        torch.cat([head.weight for head in heads]),
        torch.cat([head.bias for head in heads]),
        values=world.value.out_features,
        reward=world.reward is not None,
        end=world.end is not None,
        squash=world.squash,
        caution=world.caution,
    )


def rule_of(settings: SearchSettings) -> Rule:
    """The settings in the words of native code."""
    rule, depth = settings.rule, NO_LIMIT if settings.depth is None else settings.depth
    if isinstance(rule, Gumbel):
        table = schedule_table(rule.considered, settings.simulations)
        return Rule(table, rule.visit_offset, rule.value_scale, 0.0, 1.0, settings.discount, depth)
    return Rule(None, 0.0, 1.0, rule.exploration, rule.growth, settings.discount, depth)
