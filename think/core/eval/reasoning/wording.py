"""Words that pages of results share."""

from collections.abc import Mapping
from typing import Any

SEARCH, CHANCE = "search", "random_legal"
CONTROL = f"{SEARCH}_"
"Ways of answering whose names begin so are searches too, in another world or with something taken away."


SURE = 0.05
"Corrected p below which a difference is told."


def searched(search: Mapping[str, Any], without: str = "") -> str:
    """How it was searched, and which heads of the critic judged, or whose policy, where that was asked for.

    without: an option that had more than one value, and is left out
    """
    rule = search["rule"]
    parts: dict[str, str] = {"simulations": f"{search['simulations']} simulations"}
    if without != "rule" and rule["kind"] == "gumbel":
        parts["considered"] = f"{rule['considered']} actions considered"
        parts["value_scale"] = f"weight of values {rule['value_scale']:g}"
    elif without != "rule":
        parts["rule"] = f"by {rule['kind']}"
        parts["exploration"] = f"weight of the policy {rule['exploration']:g}"
    parts["rules_below"] = f"{'with' if search['rules_below'] else 'without'} the rules below the root"
    if "heads" in search:
        parts["heads"] = f"heads {'+'.join(map(str, search['heads']))} of the critic judge"
    if "caution" in search:
        parts["caution"] = f"{search['caution']:g} standard deviations of the heads taken off"
    if search.get("keep_tree"):
        parts["keep_tree"] = "what was foreseen is kept from choice to choice"
    if "prior" in search:
        parts["prior"] = "the policy is that of all layers, fused"
    return f"Search: {', '.join(part for name, part in parts.items() if name != without)}."


def has_to_be_beaten(way: str) -> bool:
    """Whether a search has to beat a way of answering: it is neither a search nor chance."""
    return way not in (SEARCH, CHANCE) and not way.startswith(CONTROL)


def share(arm: Mapping[str, Any]) -> str:
    return f"{100 * arm['share']:.1f} % ({100 * arm['low']:.1f} – {100 * arm['high']:.1f})"


def puzzles(result: Mapping[str, Any]) -> str:
    task = result["task"]
    return " ".join([task["kind"], *(f"{name}={value}" for name, value in task.items() if name != "kind")])


def run(result: Mapping[str, Any]) -> str:
    run = f"`{result['run']}`"
    return run if result["critic"] is None else f"{run}, `{result['critic_run']}`"
