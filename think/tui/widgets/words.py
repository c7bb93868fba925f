"""States and verdicts as a symbol, a word and a role: each can be told apart without colour."""

from collections.abc import Mapping

from think.tui.widgets.cells import Span

STATES: dict[str, tuple[str, str]] = {
    "created": ("○", "dim"),
    "running": ("●", "good"),
    "stalled": ("◌", "warn"),
    "dead": ("✕", "bad"),
    "finished": ("✓", "info"),
    "interrupted": ("■", "warn"),
    "diverged": ("✕", "bad"),
    "failed": ("✕", "bad"),
    "gone": ("–", "bad"),
    "unread": ("·", "dim"),
}
"State -> symbol and role."

VERDICTS: dict[str, tuple[str, str]] = {
    "PASS": ("✓", "good"),
    "WARN": ("!", "warn"),
    "FAIL": ("✕", "bad"),
    "NO_EVIDENCE": ("?", "warn"),
    "BLOCKED": ("⊘", "warn"),
    "WAIVED": ("~", "info"),
    "": ("·", "dim"),
}

LEVELS = {"info": "", "warning": "warn", "error": "bad"}
"Level of a notice -> role."

MARKS = {"info": "·", "warning": "!", "error": "✕"}


def state(word: str) -> Span:
    """● running"""
    symbol, role = STATES[word]
    return f"{symbol} {word}", role


def verdict(word: str) -> Span:
    """✓ PASS; a gate without a verdict is "not judged"."""
    symbol, role = VERDICTS.get(word, ("?", "warn"))
    return f"{symbol} {word or 'not judged'}", role


def tally(counts: Mapping[str, int]) -> list[Span]:
    """✓3 ✕1: how many gates say what, worst first."""
    order = ("FAIL", "NO_EVIDENCE", "BLOCKED", "WARN", "WAIVED", "PASS")
    found: list[Span] = []
    for word in order:
        if word in counts:
            found += [(" ", "")] if found else []
            symbol, role = VERDICTS[word]
            found.append((f"{symbol}{counts[word]}", role))
    return found
