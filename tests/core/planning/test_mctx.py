"""The reference grows the trees of mctx; tests/golden/make_mctx_trees.py made those, with mctx itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from think.core.planning import reference
from think.core.planning.rules import SearchSettings

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "mctx_trees.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("golden", GOLDEN, ids=range(len(GOLDEN)))
def test_trees_of_mctx(golden: dict[str, Any]) -> None:
    table = golden["world"]
    everything = [True] * len(golden["legal"])

    def step(path: tuple[int, ...], action: int) -> tuple[tuple[int, ...], float, bool]:
        state = path[-1]
        after = table["next"][state][action]
        return (*path, after), table["reward"][state][action], table["terminal"][after]

    def evaluate(path: tuple[int, ...]) -> tuple[list[float], float, list[bool]]:
        legal = golden["legal"] if len(path) == 1 else everything
        return table["logits"][path[-1]], table["value"][path[-1]], legal

    settings = SearchSettings.model_validate_json(json.dumps(golden["settings"]))
    found = reference.search((0,), reference.World(step, evaluate), settings, golden["noise"])

    nodes = {tuple(map(int, path.split())): figures for path, figures in golden["nodes"].items()}
    assert {path: node.visits for path, node in found.tree.items()} == {path: int(n) for path, (n, _) in nodes.items()}
    for path, (_, value) in nodes.items():
        assert found.tree[path].value == pytest.approx(value, abs=1e-9)
    assert [found.policy.get(a, 0.0) for a in range(len(everything))] == pytest.approx(golden["policy"], abs=1e-5)
    if golden["action"] is not None:
        assert found.action == golden["action"]
