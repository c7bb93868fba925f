"""Finds what is said to be shown and cites nothing that shows it. Standard library only.

A sentence in a note or a summary that says that something passed, beats, improves, proves, or gives a share or a loss
must name its evidence (E4) or its claim (C2, which has evidence or reads NOT TESTED), or say that it was not tested.
"""

import re

from think.core.handoff.state import Said, State

ASSERTS = re.compile(
    r"\b(pass(?:ed|es)|beats?|outperforms?|better than|worse than|improv(?:es|ed)|proves?|proven|proved|validated"
    r"|verified|confirmed|confirms)\b|\d\s?%|\bloss (?:of |is |= ?|at )?\d",
    re.IGNORECASE,
)
CITES = re.compile(r"\b([EC]\d+)\b")
_HONEST = re.compile(
    r"\bnot (?:been |yet )?(?:tested|verified|validated|proven|confirmed|pass(?:ed)?)\b|\buntested\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")


def uncited(state: State, said: Said) -> str | None:
    """The first sentence of a text that asserts and cites nothing that stands; None when there is none."""
    for sentence in _SENTENCE.split(said.text):
        if ASSERTS.search(_HONEST.sub("", sentence)) and not any(_stands(state, id) for id in CITES.findall(sentence)):
            return sentence.strip()
    return None


def _stands(state: State, id: str) -> bool:
    """Whether a cited id exists and was not taken back."""
    if id in state.evidence:
        return not state.evidence[id].retracted
    return id in state.claims and not state.claims[id].retracted


def all_uncited(state: State) -> list[tuple[Said, str]]:
    """Every text that was not taken back and asserts without citing, with the sentence."""
    found = [(said, uncited(state, said)) for said in state.said if said.event not in state.retracted]
    return [(said, sentence) for said, sentence in found if sentence is not None]
