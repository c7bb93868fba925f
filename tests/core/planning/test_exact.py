"""The exact world is the backbone: every node of a tree is what one pass over prompt and actions gives."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.core.planning.tables import figures, figures_of_reference
from think.core import plugins
from think.core.data.puzzles import FAMILY, Environment, Task
from think.core.data.puzzles.batch import environment
from think.core.models import build
from think.core.models.thinking import Settings as ModelSettings
from think.core.models.thinking import Thinking
from think.core.planning import reference
from think.core.planning.controls import identity, shuffled_values
from think.core.planning.critic import Critic, CriticSettings, LinearHead, MlpHead
from think.core.planning.exact import BACKBONE, CRITIC_BACKBONE, FUSED, HEADS, ExactWorld, Nodes
from think.core.planning.fusion import Fusion
from think.core.planning.legality import Legality
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.planning.search import search
from think.core.planning.tree import Tree

Path = tuple[int, ...]
VOCABULARY, ACTIONS, PROMPT = 32, 4, 6
TOKENS = torch.tensor([3, 9, 12, 20])
SUDOKU: Task = plugins.load(FAMILY, "sudoku4")


def model(period: int | None = None, anchors: bool = False, seed: int = 0) -> Thinking:
    memory = {"h0": True} | ({"norm": {"groups": 2, "period": period}} if period else {})
    given = {
        "vocabulary": VOCABULARY,
        "width": 16,
        "layers": 3,
        "gamma": 0.5,
        "mixer": {
            "kind": "hybrid",
            "rwkv": {"heads": 2, "mix_rank": 2, "decay_rank": 2},
            "mamba": {"expand": 1, "head_width": 8, "state": 8},
            "fusion": {"kind": "hybrid_norm"},
            "memory": memory,
        },
        "feed_forward": {"kind": "channel_mix", "inner": 16},
    }
    if anchors:
        given["anchors"] = {"where": {"kind": "at", "layers": [1]}, "attention": {"heads": 2, "context": 4}}
    torch.manual_seed(seed)
    made = build(ModelSettings.model_validate(given)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        made.embedding.weight.mul_(20)
    return made


def world(
    backbone: str = "copy", period: int | None = None, anchors: bool = False, end: int | None = None
) -> ExactWorld:
    policy = model(period, anchors)
    torch.manual_seed(1)
    critic = Critic(CriticSettings(backbone=backbone, caution=0.5, head=MlpHead(inner=8)), policy.settings).eval()
    critic.copy(policy)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        critic.scale.copy_(torch.tensor([0.5, 1.0, 2.0]))
        critic.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    return ExactWorld(policy, critic, TOKENS, end=end)


def prompts(rows: int = 3) -> Tensor:
    return torch.randint(VOCABULARY, (8, PROMPT), generator=torch.Generator().manual_seed(5))[:rows]


Pass = tuple[list[float], float]


def whole_passes(exact: ExactWorld, paths: Sequence[tuple[int, Path]]) -> dict[tuple[int, Path], Pass]:
    """Logits of the actions and value after a prompt and actions, by one pass over all of them; by prompt and path."""
    found = {}
    for length in {len(path) for _, path in paths}:
        same = [one for one in paths if len(one[1]) == length]
        taken = TOKENS[torch.tensor([path for _, path in same], dtype=torch.int64).reshape(len(same), length)]
        tokens = torch.cat([prompts(8)[[row for row, _ in same]], taken], dim=1)
        with torch.no_grad():
            logits = exact.model(tokens)[0][:, -1, TOKENS]
            heads = exact.critic.values((exact.critic.backbone or exact.model).residuals(tokens)[0][:, -1])
            value = heads.mean(1) - 0.5 * heads.std(1)
        for one, score, worth in zip(same, logits.tolist(), value.tolist(), strict=True):
            found[one] = (score, worth)
    return found


def nodes_of(tree: Tree, before: Sequence[Path] | None = None) -> list[tuple[int, int, Path]]:
    """Position, number and path of every node."""
    return [
        (position, node, (*(before[position] if before else ()), *tree.path(position, node)))
        for position, node in (tree.visits > 0).nonzero().tolist()
    ]


def agree(exact: ExactWorld, tree: Tree, before: Sequence[Path] | None = None) -> int:
    """Every node's value and logits are those of one pass; gives the depth of the deepest."""
    nodes = nodes_of(tree, before)
    expected = whole_passes(exact, [(position, path) for position, _, path in nodes])
    for position, node, path in nodes:
        logits, value = expected[position, path]
        assert float(tree.evaluated[position, node]) == pytest.approx(value, abs=2e-5)
        legal = tree.logits[position, node] > -torch.inf
        assert tree.logits[position, node][legal].tolist() == pytest.approx(
            torch.tensor(logits)[legal].tolist(), abs=2e-4
        )
    return max(len(path) for *_, path in nodes)


def sought(exact: ExactWorld, nodes: Nodes, simulations: int = 20) -> Tree:
    asked = SearchSettings(simulations=simulations, rule=Gumbel(considered=4, noise=0.0, value_scale=1.0))
    return search(nodes, exact.world(), asked).tree


@pytest.mark.parametrize("backbone", ["copy", "frozen"])
@pytest.mark.parametrize(("period", "anchors"), [(None, False), (7, False), (2, True)])
def test_every_node_is_what_one_pass_gives(backbone: str, period: int | None, anchors: bool) -> None:
    """Also where StateNorm falls due at different depths of one tree, and attention has forgotten the prompt."""
    exact = world(backbone, period, anchors)
    assert agree(exact, sought(exact, exact.root(prompts()))) >= 3


def fused(exact: ExactWorld, theta: Sequence[float]) -> ExactWorld:
    """The same world, whose policy is that of all layers."""
    fusion = Fusion(3)
    with torch.no_grad():
        fusion.theta.copy_(torch.tensor(theta))
    return ExactWorld(exact.model, exact.critic, exact.actions, end=exact.end, fusion=fusion)


def test_a_fused_policy_is_the_head_on_the_weighed_layers_and_values_stay() -> None:
    plain = world()
    weighed = fused(plain, (0.5, -0.3, 0.1))
    tree, shares = sought(weighed, weighed.root(prompts())), torch.tensor([0.5, -0.3, 0.1]).softmax(0)
    for position, node, path in nodes_of(tree):
        tokens = torch.cat([prompts()[position], TOKENS[torch.tensor(path, dtype=torch.int64)]]).unsqueeze(0)
        with torch.no_grad():
            layers = plain.model.residuals(tokens)[0][0, -1]
            whole = sum(share * layer for share, layer in zip(shares, layers, strict=True))
            expected = plain.model.logits(plain.model.norm(whole))[TOKENS]
        assert tree.logits[position, node].tolist() == pytest.approx(expected.tolist(), abs=2e-4)
        value = whole_passes(plain, [(position, path)])[position, path][1]
        assert float(tree.evaluated[position, node]) == pytest.approx(value, abs=2e-5)
    assert weighed.used[FUSED] == weighed.used[HEADS]
    assert plain.used[FUSED] == 0


def test_weights_that_differ_give_other_policies_and_the_last_layer_alone_the_models_own() -> None:
    plain = world()
    nodes = plain.root(prompts())
    usual = plain.evaluate(nodes).logits
    for theta, same in (((0.0, 0.0, 0.0), False), ((0.0, 0.0, 1.0), False), ((0.0, 0.0, 200.0), True)):
        other = fused(plain, theta)
        asked = other.root(prompts())
        assert torch.equal(other.evaluate(asked).logits, usual) is same
        assert torch.equal(other.worth(asked), plain.worth(nodes))
    equal, leaning = (fused(plain, theta) for theta in ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    assert not torch.allclose(*(one.evaluate(one.root(prompts())).logits for one in (equal, leaning)))


def test_a_world_without_rules_ends_where_the_fused_policy_ends() -> None:
    ends = []
    for weighed in (world(end=11), fused(world(end=11), (8.0, 0.0, 0.0))):
        ended = weighed.root(prompts(8)).parts["ended"]
        ends.append(ended)
        with torch.no_grad():
            layers = weighed.model.residuals(prompts(8))[0][:, -1]
            stream = layers[:, -1] if weighed.fusion is None else weighed.fusion(layers)
            logits = weighed.model.logits(weighed.model.norm(stream))
        assert torch.equal(ended, logits[:, 11] > logits[:, TOKENS].amax(1))
    assert not torch.equal(*ends)


def test_the_search_over_it_is_that_of_the_reference() -> None:
    exact = world()
    asked = SearchSettings(simulations=20, depth=4, rule=Gumbel(considered=4, noise=0.0, value_scale=1.0))
    tree = search(exact.root(prompts(2)), exact.world(), asked).tree
    every = [path for length in range(5) for path in product(range(ACTIONS), repeat=length)]
    known = whole_passes(exact, [(position, path) for position in range(2) for path in every])
    for position in range(2):

        def step(path: Path, action: int) -> tuple[Path, float, bool]:
            return (*path, action), 0.0, False

        def evaluate(path: Path, position: int = position) -> tuple[Sequence[float], float, Sequence[bool]]:
            logits, value = known[position, path]
            return logits, value, [True] * ACTIONS

        expected = reference.search((), reference.World(step, evaluate), asked)
        ours, theirs = figures(tree, position), figures_of_reference(expected.tree)
        assert {path: one[0] for path, one in ours.items()} == {path: one[0] for path, one in theirs.items()}
        for path, one in theirs.items():
            assert ours[path] == pytest.approx(one, abs=1e-4)


def sudokus(rows: int) -> Environment:
    made = environment(SUDOKU, SUDOKU.Settings(), "test")
    made.reset(np.arange(rows))
    return made


def test_with_rules_only_legal_actions_are_tried_and_nobody_is_told_of_success() -> None:
    exact, rules = world(), sudokus(3)
    tree = sought(exact, exact.root(prompts(), Legality(rules)), simulations=60)
    assert not tree.terminal.any()
    assert not tree.reward.any()
    agree(exact, tree)
    closed = 0
    for position, node, path in nodes_of(tree):
        played = rules.rows(np.array([position]))
        for action in path:
            assert played.legal()[0, action]
            played.step(np.array([action]))
        assert (tree.logits[position, node] > -torch.inf).tolist() == played.legal()[0].tolist()
        closed += not played.legal().any()
    assert closed > 0
    assert (rules.legal() == sudokus(3).legal()).all(), "the rules of the roots were stepped on"


def test_without_rules_the_end_token_ends_and_the_critic_pays() -> None:
    """Where it is likelier than all actions, and nowhere else."""
    exact = world(end=5)
    with torch.no_grad():
        exact.model.embedding.weight[TOKENS] *= 0.02  # logits of actions near 0, so that the end is above or below
    tree = sought(exact, exact.root(prompts()), simulations=12)
    nodes = [one for one in nodes_of(tree) if one[2]]
    values = whole_passes(exact, [(position, path) for position, _, path in nodes])
    ends = 0
    for position, node, path in nodes:
        tokens = torch.cat([prompts()[position], TOKENS[list(path)]])[None]
        with torch.no_grad():
            logits = exact.model(tokens)[0][0, -1]
        ended = bool(logits[5] > logits[TOKENS].max())
        assert bool(tree.terminal[position, node]) == ended
        worth = values[position, path][1] if ended else 0.0
        assert float(tree.reward[position, node]) == pytest.approx(worth, abs=2e-5)
        ends += ended
    assert 3 < ends < len(nodes) - 3


def test_a_tree_is_gone_on_with() -> None:
    """The nodes that are kept hold their states: what grows below them is still what one pass gives."""
    exact = world(period=7)
    asked = SearchSettings(simulations=25, rule=Gumbel(considered=4, noise=0.0, value_scale=1.0))
    first = search(exact.root(prompts()), exact.world(), asked)
    again = search(exact.root(prompts()), exact.world(), asked, tree=first.tree.below(first.action)).tree
    agree(exact, again, [(action,) for action in first.action.tolist()])


@pytest.mark.parametrize("backbone", ["copy", "frozen"])
def test_what_is_computed_is_counted(backbone: str) -> None:
    exact = world(backbone)
    nodes = exact.root(prompts(2))
    assert exact.used[BACKBONE] == 2 * PROMPT
    assert exact.used[HEADS] == 2
    tree = sought(exact, nodes, simulations=10)
    made = int((tree.visits > 0).sum()) - 2
    assert made == 20
    assert exact.used[BACKBONE] == 2 * PROMPT + made
    assert exact.used[HEADS] == 2 + made
    assert exact.used[CRITIC_BACKBONE] == (2 * PROMPT + made if backbone == "copy" else 0)


def test_in_a_world_that_never_changes_a_search_is_the_policy() -> None:
    exact = world()
    asked = SearchSettings(simulations=20, rule=Gumbel(considered=4, noise=0.0, value_scale=1.0))
    nodes = exact.root(prompts(8))
    found = search(nodes, identity(exact.world()), asked)
    assert found.action.tolist() == nodes.parts["logits"].argmax(1).tolist()
    assert found.action.tolist() != search(nodes, exact.world(), asked).action.tolist()


def test_shuffled_values_are_those_of_any_nodes_seen() -> None:
    exact = world()
    control = shuffled_values(exact.world(), torch.Generator().manual_seed(0))
    nodes = exact.root(prompts(8))
    plain, first = exact.evaluate(nodes), control.evaluate(nodes)
    assert set(first.value.tolist()) <= set(plain.value.tolist())
    assert first.value.tolist() != plain.value.tolist()
    assert (first.logits == plain.logits).all()
    later = exact.after(nodes, torch.zeros(8, dtype=torch.int64))
    drawn = torch.cat([control.evaluate(later).value for _ in range(20)])
    assert set(plain.value.tolist()) & set(drawn.tolist()), "nodes of earlier calls are drawn too"
    assert set(exact.evaluate(later).value.tolist()) & set(drawn.tolist())


def test_linear_heads_are_smaller() -> None:
    policy = model()
    sizes = [
        Critic(CriticSettings(head=head), policy.settings).parameters_of_heads()
        for head in (LinearHead(), MlpHead(inner=8))
    ]
    assert sizes == [3 * 17, 3 * (17 * 8 + 9)]
