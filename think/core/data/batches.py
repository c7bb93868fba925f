"""Batches for state handoff: row b of one step goes on where row b of the last step ended.

An epoch is all documents in an order drawn from (seed, epoch), turned by an offset from the same draw so that even a
corpus of one document is cut elsewhere each time. This circular stream is divided into `rows` contiguous tracks. What
stands at a position is a pure function of (seed, position): a run's whole cursor is one integer, and the length of the
windows can change at any time without moving a token.

R rows  T length
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from think.core.data.store import Split
from think.core.data.tokenizer import PAD
from think.core.errors import BadData

EVERY_ROW = slice(None)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step consumes.

    targets are the tokens that come next, or the labels of a pack that has them.
    weights is 1 where the target is scored, 0 at document starts, padding and turns that are not the assistant's.
    reset is true where a token begins a new document, or its track does, or a reset period ends.
    """

    tokens: Int64[Tensor, "R T"]
    targets: Int64[Tensor, "R T"]
    weights: Float32[Tensor, "R T"]
    reset: Bool[Tensor, "R T"]

    def rows(self, part: slice) -> "Batch":
        """Some of the rows: accumulation splits rows, never time."""
        return Batch(self.tokens[part], self.targets[part], self.weights[part], self.reset[part])

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device; the way to a cuda device is taken while the processor goes on."""
        if torch.device(device).type != "cuda":
            return Batch(
                self.tokens.to(device), self.targets.to(device), self.weights.to(device), self.reset.to(device)
            )
        parts = (self.tokens, self.targets, self.weights, self.reset)
        return Batch(*(part.pin_memory().to(device, non_blocking=True) for part in parts))


@dataclass(frozen=True, slots=True)
class _Window:
    """A batch, or a part of one in time, as arrays [R, T]."""

    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    reset: np.ndarray


class Tracks:
    """The training stream of a split, for a number of rows. Holds no position: `at` is a pure function.

    mine: the rows that are read, of all of them; where several processes share a run, each reads its own.
    """

    def __init__(self, split: Split, rows: int, seed: int, reset_period: int | None = None, mine: slice = EVERY_ROW):
        if rows > split.tokens:
            raise _too_short(split, rows, 1)
        self._split, self._rows, self._seed, self._reset_period = split, rows, seed, reset_period
        bounds = np.arange(rows + 1) * split.tokens // rows
        self._begins, self._lengths = bounds[:-1][mine, None], np.diff(bounds)[mine, None]
        self._order = lru_cache(maxsize=2)(self._draw_order)  # a window touches at most two epochs

    @property
    def epoch_length(self) -> int:
        """Tokens per row and epoch. Where the split is not divisible, some rows end with one token of padding."""
        return -(-self._split.tokens // self._rows)

    def at(self, position: int, length: int) -> Batch:
        """The batch of `length` tokens per row that begins `position` tokens after the start of the stream.

        Raises BadData when the split has less than one such sequence per row.
        """
        if length > self.epoch_length:
            raise _too_short(self._split, self._rows, length)
        epoch, offset = divmod(position, self.epoch_length)
        first = min(length, self.epoch_length - offset)
        parts = [self._window(epoch, offset, first)]
        if first < length:
            parts.append(self._window(epoch + 1, 0, length - first))
        window = parts[0] if len(parts) == 1 else _joined(parts)
        if self._reset_period is not None:
            window.reset[:, -position % self._reset_period :: self._reset_period] = True
        return _as_tensors(window)

    def _window(self, epoch: int, offset: int, length: int) -> _Window:
        """Part of one epoch; one token more than `length` is read, for the last target."""
        order = self._order(epoch)
        inside = offset + np.arange(length + 1)
        stream = self._begins + inside
        missing = inside[:-1] >= self._lengths
        positions, begins = order.locate(stream)
        tokens = self._split.gather(positions)
        targets, scored = _targets(self._split, positions, tokens, begins)
        reset = begins[:, :-1] | (inside[:-1] == 0)
        return _Window(
            tokens=np.where(missing, PAD, tokens[:, :-1]),
            targets=np.where(missing, PAD, targets),
            weights=(scored & ~missing).astype(np.float32),
            reset=reset & ~missing,
        )

    def _draw_order(self, epoch: int) -> "_Order":
        return _Order.draw(self._split, self._seed, epoch)


@dataclass(frozen=True, slots=True)
class _Order:
    """The circular stream of one epoch: where each document stands in it, and where it stands in the split."""

    offset: int
    stream_starts: np.ndarray
    split_starts: np.ndarray
    tokens: int

    @classmethod
    def draw(cls, split: Split, seed: int, epoch: int) -> "_Order":
        # Raw draws: numpy keeps the stream of a bit generator for ever, that of `permutation` it does not.
        draws = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(split.documents + 1)
        order = np.argsort(draws[:-1], kind="stable")
        lengths = (split.ends - split.starts)[order]
        starts = np.cumsum(lengths) - lengths
        return cls(int(draws[-1] % split.tokens), starts, split.starts[order], split.tokens)

    def locate(self, stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the split of positions in the stream, and whether a document begins there."""
        turned = (stream + self.offset) % self.tokens
        document = self.stream_starts.searchsorted(turned, side="right") - 1
        inside = turned - self.stream_starts[document]
        return self.split_starts[document] + inside, inside == 0


def passes(split: Split, rows: int, length: int, mine: slice = EVERY_ROW) -> Iterator[Batch]:
    """One pass over all tokens of a split, in order, every target scored once; the last batch is padded.

    The split is divided into `rows` contiguous tracks; as in training, row b goes on from batch to batch.
    mine: the tracks that are read, of all of them; however few, there are as many batches.
    """
    bounds = np.arange(rows + 1) * split.tokens // rows
    longest, starts, sizes = int(np.diff(bounds).max()), bounds[:-1][mine, None], np.diff(bounds)[mine, None]
    for offset in range(0, longest, length):
        inside = offset + np.arange(length + 1)
        missing = inside[:-1] >= sizes
        positions = np.minimum(starts + inside, split.tokens - 1)
        document = split.starts.searchsorted(positions, side="right") - 1
        begins = split.starts[document] == positions
        final = starts + inside[1:] >= split.tokens
        tokens = split.gather(positions)
        targets, scored = _targets(split, positions, tokens, begins)
        missing_target = missing if split.labelled else missing | final
        yield _as_tensors(
            _Window(
                tokens=np.where(missing, PAD, tokens[:, :-1]),
                targets=np.where(missing_target, PAD, targets),
                weights=(scored & ~missing_target).astype(np.float32),
                reset=(begins[:, :-1] | (inside[:-1] == 0)) & ~missing,
            )
        )


def _targets(
    split: Split, positions: np.ndarray, tokens: np.ndarray, begins: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is to be said after each token but the last of `positions`, and whether that is scored."""
    if split.labelled:
        labels = split.gather_labels(positions[:, :-1])
        return labels, labels != PAD
    return tokens[:, 1:], split.gather_mask(positions)[:, 1:].astype(bool) & ~begins[:, 1:]


def _joined(parts: list[_Window]) -> _Window:
    return _Window(
        tokens=np.concatenate([part.tokens for part in parts], axis=1),
        targets=np.concatenate([part.targets for part in parts], axis=1),
        weights=np.concatenate([part.weights for part in parts], axis=1),
        reset=np.concatenate([part.reset for part in parts], axis=1),
    )


def _as_tensors(window: _Window) -> Batch:
    return Batch(
        torch.from_numpy(window.tokens),
        torch.from_numpy(window.targets),
        torch.from_numpy(window.weights),
        torch.from_numpy(window.reset),
    )


def _too_short(split: Split, rows: int, length: int) -> BadData:
    return BadData(
        f"the corpus is too short: {split.tokens:,} tokens, {split.tokens // rows:,} for each of {rows} rows",
        expected=f"at least one sequence of {length:,} tokens per row, {rows * length:,} tokens",
        remedy="pack more text, or lower stage1.rows or stage1.length",
    )
