"""A batch of pieces as arrays: control tokens in place, document ends, scores, and counts by source.

P pieces of the batch  N tokens of the batch  S sources
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from think.core.data.manifest import Columns, Share
from think.core.data.pieces import Piece
from think.core.data.sources import GAP
from think.core.data.tokenizer import PAD, UNK, Tokenizer
from think.core.errors import BadData, BadSettings

BATCH_CHARACTERS = 1 << 20
BATCH_PIECES = 1 << 14
"""Bounds of what is encoded at once: enough to keep all threads busy, little enough to be flat in memory."""


class Encoded(NamedTuple):
    """tokens [N] of the tokenizer's dtype · mask uint8 [N] · ends int64: positions after a document's last token ·
    starts int64 [P+1]: where each piece begins, and N · counts int64 [P, 5]: source, documents, characters, tokens,
    unknown of each piece · labels [N] of the tokenizer's dtype, pad where nothing is asked; None without any"""

    tokens: np.ndarray
    mask: np.ndarray
    ends: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    labels: np.ndarray | None = None

    def beside(self, start: int, stop: int) -> dict[Columns, np.ndarray]:
        """What is known of tokens start … stop besides their ids."""
        known: dict[Columns, np.ndarray] = {"mask": self.mask[start:stop]}
        return known if self.labels is None else {**known, "labels": self.labels[start:stop]}


def batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Group pieces into batches of bounded size."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.text)
        if size >= BATCH_CHARACTERS or len(batch) >= BATCH_PIECES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def encode(tokenizer: Tokenizer, pieces: Sequence[Piece]) -> Encoded:
    """Encode pieces and put the control tokens around them."""
    flat, lengths = tokenizer.encode_flat([piece.text for piece in pieces])
    before = _integers(len(piece.before) for piece in pieces)
    after = _integers(len(piece.after) for piece in pieces)
    starts = np.concatenate([[0], np.cumsum(before + lengths + after)])

    controls = _integers(token for piece in pieces for token in (*piece.before, *piece.after))
    places = _control_places(starts[:-1], before, starts[1:], after)
    is_text = np.ones(starts[-1], bool)
    is_text[places] = False
    tokens = np.empty(starts[-1], tokenizer.dtype)
    tokens[is_text] = flat
    tokens[places] = controls

    scored = np.fromiter((piece.text_scored for piece in pieces), np.uint8, len(pieces))
    mask = np.repeat(scored, before + lengths + after)
    mask[places] = np.fromiter((flag for piece in pieces for flag in _control_scores(piece)), np.uint8, len(places))

    ending = np.fromiter((piece.ends for piece in pieces), bool, len(pieces))
    unknown = np.add.reduceat(np.append(flat == UNK, False), np.cumsum(lengths) - lengths) * (lengths > 0)
    counts = np.stack(
        [
            _integers(piece.source for piece in pieces),
            ending.astype(np.int64),
            _integers(len(piece.text) for piece in pieces),
            before + lengths + after,
            unknown,
        ],
        axis=1,
    )
    labels = _labels(tokenizer, pieces, is_text, starts[-1], lengths)
    return Encoded(tokens, mask, starts[1:][ending], starts, counts, labels)


def _labels(
    tokenizer: Tokenizer, pieces: Sequence[Piece], is_text: np.ndarray, total: int, lengths: np.ndarray
) -> np.ndarray | None:
    """Labels of a batch whose pieces all have them. Raises BadSettings when a character is not one token."""
    texts = [piece.labels for piece in pieces if piece.labels is not None]
    if not texts:
        return None
    if tokenizer.kind != "character":
        raise BadSettings(
            f"labels stand at characters, and the tokenizer is {tokenizer.kind}",
            where="tokenizer.kind",
            expected="a token for every character",
            remedy="--set tokenizer.kind=character",
        )
    flat, sizes = tokenizer.encode_flat(texts)
    if len(texts) != len(pieces) or not np.array_equal(sizes, lengths):
        raise BadData("labels and text differ in length", expected="one label, or a gap, for every character")
    asked = np.fromiter((character != GAP for text in texts for character in text), bool, len(flat))
    if (flat[asked] == UNK).any():
        raise BadData(
            "the tokenizer does not know a label",
            expected="a tokenizer whose characters are those of the task",
            remedy="pack without --tokenizer: one is made for the task",
        )
    labels = np.full(total, PAD, tokenizer.dtype)
    labels[is_text] = np.where(asked, flat, PAD)
    return labels


def added(given: Sequence[Share], counts: np.ndarray) -> list[Share]:
    """What each source has given, with the counts of more pieces added."""
    totals = np.zeros((len(given), 5), np.int64)
    np.add.at(totals, counts[:, 0], counts)
    return [
        share.model_copy(
            update={
                "documents": share.documents + int(row[1]),
                "characters": share.characters + int(row[2]),
                "tokens": share.tokens + int(row[3]),
                "unknown": share.unknown + int(row[4]),
            }
        )
        for share, row in zip(given, totals, strict=True)
    ]


def _integers(values: Iterable[int]) -> np.ndarray:
    return np.fromiter(values, np.int64)


def _control_scores(piece: Piece) -> Iterator[bool]:
    for _ in piece.before:
        yield False
    for number in range(len(piece.after)):
        yield number < piece.after_scored


def _control_places(starts: np.ndarray, before: np.ndarray, stops: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Positions of control tokens in the order of the pieces: `before` from each start, `after` up to each stop."""
    firsts = np.stack([starts, stops - after], axis=1).reshape(-1)
    lengths = np.stack([before, after], axis=1).reshape(-1)
    offsets = np.cumsum(lengths) - lengths
    return np.repeat(firsts - offsets, lengths) + np.arange(lengths.sum())
