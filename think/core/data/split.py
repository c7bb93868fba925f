"""Which part of a source is held out: whole documents where there are enough, else the end of the text.

The choice depends on the source alone and is recorded in the manifest as a `Division`.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from think.core.data.manifest import Division, SplitName
from think.core.data.sources import Document
from think.core.errors import BadData

ENOUGH_DOCUMENTS = 20
"""With fewer, one document is too large a share to hold out."""

SPLIT_SEED = 2025
"""Fixed, not a setting: trained models are compared on what this holds out."""


def plan(documents: Callable[[], Iterator[Document]], share: float, where: str) -> Division:
    """Decide how to divide a source, reading at most its first 20 documents or, if they are fewer, all of them twice.

    Raises BadData for a source without text, or with a single conversation that cannot be cut.
    """
    sizes = [_Size.of(document) for document in islice(documents(), ENOUGH_DOCUMENTS)]
    if not sizes:
        raise BadData("there is no text in this source", where=where, remedy="give a source that contains text")
    if share == 0.0:
        return Division(by="none", share=share)
    if len(sizes) == ENOUGH_DOCUMENTS:
        return Division(by="document", share=share, seed=SPLIT_SEED)
    return _by_text(documents, sizes, share, where)


class _Size(NamedTuple):
    characters: int
    divisible: bool

    @classmethod
    def of(cls, document: Document) -> "_Size":
        if document.turns:
            return cls(sum(len(turn.text) for turn in document.turns), divisible=False)
        text = document.text
        return cls(len(text) if isinstance(text, str) else sum(map(len, text)), divisible=True)


def _by_text(documents: Callable[[], Iterator[Document]], sizes: list[_Size], share: float, where: str) -> Division:
    target = math.floor(sum(size.characters for size in sizes) * (1 - share))
    number = 0
    while number < len(sizes) - 1 and target >= sizes[number].characters:
        target -= sizes[number].characters
        number += 1
    if not sizes[number].divisible:
        if len(sizes) == 1:
            raise BadData(
                "a single conversation cannot be divided into train and validation",
                where=where,
                remedy="give more conversations, or set data.validation=0.0",
            )
        return Division(by="text", share=share, document=max(number, 1), character=0, at_line=True)
    document = next(islice(documents(), number, None))
    last = number == len(sizes) - 1
    place, at_line = _line_near(document, target, sizes[number].characters - 1 if last else sizes[number].characters)
    return Division(by="text", share=share, document=number, character=place, at_line=at_line)


def _line_near(document: Document, target: int, limit: int) -> tuple[int, bool]:
    """The first start of a line from the target up to the limit, else the last before it, else the target itself."""
    position = before = 0
    for fragment in [document.text] if isinstance(document.text, str) else document.text:
        start = fragment.find("\n", max(target - 1 - position, 0)) + 1
        if start and position + start <= limit:
            return position + start, True
        if earlier := fragment.rfind("\n", 0, max(target - 1 - position, 0)) + 1:
            before = position + earlier
        position += len(fragment)
    return (before, True) if before else (target, False)


def part(documents: Iterator[Document], division: Division, split: SplitName, source: int) -> Iterator[Document]:
    """The documents of one split, in order; what belongs to the other one is read past."""
    for number, document in enumerate(documents):
        if division.by == "text":
            kept = _side(document, number, division, split)
        else:
            kept = document if _held_out(number, division, source) == (split == "validation") else None
        if kept is not None:
            yield kept


def _held_out(number: int, division: Division, source: int) -> bool:
    """One document of each run of 1 / share documents, drawn by hash.

    So the share is exact, every stretch of the source is represented, and no period in it can line up with the choice.
    """
    if division.by == "none":
        return False
    share = Fraction(str(division.share))
    run = number * share.numerator // share.denominator
    start, end = (-(-edge * share.denominator // share.numerator) for edge in (run, run + 1))
    if run == 0:
        end = min(end, ENOUGH_DOCUMENTS)  # the source may hold no more than these
    drawn = hashlib.blake2b(f"{division.seed}/{source}/{run}".encode(), digest_size=8).digest()
    return number == start + int.from_bytes(drawn, "little") % (end - start)


def _side(document: Document, number: int, division: Division, split: SplitName) -> Document | None:
    """What of a document lies on this side of the cut."""
    assert division.document is not None
    assert division.character is not None
    if number != division.document or document.turns:
        return document if (number >= division.document) == (split == "validation") else None
    place = division.character
    if isinstance(document.text, str):
        text = document.text[:place] if split == "train" else document.text[place:]
        return Document(text, where=document.where) if text else None
    if split == "train" and place == 0:
        return None
    cut = _until(document.text, place) if split == "train" else _from(document.text, place)
    return Document(cut, where=document.where)


def _until(fragments: Iterable[str], place: int) -> Iterator[str]:
    for fragment in fragments:
        if place > 0:
            yield fragment[:place]
        place -= len(fragment)


def _from(fragments: Iterable[str], place: int) -> Iterator[str]:
    for fragment in fragments:
        if len(fragment) > place:
            yield fragment[max(place, 0) :]
        place -= len(fragment)
