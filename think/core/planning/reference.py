"""Tree search on one position, over a dictionary: what the fast searches must equal.

A node is the path of actions that leads to it from the root. N visits, of which the first is its own evaluation;
V the mean of what its visits returned; v the value that the world model gives it; pi its prior.

    Q(a) = r + discount V(child)                        r reward of the step; nothing follows a terminal node
    v_mix = (v + n sum_visited pi Q / sum_visited pi) / (1 + n)             n = sum_a N(a)          [1, appendix D]
    completed Q: Q where N(a) > 0, else v_mix; scaled to [0, 1] over the legal actions
    sigma(q) = (c_visit + max_a N(a)) c_scale q
    improved policy = softmax(logits + sigma(completed Q))
    gumbel, root: of the actions with as many visits as `schedule` says, argmax g + logits + sigma(completed Q)
    gumbel, below: argmax improved policy - N(a) / (1 + n)                                          [1, section 5]
    puct: argmax Qn + pi sqrt(N) / (1 + N(a)) (c1 + ln((N + c2 + 1) / c2))                          [2, appendix B]
          Qn = Q scaled to [0, 1] over V and the Q of visited actions; 0 where N(a) = 0

[1] Danihelka et al. 2022, Policy improvement by planning with Gumbel    [2] Schrittwieser et al. 2020, MuZero
The actions of the first pass of sequential halving are taken at once, by the scores at its beginning. Of equal scores
the first wins. An action that is not legal is no action: it has no prior and no value, at the root and below.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from think.core.errors import BadData
from think.core.planning.rules import Gumbel, Puct, SearchSettings
from think.core.planning.schedule import passes

S = TypeVar("S")
Path = tuple[int, ...]
Scores = dict[int, float]
LEAST = 1e-8
"The least range of values that is scaled to [0, 1]; values closer than this count as equal."
LEAST_PRIOR = 1e-30
"The least weight of a visited action in v_mix."


@dataclass(frozen=True)
class World(Generic[S]):
    """step: state, action -> state, reward of the step, terminal; evaluate: state -> logits, value, legal."""

    step: Callable[[S, int], tuple[S, float, bool]]
    evaluate: Callable[[S], tuple[Sequence[float], float, Sequence[bool]]]


@dataclass
class Node(Generic[S]):
    """reward: of the step that led here; logits: of legal actions, none at a terminal node; total: sum of returns."""

    state: S
    reward: float
    terminal: bool
    logits: Scores
    evaluated: float
    visits: int = 1
    total: float = 0.0

    @property
    def value(self) -> float:
        return self.total / self.visits


Tree = dict[Path, Node[S]]


@dataclass(frozen=True)
class Outcome(Generic[S]):
    """action: the chosen one; policy, visits: of every legal action at the root, visits those of this search alone."""

    action: int
    policy: Scores
    visits: dict[int, int]
    value: float
    tree: Tree[S]


def search(
    state: S, world: World[S], settings: SearchSettings, noise: Sequence[float] = (), tree: Tree[S] | None = None
) -> Outcome[S]:
    """Search from a state. noise: one Gumbel number an action, none for no noise; tree: from `below`, to go on with it.

    Raises BadData when the root has no legal action.
    """
    tree = {(): visit_first(world, state, 0.0, False)} if tree is None else dict(tree)
    if not tree[()].logits:
        raise BadData("the position has no legal action", expected="at least one", remedy="do not search where it ends")
    before = {action: visits(tree, (), action) for action in tree[()].logits}
    if isinstance(settings.rule, Gumbel):
        return _gumbel(tree, world, settings, settings.rule, before, noise)
    return _puct(tree, world, settings, settings.rule, before)


def below(tree: Tree[S], action: int) -> Tree[S]:
    """The part of a tree under a root action, to be the tree of the next search."""
    return {path[1:]: node for path, node in tree.items() if path[:1] == (action,)}


# ---- rules -----------------------------------------------------------------------------------------------------------


def _gumbel(
    tree: Tree[S],
    world: World[S],
    settings: SearchSettings,
    rule: Gumbel,
    before: dict[int, int],
    noise: Sequence[float],
) -> Outcome[S]:
    root = tree[()]
    sampled = {a: logit + (rule.noise * noise[a] if noise else 0.0) for a, logit in root.logits.items()}

    def new(action: int) -> int:
        return visits(tree, (), action) - before[action]

    def scores() -> Scores:
        return add(sampled, sigma(tree, (), settings, rule))

    def below_root(path: Path) -> int:
        return improved_choice(tree, path, settings, rule)

    for index, (seen, count) in enumerate(passes(min(rule.considered, len(sampled)), settings.simulations)):
        if index == 0:
            first = scores()
            for action in sorted(first, key=lambda a: -first[a])[:count]:
                simulate(tree, world, settings, action, below_root)
        else:
            for _ in range(count):
                candidates = {a: score for a, score in scores().items() if new(a) == seen}
                simulate(tree, world, settings, best(candidates), below_root)
    most = max(new(action) for action in sampled)
    action = best({a: score for a, score in scores().items() if new(a) == most})
    policy = softmax(add(root.logits, sigma(tree, (), settings, rule)))
    return Outcome(action, policy, {a: new(a) for a in sampled}, root.value, tree)


def _puct(tree: Tree[S], world: World[S], settings: SearchSettings, rule: Puct, before: dict[int, int]) -> Outcome[S]:
    def choose(path: Path) -> int:
        return bound_choice(tree, path, settings, rule)

    for _ in range(settings.simulations):
        simulate(tree, world, settings, choose(()), choose)
    new = {action: visits(tree, (), action) - count for action, count in before.items()}
    most = max(new.values())
    q = values(tree, (), settings.discount)
    action = best({a: q[a] for a, count in new.items() if count == most})
    return Outcome(action, {a: n / settings.simulations for a, n in new.items()}, new, tree[()].value, tree)


def improved_choice(tree: Tree[S], path: Path, settings: SearchSettings, rule: Gumbel) -> int:
    """The action whose visits fall furthest behind the improved policy."""
    logits = tree[path].logits
    policy = softmax(add(logits, sigma(tree, path, settings, rule)))
    whole = 1 + sum(visits(tree, path, a) for a in logits)
    return best({a: policy[a] - visits(tree, path, a) / whole for a in logits})


def bound_choice(tree: Tree[S], path: Path, settings: SearchSettings, rule: Puct) -> int:
    """The action of the highest upper bound."""
    node = tree[path]
    q, prior = values(tree, path, settings.discount), softmax(node.logits)
    least, most = min([node.value, *q.values()]), max([node.value, *q.values()])
    weight = rule.exploration + math.log((node.visits + rule.growth + 1) / rule.growth)
    scores = {a: prior[a] * math.sqrt(node.visits) / (1 + visits(tree, path, a)) * weight for a in node.logits}
    for action, value in q.items():
        scores[action] += (value - least) / max(most - least, LEAST)
    return best(scores)


def sigma(tree: Tree[S], path: Path, settings: SearchSettings, rule: Gumbel) -> Scores:
    """The completed values of the legal actions, scaled to weigh against logits."""
    node = tree[path]
    q, prior = values(tree, path, settings.discount), softmax(node.logits)
    counts = {a: visits(tree, path, a) for a in node.logits}
    weights = {a: max(prior[a], LEAST_PRIOR) for a in q}
    mixed = node.evaluated
    if q:
        mean = sum(weights[a] * q[a] for a in q) / sum(weights.values())
        mixed = (node.evaluated + sum(counts.values()) * mean) / (1 + sum(counts.values()))
    completed = {a: q.get(a, mixed) for a in node.logits}
    least, most = min(completed.values()), max(completed.values())
    factor = (rule.visit_offset + max(counts.values())) * rule.value_scale
    return {a: factor * (value - least) / max(most - least, LEAST) for a, value in completed.items()}


# ---- the walk --------------------------------------------------------------------------------------------------------


def simulate(
    tree: Tree[S], world: World[S], settings: SearchSettings, action: int, choose: Callable[[Path], int]
) -> None:
    """Follow actions to one that was not tried before, or to where the tree ends, and return what that is worth."""
    path: Path = (action,)
    while path in tree and tree[path].logits and len(path) != settings.depth:
        path += (choose(path),)
    if path in tree:
        tree[path].visits += 1
    else:
        state, reward, terminal = world.step(tree[path[:-1]].state, path[-1])
        tree[path] = visit_first(world, state, reward, terminal)
    returned = tree[path].evaluated
    tree[path].total += returned if tree[path].visits > 1 else 0.0
    for length in range(len(path) - 1, -1, -1):
        returned = tree[path[: length + 1]].reward + settings.discount * returned
        tree[path[:length]].visits += 1
        tree[path[:length]].total += returned


def visit_first(world: World[S], state: S, reward: float, terminal: bool) -> Node[S]:
    """A node as it is when it has just been evaluated."""
    if terminal:
        return Node(state, reward, True, {}, 0.0)
    logits, value, legal = world.evaluate(state)
    allowed = {a: float(logit) for a, (logit, may) in enumerate(zip(logits, legal, strict=True)) if may}
    return Node(state, reward, False, allowed, float(value), total=float(value))


def visits(tree: Tree[S], path: Path, action: int) -> int:
    """How often an action was taken."""
    child = tree.get((*path, action))
    return 0 if child is None else child.visits


def values(tree: Tree[S], path: Path, discount: float) -> Scores:
    """Q of the actions that were taken."""
    children = {a: tree[*path, a] for a in tree[path].logits if (*path, a) in tree}
    return {a: child.reward + discount * child.value for a, child in children.items()}


def softmax(logits: Mapping[int, float]) -> Scores:
    most = max(logits.values())
    weights = {a: math.exp(logit - most) for a, logit in logits.items()}
    whole = sum(weights.values())
    return {a: weight / whole for a, weight in weights.items()}


def add(one: Scores, other: Scores) -> Scores:
    return {a: value + other[a] for a, value in one.items()}


def best(scores: Mapping[int, float]) -> int:
    """The action of the highest score, the first of several."""
    return max(scores, key=lambda a: (scores[a], -a))
