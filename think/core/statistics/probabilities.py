"""Predicted probabilities against what came: do they rank, and do they mean what they say?

AUROC: the probability that an entry that came true was scored above one that did not; ties count half.
    [Hanley & McNeil 1982]
Calibration error: the entries of each of 15 equally wide bins of probability, |mean predicted - share that came true|,
weighed by how many they are.    [Guo et al. 2017, eq. 3]
Platt's scaling: sigmoid(a score + b), of least log loss towards targets kept off 0 and 1 by their counts, so that it is
finite even where a score separates all.    [Platt 1999]    Ours: a >= 0; a score that ranks the wrong way says nothing.

Entries of one `group`, such as the positions of one game, resemble each other, so the bootstrap resamples groups whole.

n entries  G groups  R resamples
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from think.core.statistics.intervals import LEVEL, RESAMPLES, Interval, Values, checked

BINS = 15
"Bins of probability that a calibration error is measured in."

_ENTRIES_AT_ONCE = 2_000_000
_NEWTON_STEPS = 100
_TINY = 1e-12

Weighted = Callable[[Values], Values]
"weights [R, n] of the entries -> one figure for each row"


class Platt(NamedTuple):
    """probability = sigmoid(scale score + bias). scale: one over the temperature, at least 0."""

    scale: float
    bias: float


def auroc(
    scores: ArrayLike,
    outcomes: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """How well scores rank what came true (outcome 1) above what did not (0). nan where only one of the two came.

    count: groups where there are some, else entries.
    """
    score, outcome = _paired(scores, outcomes)
    order = np.argsort(score, kind="stable")
    ranked, true = score[order], outcome[order]
    first = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))

    def figure(weights: Values) -> Values:
        weights = weights[:, order]
        positive = np.add.reduceat(weights * true, first, axis=1)
        negative = np.add.reduceat(weights * (1 - true), first, axis=1)
        below = negative.cumsum(axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.where(pairs > 0, (positive * below).sum(axis=1) / np.maximum(pairs, _TINY), np.nan)

    return _interval(figure, score.size, groups, resamples, seed, level)


def calibration_error(
    probabilities: ArrayLike,
    outcomes: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    bins: int = BINS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Expected calibration error, 0 to 1. Chance alone keeps it above 0, in a resample still more than in the data.

    Raises ValueError for a probability outside of [0, 1].
    """
    probability, outcome = _paired(probabilities, outcomes)
    if probability.min() < 0 or probability.max() > 1:
        raise ValueError(f"probabilities lie between 0 and 1: {probability.min()} to {probability.max()}")
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    off = np.zeros((probability.size, bins))
    off[np.arange(probability.size), place] = probability - outcome

    def figure(weights: Values) -> Values:
        return np.asarray(np.abs(weights @ off).sum(axis=1) / weights.sum(axis=1))

    return _interval(figure, probability.size, groups, resamples, seed, level)


def platt(scores: ArrayLike, outcomes: ArrayLike) -> Platt:
    """The scale and bias that turn scores into probabilities of these outcomes, by Newton's method."""
    score, outcome = _paired(scores, outcomes)
    positive = float(outcome.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (outcome.size - positive + 2)
    target = np.where(outcome > 0, high, low)
    share = float(target.mean())
    base = float(np.log(share / (1 - share)))
    spread = float(score.std())
    if spread < _TINY:
        return Platt(0.0, base)
    entries = np.stack([(score - score.mean()) / spread, np.ones_like(score)])
    fitted = np.array([0.0, base])
    loss = _log_loss(fitted @ entries, target)
    for _ in range(_NEWTON_STEPS):
        probability = _sigmoid(fitted @ entries)
        slope = entries @ (probability - target)
        curvature = (entries * (probability * (1 - probability))) @ entries.T + _TINY * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        while (now := _log_loss((fitted - step) @ entries, target)) > loss and np.abs(step).max() > _TINY:
            step /= 2
        fitted, loss = fitted - step, now
        if np.abs(step).max() < 1e-10:
            break
    if fitted[0] <= 0:
        return Platt(0.0, base)
    scale = float(fitted[0]) / spread
    return Platt(scale, float(fitted[1]) - scale * float(score.mean()))


def _sigmoid(x: Values) -> Values:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _log_loss(logits: Values, target: Values) -> float:
    return float((np.logaddexp(0, logits) - target * logits).sum())


def _paired(values: ArrayLike, outcomes: ArrayLike) -> tuple[Values, Values]:
    one, outcome = checked(values), checked(outcomes)
    if one.shape != outcome.shape:
        raise ValueError(f"{one.size} values for {outcome.size} outcomes")
    if not np.isin(outcome, (0.0, 1.0)).all():
        raise ValueError("an outcome is 0 or 1")
    return one, outcome


def _interval(
    figure: Weighted, entries: int, groups: ArrayLike | None, resamples: int, seed: int, level: float
) -> Interval:
    """Percentile interval over resamples of whole groups, the same resamples for equal groups and seed."""
    member = np.arange(entries) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    if member.shape != (entries,):
        raise ValueError(f"{member.size} groups for {entries} entries")
    count = int(member.max()) + 1
    value = float(figure(np.ones((1, entries)))[0])
    found = np.concatenate([figure(weights) for weights in _resampled(member, count, resamples, seed)])
    found = found[np.isfinite(found)]
    if count < 2 or not found.size or not np.isfinite(value):
        return Interval(value, -np.inf, np.inf, count, level)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(min(low, value)), float(max(high, value)), count, level)


def _resampled(member: NDArray[np.int64], count: int, resamples: int, seed: int) -> Iterator[Values]:
    """How often each entry is in each resample, some resamples at a time."""
    random = np.random.default_rng(seed)
    at_once = max(1, _ENTRIES_AT_ONCE // max(member.size, count))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = random.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        often = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield often[:, member].astype(np.float64)
