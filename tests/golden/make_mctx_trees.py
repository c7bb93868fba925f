"""Makes mctx_trees.json: searches by mctx of small worlds that are tables, for tests/core/planning/test_mctx.py.

python tests/golden/make_mctx_trees.py        (mctx 0.0.71 and jax; `make bench-setup` brings both)

Numbers are float64. The Gumbel noise of each search is kept, so that others can search with the same. A terminal state
has discount 0; mctx goes on below it, so trees are compared above. mctx knows legal actions only at the root.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import mctx  # noqa: E402
import numpy as np  # noqa: E402

CASES = (
    # states, actions, simulations, considered, discount, terminal share, masked, noise, depth, rule
    (24, 4, 8, 4, 1.0, 0.0, 0, 1.0, None, "gumbel"),
    (40, 16, 32, 16, 0.97, 0.2, 3, 1.0, None, "gumbel"),
    (40, 8, 50, 6, 0.9, 0.3, 0, 0.0, None, "gumbel"),
    (30, 6, 40, 6, 0.99, 0.1, 4, 1.0, 3, "gumbel"),
    (30, 5, 12, 1, 1.0, 0.1, 0, 1.0, None, "gumbel"),
    (24, 4, 20, 4, 1.0, 0.0, 0, 0.0, None, "puct"),
    (40, 12, 64, 12, 0.95, 0.25, 3, 0.0, None, "puct"),
    (30, 6, 40, 6, 0.9, 0.1, 0, 0.0, 2, "puct"),
)


def table(seed: int, states: int, actions: int, ends: float) -> dict[str, Any]:
    """A deterministic world: where each action leads, what it pays, which states are terminal."""
    random = np.random.default_rng(seed)
    terminal = random.random(states) < ends
    terminal[0] = False
    return {
        "next": random.integers(0, states, (states, actions)),
        "reward": random.normal(size=(states, actions)).round(6),
        "terminal": terminal,
        "logits": random.normal(size=(states, actions)).round(6),
        "value": random.normal(size=states).round(6),
    }


def recurrent(world: dict[str, Any], discount: float, _: Any, key: Any, action: Any, state: Any) -> Any:
    after = jnp.asarray(world["next"])[state, action]
    ended = jnp.asarray(world["terminal"])
    output = mctx.RecurrentFnOutput(
        reward=jnp.where(ended[state], 0.0, jnp.asarray(world["reward"])[state, action]),
        discount=jnp.where(ended[after] | ended[state], 0.0, discount),
        prior_logits=jnp.asarray(world["logits"])[after],
        value=jnp.where(ended[after], 0.0, jnp.asarray(world["value"])[after]),
    )
    return output, after


def paths(tree: Any, world: dict[str, Any]) -> dict[str, list[float]]:
    """Visits and value of every node above a terminal one, or it, by its path of actions."""
    found: dict[str, list[float]] = {}
    waiting = [((), 0, 0)]
    while waiting:
        path, node, state = waiting.pop()
        ended = bool(world["terminal"][state])
        found[" ".join(map(str, path))] = [
            int(tree.node_visits[0, node]),
            0.0 if ended else float(tree.node_values[0, node]),
        ]
        for action, child in enumerate(tree.children_index[0, node]):
            if child >= 0 and not ended:
                waiting.append(((*path, action), int(child), int(world["next"][state][action])))
    return found


def searched(seed: int, case: tuple[Any, ...]) -> dict[str, Any]:
    states, actions, simulations, considered, discount, ends, masked, noise, depth, rule = case
    world = table(seed, states, actions, ends)
    legal = np.ones(actions, bool)
    legal[np.random.default_rng(seed + 1000).choice(actions, masked, replace=False)] = False
    key = jax.random.PRNGKey(seed)
    root = mctx.RootFnOutput(
        prior_logits=jnp.asarray(world["logits"][:1]),
        value=jnp.asarray(world["value"][:1]),
        embedding=jnp.zeros(1, int),
    )
    shared = {
        "params": (),
        "rng_key": key,
        "root": root,
        "recurrent_fn": partial(recurrent, world, discount),
        "num_simulations": simulations,
        "invalid_actions": jnp.asarray(~legal)[None].astype(float),
        "max_depth": depth,
    }
    if rule == "gumbel":
        output = mctx.gumbel_muzero_policy(**shared, max_num_considered_actions=considered, gumbel_scale=noise)
        drawn = jax.random.gumbel(jax.random.split(key)[1], (1, actions), dtype=root.prior_logits.dtype)[0]
    else:
        output = mctx.muzero_policy(**shared, dirichlet_fraction=0.0)
        drawn = np.zeros(actions)
    return {
        "world": {name: values.tolist() for name, values in world.items()},
        "legal": legal.tolist(),
        "noise": np.asarray(drawn).tolist(),
        "settings": {
            "simulations": simulations,
            "discount": discount,
            "depth": depth,
            "rule": {"kind": "gumbel", "considered": considered, "noise": noise}
            if rule == "gumbel"
            else {"kind": "puct"},
        },
        "action": int(output.action[0]) if rule == "gumbel" else None,
        "policy": np.asarray(output.action_weights[0]).tolist(),
        "nodes": paths(output.search_tree, world),
    }


def main() -> None:
    cases = [searched(seed, case) for seed, case in enumerate(CASES)]
    path = Path(__file__).parent / "mctx_trees.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n", encoding="utf-8")
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
