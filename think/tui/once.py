"""One frame without a screen, as plain data for scripts."""

import time
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from think.tui.feed import Feed
from think.tui.view import Series, View

SCHEMA = "think.tui.frame/1"

PATIENCE_SECONDS = 10.0
"After which a frame is given as it is: its curves say whether they are only sampled."

POINTS = 240
"Of a curve, at most; each is the range of its neighbours."


def once(feed: Feed, *, patience: float = PATIENCE_SECONDS) -> View:
    """A view in which all that can be read in so many seconds has been read."""
    begun = time.monotonic()
    newest = feed.tick()  # the first one only looks; the second begins to work
    newest = feed.tick() or newest
    while feed.busy and time.monotonic() - begun < patience:
        newest = feed.tick() or newest
    feed.refresh()
    view = feed.tick(0.0) or newest
    assert view is not None  # `refresh` asks for one
    return view


def frame(view: View, *, points: int = POINTS) -> dict[str, Any]:
    """The view as JSON holds it: objects, lists, text, numbers (NaN and infinities are the caller's to write)."""
    found: dict[str, Any] = _plain(view, points)
    return found


def thinned(series: Series, points: int) -> dict[str, Any]:
    """A curve in at most so many points; the lowest and highest value of each group of buckets stay."""
    n = len(series)
    starts = np.unique(np.linspace(0, n, min(points, n), endpoint=False).astype(np.int64))
    ends = np.append(starts[1:], n) - 1 if n else starts
    return {
        "sampled": series.sampled,
        "width": series.width,
        "steps": series.steps[ends].astype(np.int64).tolist(),
        "times": series.times[ends].tolist(),
        "minimum": np.fmin.reduceat(series.minimum, starts).tolist() if n else [],
        "maximum": np.fmax.reduceat(series.maximum, starts).tolist() if n else [],
        "last": series.last[ends].tolist(),
        "count": np.add.reduceat(series.count, starts).astype(np.int64).tolist() if n else [],
        "not_finite": np.add.reduceat(series.non_finite, starts).astype(np.int64).tolist() if n else [],
    }


def _plain(value: Any, points: int) -> Any:
    if isinstance(value, Series):
        return thinned(value, points)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), points) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, points) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner, points) for inner in value]
    return value
