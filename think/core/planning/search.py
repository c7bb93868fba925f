"""Tree search on many positions at once: the search of `reference.py`, step for step, over tensors.

    root = search(states, world, settings, noise=gumbel_noise(settings, len(states), world.actions, generator))
    root.action                      what to do
    root.policy                      what to train a policy towards
    again = search(states, world, settings, noise=…, tree=root.tree.below(root.action))

B positions   T nodes, in any mixture of positions   A actions
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.errors import BadData, UsageError
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.planning.selection import Bounds, GumbelHalving, Rule
from think.core.planning.tree import NONE, Tree
from think.core.planning.world import Evaluation, World


@dataclass(frozen=True)
class Result:
    """What a search found.

    action      the chosen one
    policy      gumbel: the improved policy, softmax(logits + sigma(completed Q)); puct: the share of visits
    visits      of the root actions, by this search alone
    considered  root actions that sequential halving began with: as many as were asked for, or all legal ones where
                there are fewer; puct: all legal ones
    inherited   nodes that came from an earlier search
    tree        all of it
    """

    action: Int[Tensor, " B"]
    policy: Float[Tensor, "B A"]
    visits: Int[Tensor, "B A"]
    considered: Int[Tensor, " B"]
    inherited: Int[Tensor, " B"]
    tree: Tree

    @property
    def simulations(self) -> Int[Tensor, " B"]:
        """How many this search made."""
        return self.visits.sum(1)

    @property
    def share(self) -> Float[Tensor, "B A"]:
        """The share of them that began with each action."""
        return self.visits / self.simulations.unsqueeze(1)

    @property
    def value(self) -> Float[Tensor, " B"]:
        """The mean of what visits of the root returned, those of an earlier search too if its tree was gone on with."""
        return self.tree.total[:, 0] / self.tree.visits[:, 0]

    @property
    def evaluations(self) -> Int[Tensor, " B"]:
        """Nodes for which this search asked the world what they are worth."""
        tree = self.tree
        own = torch.arange(tree.room, device=self.inherited.device) >= self.inherited.unsqueeze(1)
        return (own & (tree.visits > 0) & ~tree.terminal).sum(1)


def gumbel_noise(
    settings: SearchSettings, positions: int, actions: int, generator: torch.Generator
) -> Float[Tensor, "B A"] | None:
    """Standard Gumbel noise for a search; None when its rule takes none. Drawn on the device of the generator."""
    if not isinstance(settings.rule, Gumbel) or settings.rule.noise == 0:
        return None
    uniform = torch.rand(positions, actions, generator=generator, device=generator.device, dtype=torch.float64)
    return -torch.log(-torch.log(uniform.clamp(min=1e-300))).float()


def search(
    states: Any,
    world: World[Any],
    settings: SearchSettings,
    *,
    noise: Float[Tensor, "B A"] | None = None,
    legal: Bool[Tensor, "B A"] | None = None,
    tree: Tree | None = None,
) -> Result:
    """Search from a batch of states.

    noise: of `gumbel_noise`; must be given when the rule has some, and only then
    legal: actions allowed at the roots, beside what the world's own evaluation allows; below them the world decides
    tree: of `Tree.below`, to go on with; `states` are not looked at then. It is copied and not changed.
    Raises BadSettings, UsageError, and BadData when a position has no legal action or the world gives numbers that are
    not finite.
    """
    settings.check(world.actions)
    with torch.no_grad():
        if tree is None:
            tree = plant(states, world, settings.simulations)
            inherited = torch.zeros_like(tree.used)
        else:
            tree = tree.roomier(settings.simulations)
            inherited = tree.used.clone()
        begin(tree, legal)
        rule = choose_rule(settings, tree, noise)
        before = tree.taken[:, 0].clone()
        while bool((chosen := rule.root(tree)).any()):
            simulate(tree, world, settings, rule, chosen)
        expect_finite(tree)
        action, policy = rule.outcome(tree)
        legal_actions = (tree.logits[:, 0] > -torch.inf).sum(1)
        return Result(
            action=action,
            policy=policy,
            visits=tree.taken[:, 0] - before,
            considered=rule.considered if isinstance(rule, GumbelHalving) else legal_actions,
            inherited=inherited,
            tree=tree,
        )


def plant(states: Any, world: World[Any], simulations: int) -> Tree:
    """Trees of the roots alone."""
    found = world.evaluate(states)
    positions, room = len(found.value), simulations + 1
    if found.logits.shape != (positions, world.actions):
        raise BadData(
            f"the world gives logits of shape {list(found.logits.shape)}", expected=f"{[positions, world.actions]}"
        )
    tree = Tree.empty(positions, room, world.actions, found.value, world.shelf(states, positions * room))
    rows = torch.arange(positions, device=found.value.device)
    tree.shelf.write(rows * room, states)
    tree.logits[:, 0] = allowed(found)
    tree.evaluated[:, 0] = tree.total[:, 0] = found.value
    tree.visits[:, 0] = 1
    tree.used += 1
    return tree


def begin(tree: Tree, legal: Bool[Tensor, "B A"] | None) -> None:
    """Leave the legal actions at the roots. Raises UsageError for a mask of another shape, BadData without actions."""
    if legal is not None:
        expect_shape("legal", legal, tree)
        tree.forbid(legal)
    if bool(tree.closed[:, 0].any()):
        position = int(tree.closed[:, 0].nonzero()[0])
        raise BadData(
            f"position {position} of {tree.positions} has no legal action",
            expected="at least one at every position",
            remedy="leave out positions where the world has ended",
        )


def choose_rule(settings: SearchSettings, tree: Tree, noise: Float[Tensor, "B A"] | None) -> Rule:
    """The rule that the settings name. Raises as `expect_noise` does."""
    expect_noise(settings, tree, noise)
    if isinstance(settings.rule, Gumbel):
        noise = None if noise is None else noise.to(tree.q)
        return GumbelHalving(settings.rule, tree, settings.simulations, noise)
    return Bounds(settings.rule, tree, settings.simulations)


def expect_noise(settings: SearchSettings, tree: Tree, noise: Float[Tensor, "B A"] | None) -> None:
    """Raises UsageError when noise is missing, not wanted, or of another shape."""
    wanted = isinstance(settings.rule, Gumbel) and settings.rule.noise > 0
    if wanted != (noise is not None):
        raise UsageError(
            f"a search by rule {settings.rule.kind!r} " + ("was given no noise" if wanted else "was given noise"),
            expected="Gumbel noise" if wanted else "none, since this rule has none or sets it to 0",
            remedy="pass noise=gumbel_noise(settings, …)",
        )
    if noise is not None:
        expect_shape("noise", noise, tree)


def expect_shape(name: str, given: Tensor, tree: Tree) -> None:
    if given.shape != (tree.positions, tree.actions):
        raise UsageError(f"{name} has shape {list(given.shape)}", expected=f"{[tree.positions, tree.actions]}")


def expect_finite(tree: Tree) -> None:
    """Raises BadData when a value, reward or logit that the world gave is not finite."""
    odd = ~(tree.evaluated.isfinite() & tree.reward.isfinite()) | (
        tree.logits.isnan() | (tree.logits == torch.inf)
    ).any(-1)
    if bool(odd.any()):
        position, node = odd.nonzero()[0].tolist()
        raise BadData(
            f"the world model gave a number that is not finite, at position {position} after actions "
            f"{list(tree.path(position, node))}",
            expected="finite values, rewards and logits",
            remedy="train the world model with a smaller learning rate, or take an earlier checkpoint",
        )


# ---- one simulation of each chosen action ----------------------------------------------------------------------------


def simulate(tree: Tree, world: World[Any], settings: SearchSettings, rule: Rule, chosen: Bool[Tensor, "B A"]) -> None:
    """Follow each chosen root action to an action not tried before, or to where the tree ends, and return the value."""
    position, action = chosen.nonzero(as_tuple=True)
    parent, action = descend(tree, settings, rule, position, action)
    node = tree.child[position, parent, action]
    new = (node == NONE).nonzero().squeeze(1)
    node[new] = expand(tree, world, position[new], parent[new], action[new])
    back_up(tree, settings, position, node)


def descend(
    tree: Tree, settings: SearchSettings, rule: Rule, position: Int[Tensor, " T"], action: Int[Tensor, " T"]
) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"]]:
    """The last node and action of each walk, beginning with an action of the root."""
    parent, action = torch.zeros_like(position), action.clone()
    walking, depth = torch.arange(len(position), device=position.device), 1
    while depth != settings.depth:
        node = tree.child[position[walking], parent[walking], action[walking]]
        on = (node != NONE) & (tree.logits[position[walking], node] > -torch.inf).any(-1)
        walking, node = walking[on], node[on]
        if not len(walking):
            break
        parent[walking], action[walking] = node, rule.below(tree, position[walking], node)
        depth += 1
    return parent, action


def expand(
    tree: Tree,
    world: World[Any],
    position: Int[Tensor, " T"],
    parent: Int[Tensor, " T"],
    action: Int[Tensor, " T"],
) -> Int[Tensor, " T"]:
    """Step from nodes by actions not tried before, evaluate where that leads, and give the new nodes' numbers."""
    if not len(position):
        return position
    step = world.step(tree.shelf.read(tree.places(position, parent)), action)
    count = torch.bincount(position, minlength=tree.positions)
    first = count.cumsum(0) - count
    node = tree.used[position] + torch.arange(len(position), device=position.device) - first[position]
    tree.used += count
    tree.shelf.write(tree.places(position, node), step.states)
    tree.child[position, parent, action] = node
    tree.parent[position, node], tree.action[position, node] = parent, action
    tree.reward[position, node], tree.terminal[position, node] = step.reward, step.terminal
    going = (~step.terminal).nonzero().squeeze(1)
    if len(going):
        rows, open_nodes = position[going], node[going]
        found = world.evaluate(tree.shelf.read(tree.places(rows, open_nodes)))
        tree.logits[rows, open_nodes] = allowed(found)
        tree.evaluated[rows, open_nodes] = found.value
    return node


def allowed(found: Evaluation) -> Float[Tensor, "T A"]:
    """Logits of the legal actions, -inf for the others."""
    return found.logits if found.legal is None else found.logits.masked_fill(~found.legal, -torch.inf)


def back_up(tree: Tree, settings: SearchSettings, position: Int[Tensor, " T"], node: Int[Tensor, " T"]) -> None:
    """Add what the last nodes return to all nodes on the way back to the root."""
    returned = tree.evaluated[position, node]
    tree.visits[position, node] += 1
    tree.total[position, node] += returned
    while len(position):
        parent, action = tree.parent[position, node], tree.action[position, node]
        reward = tree.reward[position, node]
        returned = reward + settings.discount * returned
        tree.taken[position, parent, action] += 1
        tree.q[position, parent, action] = reward + settings.discount * (
            tree.total[position, node] / tree.visits[position, node]
        )
        one = torch.ones_like(parent, dtype=tree.visits.dtype)
        tree.visits.index_put_((position, parent), one, accumulate=True)  # walks of a position meet at its root
        tree.total.index_put_((position, parent), returned, accumulate=True)
        on = parent > 0
        position, node, returned = position[on], parent[on], returned[on]
