"""The order in which sources give documents: one after the other, or mixed by weight.

Mixed, the next document always comes from the source that has given least text in proportion to its weight, so the
shares hold at every moment and the order depends on the documents alone. The mixture ends when the source whose turn it
is has no more: going on without it would change the shares, repeating it would count text twice. What the others have
left is counted as unused.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from think.core.data.sources import Document
from think.core.errors import BadSettings


@dataclass(slots=True)
class Unused:
    """What a source had left when the mixture ended."""

    documents: int = 0
    characters: int = 0


def check(weights: Sequence[float | None]) -> None:
    """Raise BadSettings when some sources have a weight and others have none."""
    without = [number for number, weight in enumerate(weights) if weight is None]
    if 0 < len(without) < len(weights):
        raise BadSettings(
            f"source {without[0]} has no weight, others have one",
            where="data.sources",
            expected="a weight for every source, or for none",
            remedy="give each source a weight; without any, all text of all sources is taken",
        )


def mix(
    sources: Sequence[Iterator[Document]], weights: Sequence[float | None], unused: Sequence[Unused]
) -> Iterator[tuple[int, Document]]:
    """Pairs of source and document. A document must be consumed before the next is asked for; fills `unused` last."""
    shares = [weight for weight in weights if weight is not None]
    if not shares:
        for number, documents in enumerate(sources):
            for document in documents:
                yield number, document
        return
    given = [0] * len(sources)
    while True:
        number = min(range(len(sources)), key=lambda index: given[index] / shares[index])
        found = next(sources[number], None)
        if found is None:
            break
        counted, count = counting(found)
        yield number, counted
        given[number] += count()
    for documents, left in zip(sources, unused, strict=True):
        for document in documents:
            left.documents += 1
            left.characters += characters(document)


def characters(document: Document) -> int:
    """Length of a document's text; consumes it when it is a stream."""
    counted, count = counting(document)
    if not isinstance(counted.text, str):
        for _ in counted.text:
            pass
    return count()


def counting(document: Document) -> tuple[Document, Callable[[], int]]:
    """The document, and a function that tells its length once it has been consumed."""
    if document.turns:
        return document, lambda: sum(len(turn.text) for turn in document.turns)
    if isinstance(text := document.text, str):
        return document, lambda: len(text)
    counted = _Counted(text)
    return Document(counted, where=document.where), lambda: counted.characters


class _Counted:
    def __init__(self, fragments: Iterable[str]):
        self._fragments = fragments
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for fragment in self._fragments:
            self.characters += len(fragment)
            yield fragment
