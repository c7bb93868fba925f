"""Documents as a sequence of pieces, each small enough to encode at once.

The sequence depends on the documents alone, so its position is an integer from which packing can be resumed. Long text
is cut where encoding the parts gives exactly the ids of the whole: byte-level BPE never merges across the boundary
before a single space, or after a single line feed, between two solid characters. Its word pattern is

    's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+

in which a run of white space can only end elsewhere when more white space precedes or follows the cut.
"""

import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from think.core.data.sources import Document
from think.core.data.tokenizer import ASSISTANT, BOS, ENDOFTURN, EOS, SYSTEM, USER

PIECE_CHARACTERS = 1 << 16
"""Large enough to make per-piece work negligible, small enough to spread over threads."""

FORCED_CUT_CHARACTERS = 1 << 20
"""Text without any safe place for so long is not language. It is cut anyway, to keep memory flat; the text survives
exactly, only its ids at that one place may differ from an encoding of the whole."""

_ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
_PUNCTUATION = frozenset(string.punctuation)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one document.

    before, after   control tokens around the text
    source          index of the source it comes from
    text_scored     whether a model is to be scored on the text
    after_scored    how many of the tokens in `after` a model is to be scored on
    ends            the document ends here
    labels          what a model has to say after each character, with gaps; None: what comes next
    """

    text: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    source: int
    text_scored: bool = True
    after_scored: int = 0
    ends: bool = True
    labels: str | None = None


def pieces_of(document: Document, source: int) -> Iterator[Piece]:
    """The pieces of one document: bos … eos around plain text; around turns also role … endofturn each.

    A document with labels is one piece after bos: there is no end to be predicted.
    """
    if document.labels is not None:
        yield Piece("".join(document.text), (BOS,), (), source, labels=document.labels)
    elif document.turns:
        yield from _turns(document, source)
    elif isinstance(document.text, str) and len(document.text) <= PIECE_CHARACTERS:
        yield Piece(document.text, (BOS,), (EOS,), source, after_scored=1)
    else:
        fragments = _even([document.text] if isinstance(document.text, str) else document.text)
        yield from _framed(cut_safely(fragments), (BOS,), (EOS,), source, scored=True, after_scored=1, ends=True)


def _turns(document: Document, source: int) -> Iterator[Piece]:
    last = len(document.turns) - 1
    for number, turn in enumerate(document.turns):
        before = (BOS, _ROLES[turn.role]) if number == 0 else (_ROLES[turn.role],)
        after = (ENDOFTURN, EOS) if number == last else (ENDOFTURN,)
        scored = turn.role == "assistant"
        texts = cut_safely(_even([turn.text]))
        yield from _framed(texts, before, after, source, scored=scored, after_scored=int(scored), ends=number == last)


def _framed(
    texts: Iterable[str],
    before: tuple[int, ...],
    after: tuple[int, ...],
    source: int,
    *,
    scored: bool,
    after_scored: int,
    ends: bool,
) -> Iterator[Piece]:
    """Pieces of consecutive texts, with `before` on the first and `after` on the last."""
    iterator = iter(texts)
    held = next(iterator, "")
    for text in iterator:
        yield Piece(held, before, (), source, scored, 0, ends=False)
        held, before = text, ()
    yield Piece(held, before, after, source, scored, after_scored, ends)


def cut_safely(fragments: Iterable[str]) -> Iterator[str]:
    """Cut a stream of text where its encoding is not changed; the parts concatenate to the stream."""
    buffer = ""
    for fragment in fragments:
        buffer += fragment
        if len(buffer) >= PIECE_CHARACTERS:
            place = last_safe_cut(buffer)
            if not place and len(buffer) >= FORCED_CUT_CHARACTERS:
                place = len(buffer)
            if place:
                yield buffer[:place]
                buffer = buffer[place:]
    if buffer:
        yield buffer


def last_safe_cut(text: str) -> int:
    """A late position at which a text can be cut without changing its ids, line ends preferred; 0 without any."""
    for mark in "\n ":
        at = len(text) - 1
        while (at := text.rfind(mark, 1, at)) > 0:
            if _solid(text[at - 1]) and _solid(text[at + 1]):
                return at + 1 if mark == "\n" else at
    return 0


def _solid(character: str) -> bool:
    """Surely no white space, whichever edition of Unicode the tokenizer knows."""
    return character.isalnum() or character in _PUNCTUATION


def _even(fragments: Iterable[str]) -> Iterator[str]:
    """The same text in fragments of exactly PIECE_CHARACTERS, so that cuts do not depend on how it was read."""
    buffer = ""
    for fragment in fragments:
        buffer = buffer + fragment if buffer else fragment
        end = len(buffer) - len(buffer) % PIECE_CHARACTERS
        for start in range(0, end, PIECE_CHARACTERS):
            yield buffer[start : start + PIECE_CHARACTERS]
        buffer = buffer[end:]
    if buffer:
        yield buffer
