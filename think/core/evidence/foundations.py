"""What a tokenizer makes of the control tokens, and how far every kernel implementation is from its reference."""

import tempfile
from itertools import islice
from pathlib import Path

import tokenizers

from think.core.data.pack import texts
from think.core.data.store import Packed
from think.core.data.tokenizer import CONTROL, UNK, Tokenizer, train
from think.core.errors import ThinkError
from think.core.evidence import Producer, Subject
from think.core.evidence._kernels import comparisons, implementations
from think.core.gates.evidence import Absent, ControlToken, Exhibit, Foundations, Source
from think.core.provenance import commit

EXPECTED = tuple(f"<|{name}|>" for name in CONTROL)
TEXTS = 200
"Texts that a tokenizer is made from where nothing is packed yet; its control tokens do not depend on them."
SURROUNDINGS = ("{}", "a {} b", "{0}{0}", "\n{}\n", "<|{}", "x{}y", "<|<|bos|>{}|>")
"Ways in which a document may hold a control token's text form."


def produce(subject: Subject) -> Exhibit | Absent:
    """Probe the packed data's own tokenizer, or one made from the preset's sources, and compare all kernels."""
    try:
        tokenizer, origin = _tokenizer(subject)
    except ThinkError as error:
        where = f"{error.where}: " if error.where else ""
        return Absent(why=f"no tokenizer to look at: {where}{error.what}", remedy=error.remedy)
    commit_now, dirty = commit()
    return Exhibit(
        evidence=Foundations(
            control=control_tokens(tokenizer),
            expected_control=EXPECTED,
            implementations=implementations(),
            comparisons=comparisons(),
            tokenizer_origin=origin,
        ),
        source=Source(digests=dict(subject.digests), commit=commit_now, dirty=dirty),
    )


def control_tokens(tokenizer: Tokenizer) -> tuple[ControlToken, ...]:
    """Ask the stored tokenizer.json for each control token by name, and try to forge it with text."""
    with tempfile.TemporaryDirectory() as folder:
        stored = tokenizers.Tokenizer.from_file(str(tokenizer.save(Path(folder))))
    return tuple(
        ControlToken(
            text=text,
            ids=tuple(stored.encode(text, add_special_tokens=False).ids),
            injected=tuple(sorted(_forged(tokenizer, text))),
        )
        for text in EXPECTED
    )


def _forged(tokenizer: Tokenizer, text: str) -> set[int]:
    """Control ids that ordinary text brings about; `unk` is what a character tokenizer says to an unknown character."""
    attempts = [form.format(text) for form in SURROUNDINGS]
    ids = {number for encoded in tokenizer.encode_batch(attempts) for number in encoded}
    ids |= {number for attempt in attempts for number in tokenizer.encode(attempt)}
    return {number for number in ids if number < len(CONTROL) and number != UNK}


def _tokenizer(subject: Subject) -> tuple[Tokenizer, str]:
    """The tokenizer and where it comes from. Raises ThinkError when there is neither a pack nor a readable source."""
    if subject.data.is_dir():
        return Packed.open(subject.data).tokenizer, f"of {subject.data}"
    data = subject.settings.data
    made = train(subject.settings.tokenizer, islice(texts(data.sources, data), TEXTS))
    return made, f"made from the preset's sources ({subject.data} is not packed yet)"


SPEC = Producer(produce)
