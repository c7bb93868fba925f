"""Simulations per second of the search, beside mctx: the same GRU of width 256, the same policy and value heads.

python benchmarks/search.py [--samples 9] [--cores 2] [--batches 1 16 64] [--simulations 32 128] [--rule gumbel]
                            [--embeddings]

Both search the same weights with the same Gumbel noise, alternate in one process, and keep the whole tree. Their trees
are compared before anything is timed: "alike" is the share of positions where all visits of all nodes are equal (a tie
within float32 makes one differ now and then). mctx gets the products of its action embeddings beforehand, as the native
search has them; with --embeddings it is also timed computing them at every step. CPU milliseconds are those of all
threads: on a busy machine they tell more than the clock. Without mctx (`make bench-setup` brings it) only ours are
timed.
"""

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _report
import torch

from think.core.device import keep_freed_memory
from think.core.planning import native
from think.core.planning.gru import GruWorld
from think.core.planning.rules import Gumbel, Puct, SearchSettings
from think.core.planning.search import Result, gumbel_noise
from think.kernels.native import library

ACTIONS, WIDTH, CONSIDERED = 32, 256, 16
MOST_IN_TORCH = 128
"Simulations from which on the search in torch is left out: it takes seconds."
RULES = {"gumbel": Gumbel(considered=CONSIDERED), "puct": Puct()}
Paths = dict[tuple[int, ...], int]


class Peer:
    """mctx over the same weights; `with_embeddings` multiplies them at every step."""

    def __init__(self, gru: GruWorld, settings: SearchSettings, with_embeddings: bool):
        import jax
        import jax.numpy as jnp

        self.settings = settings
        weights = {name: jnp.asarray(value.detach().numpy()) for name, value in gru.named_parameters()}
        weights["table"] = weights["embedding.weight"] @ weights["cell.weight_ih"].T + weights["cell.bias_ih"]
        self.weights = weights
        self.key = jax.random.PRNGKey(0)
        self.run = jax.jit(partial(self._run, with_embeddings))

    def _run(self, with_embeddings: bool, weights: Any, key: Any, states: Any) -> Any:
        import jax
        import jax.numpy as jnp
        import mctx

        def heads(w: Any, state: Any) -> tuple[Any, Any]:
            return state @ w["policy.weight"].T + w["policy.bias"], (state @ w["value.weight"].T + w["value.bias"])[
                :, 0
            ]

        def step(w: Any, _: Any, action: Any, state: Any) -> Any:
            if with_embeddings:
                given = w["embedding.weight"][action] @ w["cell.weight_ih"].T + w["cell.bias_ih"]
            else:
                given = w["table"][action]
            kept = state @ w["cell.weight_hh"].T + w["cell.bias_hh"]
            reset, update = (jax.nn.sigmoid(given[:, i : i + WIDTH] + kept[:, i : i + WIDTH]) for i in (0, WIDTH))
            new = jnp.tanh(given[:, 2 * WIDTH :] + reset * kept[:, 2 * WIDTH :])
            after = (1 - update) * new + update * state
            logits, value = heads(w, after)
            zero = jnp.zeros_like(value)
            return mctx.RecurrentFnOutput(reward=zero, discount=zero + 1, prior_logits=logits, value=value), after

        logits, value = heads(weights, states)
        root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=states)
        asked = (weights, key, root, step, self.settings.simulations)
        if isinstance(self.settings.rule, Gumbel):
            return mctx.gumbel_muzero_policy(*asked, max_num_considered_actions=CONSIDERED)
        return mctx.muzero_policy(*asked, dirichlet_fraction=0.0)

    def noise(self, positions: int) -> torch.Tensor | None:
        """The Gumbel noise that mctx draws."""
        import jax
        import numpy as np

        if not isinstance(self.settings.rule, Gumbel):
            return None
        drawn = jax.random.gumbel(jax.random.split(self.key)[1], (positions, ACTIONS))
        return torch.from_numpy(np.array(drawn))

    def search(self, states: Any) -> Any:
        output = self.run(self.weights, self.key, states)
        output.search_tree.embeddings.block_until_ready()
        return output


def visits_of_mctx(tree: Any, position: int) -> Paths:
    found: Paths = {}
    children, visits = tree.children_index[position], tree.node_visits[position]
    waiting: list[tuple[tuple[int, ...], int]] = [((), 0)]
    while waiting:
        path, node = waiting.pop()
        found[path] = int(visits[node])
        waiting += [((*path, action), int(child)) for action, child in enumerate(children[node]) if child >= 0]
    return found


def visits_of_ours(found: Result, position: int) -> Paths:
    tree = found.tree
    return {tree.path(position, n): int(tree.visits[position, n]) for n in range(int(tree.used[position]))}


def alike(found: Result, output: Any) -> float:
    """The share of positions whose trees are the same."""
    import jax
    import numpy as np

    tree = jax.tree.map(np.asarray, output.search_tree)
    positions = len(found.action)
    same = [visits_of_ours(found, i) == visits_of_mctx(tree, i) for i in range(positions)]
    weights = torch.from_numpy(np.array(output.action_weights))
    apart = float((found.policy - weights).abs().amax(1)[torch.tensor(same)].amax()) if any(same) else float("nan")
    if sum(same) < 0.9 * positions or apart > 1e-4:
        raise SystemExit(f"not the same search: {sum(same)} of {positions} trees alike, policies {apart:.1e} apart")
    return sum(same) / positions


def compare(competitors: dict[str, Callable[[], object]], samples: int) -> dict[str, dict[str, float]]:
    """Wall and CPU milliseconds of each, alternating."""
    wall: dict[str, list[float]] = {name: [] for name in competitors}
    busy: dict[str, list[float]] = {name: [] for name in competitors}
    for run in competitors.values():
        run()
    for _ in range(samples):
        for name, run in competitors.items():
            begun, used = time.perf_counter(), time.process_time()
            run()
            wall[name].append(1e3 * (time.perf_counter() - begun))
            busy[name].append(1e3 * (time.process_time() - used))
    return {
        name: {
            "median": statistics.median(taken),
            "least": min(taken),
            "most": max(taken),
            "cpu": statistics.median(busy[name]),
        }
        for name, taken in wall.items()
    }


def measure(gru: GruWorld, positions: int, settings: SearchSettings, samples: int, embeddings: bool) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(positions, WIDTH, generator=generator)
    noise = gumbel_noise(settings, positions, ACTIONS, generator)
    competitors: dict[str, Callable[[], object]] = {}
    row: dict[str, Any] = {"positions": positions, "simulations": settings.simulations, "rule": settings.rule.kind}
    if importlib.util.find_spec("mctx"):
        import jax.numpy as jnp

        peers = {"mctx": Peer(gru, settings, False)}
        if embeddings:
            peers["mctx, embeddings"] = Peer(gru, settings, True)
        given = jnp.asarray(states.numpy())
        noise = peers["mctx"].noise(positions)
        found = native.search(states, gru, settings, noise=noise, implementation=native.NATIVE)
        row["alike"] = alike(found, peers["mctx"].search(given))
        competitors = {name: partial(peer.search, given) for name, peer in peers.items()}
    for name in (native.NATIVE, native.TORCH)[: 2 if positions * settings.simulations <= MOST_IN_TORCH else 1]:
        competitors[name] = partial(native.search, states, gru, settings, noise=noise, implementation=name)
    row["competitors"] = compare(competitors, samples)
    ours = row["competitors"][native.NATIVE]
    row["simulations per second"] = 1e3 * positions * settings.simulations / ours["median"]
    peers_found = [figures for name, figures in row["competitors"].items() if name.startswith("mctx")]
    for figure in ("median", "least", "cpu") if peers_found else ():
        row[f"ratio, {figure}"] = min(found[figure] for found in peers_found) / ours[figure]
    return row


def show(row: dict[str, Any]) -> None:
    print(f"{row['rule']}, {row['positions']} positions, {row['simulations']} simulations")
    made = row["positions"] * row["simulations"]
    for name, found in row["competitors"].items():
        print(
            f"    {name:18s} {found['median']:9.3f} ms [{found['least']:.3f}-{found['most']:.3f}]  "
            f"cpu {found['cpu']:9.3f} ms  {1e3 * made / found['median']:10,.0f} simulations/s"
        )
    if "alike" in row:
        print(
            f"    {row['alike']:.0%} of the trees alike; native is {row['ratio, median']:.2f} x mctx by medians, "
            f"{row['ratio, least']:.2f} x by the least, {row['ratio, cpu']:.2f} x by CPU time"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="for both competitors")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--simulations", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rule", choices=RULES, nargs="+", default=["gumbel"])
    parser.add_argument("--embeddings", action="store_true", help="time mctx with the product of every embedding, too")
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    torch.set_num_threads(asked.cores)
    keep_freed_memory()  # as training does
    torch.manual_seed(0)
    gru = GruWorld(ACTIONS, WIDTH)
    rows = []
    for rule in asked.rule:
        for positions in asked.batches:
            for simulations in asked.simulations:
                settings = SearchSettings(simulations=simulations, rule=RULES[rule])
                rows.append(measure(gru, positions, settings, asked.samples, asked.embeddings))
                show(rows[-1])
    figures = {"cores": asked.cores, "instructions": library.level(), "rows": rows}
    print("written:", _report.write("search", figures).name)


if __name__ == "__main__":
    main()
