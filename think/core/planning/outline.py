"""A search tree as people look at it: the branches that were visited, each with what it was worth.

root = outline(found, most=6, depth=4)          of one position
picture(root, name)                             the same as SVG; name: the text of an action
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from think.core.planning.search import Result

COLUMN, ROW, MARGIN, CHARACTER = 190, 26, 12, 7.2
"Pixels of a level, a branch, the border, and a character of the labels."
LONGEST_NAME = 12
"Characters of an action's text that a picture shows."


@dataclass(frozen=True)
class Branch:
    """A node of the tree.

    action    that led here; None at the root      visits   of the node, its own evaluation counted
    value     of the action: reward and what follows; of the root: the mean of what its visits returned
    prior     probability of the action before the search; 1 at the root
    chosen    on the line that the search decided for
    ends      nothing follows
    children  the most visited ones, the most visited first
    others    further actions that were visited and are left out
    """

    action: int | None
    visits: int
    value: float
    prior: float
    chosen: bool
    ends: bool
    children: tuple["Branch", ...]
    others: int

    def as_json(self) -> dict[str, Any]:
        """All of it, children within."""
        fields = ("action", "visits", "value", "prior", "chosen", "ends", "others")
        return {name: getattr(self, name) for name in fields} | {"children": [each.as_json() for each in self.children]}


def outline(found: Result, *, most: int, depth: int, position: int = 0) -> Branch:
    """The tree of a position: at most `most` children of a node, `depth` levels below the root.

    The chosen line is always among them, as far as it was visited.
    """
    tree = found.tree
    action = int(found.action[position])
    first = int(tree.child[position, 0, action])
    line = (action, *(tree.line(position, first) if first >= 0 else ()))

    def branch(node: int, led: int | None, value: float, prior: float, level: int, chosen: bool) -> Branch:
        taken = tree.taken[position, node]
        visited = [int(each) for each in taken.argsort(descending=True, stable=True) if int(taken[each]) > 0]
        follows = line[level] if chosen and level < len(line) else None
        shown: list[int] = []
        if level < depth:
            shown = visited[:most]
            if follows in visited and follows not in shown:
                shown[-1] = follows
        priors = tree.prior[position, node]
        children = tuple(
            branch(
                int(tree.child[position, node, each]),
                each,
                float(tree.q[position, node, each]),
                float(priors[each]),
                level + 1,
                each == follows,
            )
            for each in shown
        )
        visits, ends = int(tree.visits[position, node]), bool(tree.terminal[position, node])
        return Branch(led, visits, value, prior, chosen, ends, children, len(visited) - len(shown))

    return branch(0, None, float(found.value[position]), 1.0, 0, chosen=True)


def picture(root: Branch, name: Callable[[int], str]) -> str:
    """The tree from left to right as an SVG file; equal trees give equal files."""
    places: dict[int, tuple[int, float]] = {}
    lines = iter(range(10**6))

    def place(branch: Branch, level: int) -> float:
        heights = [place(child, level + 1) for child in branch.children]
        height = (heights[0] + heights[-1]) / 2 if heights else float(next(lines))
        places[id(branch)] = (level, height)
        return height

    place(root, 0)
    levels, heights = max(level for level, _ in places.values()), max(height for _, height in places.values())
    size = (2 * MARGIN + (levels + 1) * COLUMN, 2 * MARGIN + (heights + 1) * ROW)
    body = [*_edges(root, places), *_nodes(root, places, name)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]:.0f}" height="{size[1]:.0f}" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" font-family="monospace" font-size="12">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>"]) + "\n"


def _edges(branch: Branch, places: dict[int, tuple[int, float]]) -> Iterator[str]:
    """A line to each child, as wide as its share of the visits."""
    x, y = _at(places[id(branch)])
    for child in branch.children:
        to_x, to_y = _at(places[id(child)])
        share = child.visits / max(1, branch.visits)
        start, middle = x + COLUMN - 40, x + COLUMN - 20
        colour = "#0b6bcb" if child.chosen else "#b8bec6"
        yield (
            f'<path d="M {start:.1f} {y:.1f} C {middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}" '
            f'fill="none" stroke="{colour}" stroke-width="{1 + 5 * share:.2f}"/>'
        )
        yield from _edges(child, places)


def _nodes(branch: Branch, places: dict[int, tuple[int, float]], name: Callable[[int], str]) -> Iterator[str]:
    x, y = _at(places[id(branch)])
    text = "root" if branch.action is None else name(branch.action)
    shown = text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
    weight = ' font-weight="bold"' if branch.chosen else ""
    label = f"{shown} {branch.visits} · {branch.value:.2f}"
    told = f"{text}: {branch.visits} visits, value {branch.value:.4f}, prior {branch.prior:.4f}"
    told += ", ends here" if branch.ends else ""
    told += f", {branch.others} further actions" if branch.others else ""
    width = CHARACTER * len(label) + 8
    yield (
        f"<g><title>{_safe(told)}</title>"
        f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="{width:.1f}" height="18" rx="4" fill="#ffffff" '
        f'stroke="{"#0b6bcb" if branch.chosen else "#b8bec6"}"/>'
        f'<text x="{x + 4:.1f}" y="{y + 4:.1f}"{weight}>{_safe(label)}</text></g>'
    )
    for child in branch.children:
        yield from _nodes(child, places, name)


def _at(place: tuple[int, float]) -> tuple[float, float]:
    level, height = place
    return MARGIN + level * COLUMN, MARGIN + (height + 0.5) * ROW


def _safe(text: str) -> str:
    """As XML takes it: control characters have no place in it at all."""
    return escape("".join(letter if letter.isprintable() else "�" for letter in text))
