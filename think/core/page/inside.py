"""The inside of a model over a run: whose gradient it is, and how each recurrent state is doing."""

from think.core import internals
from think.core.facts import Facts
from think.core.page.chart import Chart, Level
from think.core.page.curves import steps_of
from think.core.page.heat import heat
from think.core.page.markup import Html, joined, table, tag
from think.core.plots import component_shares
from think.core.series import series

_MAPS = {
    "norm": "Root mean square of the state",
    "participation": "Participation ratio: directions that carry the state",
    "cosine": "Cosine between the states before and after a step",
    "saturated": "Share of gates that are saturated",
}


def gradients(facts: Facts) -> Html:
    """Shares of the components in the squared gradient norm, and the ratio of the branches."""
    shares = component_shares(facts.records)
    if not shares:
        return tag("p", "No gradient of a component was recorded.")
    steps = steps_of(facts)
    drawn = [Chart("Share of the squared gradient norm", "by component", shares, steps, from_zero=True).svg()]
    ratio = series(facts.records, "component_gradients", "ratio")
    level = [Level(1.0, "balance")]
    drawn.append(
        Chart("Ratio of the branches", "rwkv / mamba", {"ratio": ratio}, steps, levels=level, logarithmic=True).svg()
    )
    if said := internals.balance(facts.records):
        drawn.append(tag("p", said))
    drawn.append(table(internals.SHARES, internals.share_rows(facts.records), numbers=True))
    return joined(drawn)


def states(facts: Facts) -> Html:
    """Heat maps of state health by layer and branch over the steps, and the newest figures."""
    figures: dict[str, dict[tuple[int, str], dict[int, float]]] = {name: {} for name in _MAPS}
    for record in facts.of("state_health"):
        layer, branch = record.number("layer"), record.text("branch")
        if layer is None or branch is None or record.step is None or layer != layer or abs(layer) == float("inf"):
            continue
        for name, by_place in figures.items():
            if (value := record.number(name)) is not None:
                by_place.setdefault((int(layer), branch), {})[record.step] = value
    drawn = [_map(name, by_place) for name, by_place in figures.items() if by_place]
    if not drawn:
        return tag("p", "The health of the state was not recorded.")
    if said := internals.hidden(facts.records):
        drawn.append(tag("p", f"Entropy: {said}."))
    drawn.append(tag("p", "The newest look at each state; think/core/training/health.py says what the columns mean."))
    drawn.append(table(internals.HEALTH, internals.health_rows(facts.records), numbers=True))
    return joined(drawn)


def _map(name: str, by_place: dict[tuple[int, str], dict[int, float]]) -> Html:
    places = sorted(by_place)
    rows = [f"{layer} {branch}"[:24] for layer, branch in places]
    return heat(
        f"{_MAPS[name]}, by layer and branch", rows, [by_place[place] for place in places], logarithmic=name == "norm"
    )
