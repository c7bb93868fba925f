"""The embedded default corpus: short stories and worked reasoning problems, generated, so that nothing needs a network.

Document i is drawn from random streams named (seed, i, attempt); no two documents are equal.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from think.core import plugins
from think.core.data import reasoning, storytelling
from think.core.data.reasoning import kinds, records, reports
from think.core.data.sources import Document, Origin, Reading, Source, SourceSettings
from think.core.data.storytelling.telling import tell
from think.core.errors import BadData
from think.presets.base import Fraction, knob

MENDED_SHARE = 0.2
"Share of reasoning documents with a slip that is found and put right: enough to be learnt, few enough to be a slip."

TYPICAL_BYTES = 440
"Mean length of a document, for progress only."


class Settings(SourceSettings):
    """A generated corpus of short texts."""

    kind: Literal["stories"] = "stories"
    count: PositiveInt = knob(3200, acts_on="data")
    "documents generated"
    seed: NonNegativeInt = knob(0, acts_on="data")
    "names the random streams; another seed gives other documents"
    reasoning: Fraction = knob(0.3, acts_on="data")
    "share of the documents that are reasoning problems with a worked report; the others are stories"


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """Every document in order. Raises BadData when the grammar has no new document left."""
    families = [plugins.load(kinds.FAMILY, name) for name in plugins.names(kinds.FAMILY)]
    seen: set[bytes] = set()
    for index in range(settings.count):
        text = _new_text(settings, index, families, seen)
        reading.advance(TYPICAL_BYTES)
        yield Document(text, where=f"stories:{index}")


def origins(settings: Settings) -> tuple[Origin, ...]:
    """One generator; its digest covers the settings and the code that writes the text."""
    code = hashlib.sha256(settings.model_dump_json(exclude={"weight"}).encode())
    for package in (reasoning, storytelling):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            code.update(path.read_bytes())
    code.update(Path(__file__).read_bytes())
    name = f"stories count={settings.count} seed={settings.seed} reasoning={settings.reasoning}"
    return (Origin(name, settings.count * TYPICAL_BYTES, code.hexdigest()),)


def _new_text(settings: Settings, index: int, families: list[kinds.Kind], seen: set[bytes]) -> str:
    for attempt in range(records.ATTEMPTS):
        random = Random(f"think stories {settings.seed} {index} {attempt}")
        text = _problem(random, families) if random.random() < settings.reasoning else tell(random)
        key = hashlib.blake2b(text.encode(), digest_size=12).digest()
        if key not in seen:
            seen.add(key)
            return text
    raise BadData(f"no new text in {records.ATTEMPTS} draws", where=f"stories:{index}", expected="a smaller count")


def _problem(random: Random, families: list[kinds.Kind]) -> str:
    problem = records.propose(random.choice(families), random)
    report = reports.mended if random.random() < MENDED_SHARE else reports.correct
    return f"Problem: {problem.question}\n{report(problem, random)}"


SPEC = Source(Settings, documents, origins)
