"""Pointer chase: a table of sixteen arrows, then questions: k signs and a node; where do k arrows lead from there?

The table is one cycle through all nodes, each node with its successor, in random order. How far to go is known before
the node is, so that all hops must be made at one symbol: the task measures depth. The k signs are alike, so that more
of them than in training can be asked for.
"""

from random import Random

from think.core.data.tasks import UNSCORED, Prediction, Row, Task

NODES = 16
HOP = NODES
QUESTIONS = 8
"In one row: each table is read for several of them."


def propose(random: Random, size: int) -> Row:
    """A table, and questions that are all `size` hops deep; fewer hops than nodes, so that no path comes home."""
    cycle = random.sample(range(NODES), NODES)
    place = {node: index for index, node in enumerate(cycle)}
    order = random.sample(range(NODES), NODES)
    symbols = [symbol for node in order for symbol in (node, cycle[(place[node] + 1) % NODES])]
    labels = [UNSCORED] * len(symbols)
    starts = random.choices(range(NODES), k=QUESTIONS)
    for start in starts:
        symbols += [*[HOP] * size, start]
        labels += [*[UNSCORED] * size, cycle[(place[start] + size) % NODES]]
    successors = (cycle[(place[node] + 1) % NODES] for node in range(NODES))
    return Row(tuple(symbols), tuple(labels), (size, *successors, *starts))


SPEC = Task(
    family="recall",
    symbols=NODES + 1,
    propose=propose,
    size="hops",
    trained=(1, 8),
    tested=(1, 2, 4, 8, 12),
    chance=lambda size: 1 / (NODES - 1),
    trial="all",
    predictions=(
        Prediction(
            "any stack of layers without latent steps",
            "falls towards chance where the hops outnumber what its layers can do at one symbol: about one a layer, "
            "or a doubling a layer for attention",
            "Sanford et al. 2024 (k-hop induction heads)",
        ),
        Prediction(
            "a state of fixed size",
            "has to hold the whole table: sixteen bindings, well within reach",
            "Arora et al. 2023",
        ),
    ),
)
