"""The native search is the search in torch, which is the reference."""

import copy
import threading

import pytest
import torch
from torch import Tensor

from tests.core.planning.tables import figures, figures_of_reference
from think.core.errors import BadData, MachineCannot, UsageError
from think.core.planning import native, reference
from think.core.planning.gru import GruWorld
from think.core.planning.rules import Gumbel, Puct, SearchSettings
from think.core.planning.search import Result, gumbel_noise
from think.kernels.native import library
from think.kernels.search import lacking

pytestmark = pytest.mark.skipif(lacking() is not None, reason=str(lacking()))

HEADS: dict[str, dict[str, object]] = {
    "plain": {},
    "all heads": {"reward": True, "end": True, "values": 3, "caution": 0.5, "squash": True, "embedding": 7},
    "paid at the end": {"end": True, "squash": True},
}


def world(actions: int, width: int, heads: str, seed: int = 0) -> GruWorld:
    """Weights that are large enough for states to differ, and for some of them to be an end."""
    torch.manual_seed(seed)
    made = GruWorld(actions, width, **HEADS[heads])  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3.0)
        if made.end is not None:
            made.end.bias.fill_(-1.0)
    return made


def states(positions: int, width: int) -> Tensor:
    return torch.randn(positions, width, generator=torch.Generator().manual_seed(1))


def exact(gru: GruWorld) -> reference.World[Tensor]:
    """The same world in float64, on one position."""
    wide = copy.deepcopy(gru).double()

    def step(state: Tensor, action: int) -> tuple[Tensor, float, bool]:
        with torch.no_grad():
            led = wide.step(state[None], torch.tensor([action]))
        return led.states[0], float(led.reward), bool(led.terminal)

    def evaluate(state: Tensor) -> tuple[list[float], float, list[bool]]:
        with torch.no_grad():
            found = wide.evaluate(state[None])
        return found.logits[0].tolist(), float(found.value), [True] * gru.actions

    return reference.World(step, evaluate)


def same_tree(found: Result, expected: Result) -> None:
    for name in ("parent", "action", "visits", "child", "taken", "used", "terminal"):
        assert torch.equal(getattr(found.tree, name), getattr(expected.tree, name)), name
    for name in ("total", "evaluated", "reward", "q", "logits"):
        torch.testing.assert_close(getattr(found.tree, name), getattr(expected.tree, name), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.tree.shelf.places, expected.tree.shelf.places, rtol=1e-4, atol=1e-5)
    for name in ("action", "visits", "considered", "inherited", "simulations", "evaluations"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    torch.testing.assert_close(found.policy, expected.policy, rtol=1e-3, atol=1e-5)


RULES = [Gumbel(considered=5), Gumbel(considered=1), Gumbel(considered=3, noise=0.0, value_scale=1.0), Puct()]


@pytest.mark.parametrize("level", library.levels())
@pytest.mark.parametrize(
    ("rule", "heads"),
    [*((rule, "all heads") for rule in RULES), (RULES[0], "plain"), (RULES[0], "paid at the end")],
    ids=["gumbel", "one considered", "heavy values", "puct", "no rewards", "paid at the end"],
)
def test_equals_torch_and_the_reference(rule: Gumbel | Puct, heads: str, level: str) -> None:
    actions, width, positions = 19, 37, 3
    gru, roots = world(actions, width, heads), states(positions, width)
    asked = SearchSettings(simulations=21, discount=0.95, rule=rule)
    noise = gumbel_noise(asked, positions, actions, torch.Generator().manual_seed(2))
    legal = torch.rand(positions, actions, generator=torch.Generator().manual_seed(3)) < 0.7
    expected = native.search(roots, gru, asked, noise=noise, legal=legal, implementation="torch")
    with library.using(level):
        found = native.search(roots, gru, asked, noise=noise, legal=legal, implementation="native")
        same_tree(found, expected)
        kept = torch.where(expected.tree.terminal[:, 1], -1, expected.tree.action[:, 1])  # the first child of each
        if (kept >= 0).all():
            below = found.tree.below(kept), expected.tree.below(kept)
            again = native.search(roots, gru, asked, noise=noise, tree=below[0], implementation="native")
            same_tree(again, native.search(roots, gru, asked, noise=noise, tree=below[1], implementation="torch"))
        free = native.search(roots, gru, asked, noise=noise, implementation="native")
    alone = reference.search(roots[0].double(), exact(gru), asked, [] if noise is None else noise[0].tolist())
    ours, theirs = figures(free.tree, 0), figures_of_reference(alone.tree)
    assert {path: n for path, (n, *_) in ours.items()} == {path: n for path, (n, *_) in theirs.items()}
    for path, numbers in theirs.items():
        assert ours[path] == pytest.approx(numbers, abs=1e-4)
    assert int(free.action[0]) == alone.action
    assert free.policy[0].tolist() == pytest.approx([alone.policy.get(a, 0.0) for a in range(actions)], abs=1e-4)


def everything(found: Result) -> list[Tensor]:
    tree = found.tree
    return [
        *(tree.parent, tree.action, tree.visits, tree.total, tree.evaluated, tree.reward, tree.terminal, tree.logits),
        *(tree.child, tree.taken, tree.q, tree.used, tree.shelf.places, found.policy, found.action, found.visits),
    ]


@pytest.mark.parametrize("depth", [None, 1, 3])
def test_bytes_do_not_depend_on_threads_nor_on_the_batch(depth: int | None) -> None:
    gru, roots = world(8, 64, "all heads"), states(13, 64)
    asked = SearchSettings(simulations=40, depth=depth, rule=Gumbel(considered=8))
    noise = gumbel_noise(asked, 13, 8, torch.Generator().manual_seed(2))
    assert noise is not None
    threads = torch.get_num_threads()
    try:
        found = []
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            found.append(everything(native.search(roots, gru, asked, noise=noise, implementation="native")))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))
    for position in (0, 7, 12):
        rows = slice(position, position + 1)
        one = native.search(roots[rows], gru, asked, noise=noise[rows], implementation="native")
        whole = [part.reshape(13, -1)[rows] for part in found[0]]
        assert all(torch.equal(a.reshape(1, -1), b) for a, b in zip(everything(one), whole, strict=True))
    same_tree(
        native.search(roots, gru, asked, noise=noise, implementation="native"),
        native.search(roots, gru, asked, noise=noise, implementation="torch"),
    )


def test_products_that_were_forgotten_are_made_again() -> None:
    """More nodes are gone on from than there is room for products; each position alone has room for all of its own."""
    width, positions = 768, 24
    gru, roots = world(3, width, "plain"), states(positions, width)
    asked = SearchSettings(simulations=300, rule=Puct())
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = native.search(roots, gru, asked, implementation="native")
    finally:
        torch.set_num_threads(threads)
    kept = 2**25 // 4 // (3 * width)
    assert int((whole.tree.taken.sum(-1) > 0).sum()) > kept > asked.simulations
    for position in (0, positions - 1):
        one = native.search(roots[position, None], gru, asked, implementation="native")
        assert all(
            torch.equal(a[0], b[position]) for a, b in zip(everything(one)[:12], everything(whole), strict=False)
        )


def test_weights_that_change_are_packed_again() -> None:
    gru, roots = world(6, 16, "plain"), states(2, 16)
    asked = SearchSettings(simulations=10, rule=Puct())
    before = native.search(roots, gru, asked, implementation="native")
    assert native.packed(gru) is native.packed(gru)
    with torch.no_grad():
        gru.value.weight.neg_()
    after = native.search(roots, gru, asked, implementation="native")
    assert not torch.equal(before.tree.evaluated, after.tree.evaluated)
    same_tree(after, native.search(roots, gru, asked, implementation="torch"))


def test_other_threads_go_on_while_it_searches() -> None:
    """Python code runs during one call: the interpreter's lock is not held."""
    gru, roots = world(32, 256, "plain"), states(16, 256)
    asked = SearchSettings(simulations=256, rule=Puct())
    native.packed(gru)
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        native.search(roots, gru, asked, implementation="native")
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    turns = 0
    while not ended.is_set():
        turns += 1
    thread.join()
    assert turns > 100


def test_what_it_cannot_do() -> None:
    gru, roots = world(6, 16, "plain"), states(2, 16)
    asked = SearchSettings(simulations=10, rule=Puct())
    with pytest.raises(MachineCannot, match="float64"):
        native.search(roots.double(), gru.double(), asked, implementation="native")
    assert native.resolve(roots.double()) == "torch"
    with pytest.raises(UsageError, match="no implementation 'numba'"):
        native.search(roots, gru, asked, implementation="numba")
    gru.float()
    with pytest.raises(BadData, match="position 1 of 2 has no legal action"):
        native.search(roots, gru, asked, legal=torch.tensor([[True] * 6, [False] * 6]), implementation="native")
    with pytest.raises(UsageError, match=r"legal has shape \[2, 5\]"):
        native.search(roots, gru, asked, legal=torch.ones(2, 5, dtype=torch.bool), implementation="native")
    with pytest.raises(UsageError, match="given noise"):
        native.search(roots, gru, asked, noise=torch.zeros(2, 6), implementation="native")
    with torch.no_grad():
        gru.value.weight[0, 0] = torch.nan
    with pytest.raises(BadData, match="not finite, at position 0"):
        native.search(roots, gru, asked, implementation="native")
