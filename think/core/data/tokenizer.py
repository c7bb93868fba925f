"""Text to ids and back: single characters, or byte-level byte-pair encoding, both kept as a `tokenizer.json`.

Ids 0 to 7 are control tokens. They are written by the packer and by the chat template only: text that spells
`<|eos|>` is encoded as the ordinary characters it consists of, so that data cannot forge the end of a document.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tokenizers
from pydantic import BaseModel, Field, ValidationError

from think.core.data.files import writing
from think.core.durable import replace_file
from think.core.errors import BadData, Missing
from think.presets.base import Settings, knob

CONTROL = ("pad", "unk", "bos", "eos", "system", "user", "assistant", "endofturn")
PAD, UNK, BOS, EOS, SYSTEM, USER, ASSISTANT, ENDOFTURN = range(len(CONTROL))
Kind = Literal["character", "bpe"]

CONTROL_TEXT = tuple(f"<|{name}|>" for name in CONTROL)

FILE_NAME = "tokenizer.json"
SMALLEST_BPE = len(CONTROL) + 256
"""The control tokens and one token for every byte."""

_CODE_POINTS = 0x110000


class CharacterSettings(Settings):
    """One token for every character that the corpus contains."""

    kind: Literal["character"] = "character"


class BpeSettings(Settings):
    """Byte-level byte-pair encoding: any text can be encoded."""

    kind: Literal["bpe"] = "bpe"
    size: Annotated[int, Field(ge=SMALLEST_BPE, le=1 << 20)] = knob(4096, acts_on="data")
    "entries of the vocabulary, control tokens included; a small corpus may give fewer"


TokenizerSettings = Annotated[CharacterSettings | BpeSettings, Field(discriminator="kind")]


class Tokenizer:
    """A trained tokenizer. Immutable."""

    def __init__(self, serialized: str, where: str = "tokenizer"):
        self._serialized = serialized
        self.kind, vocabulary, merges = _read(serialized, where)
        self._inner = _build(self.kind, vocabulary, merges)
        self._inner.encode_special_tokens = True  # control tokens spelled out in text stay text

    @classmethod
    def load(cls, path: Path | str) -> "Tokenizer":
        """Read a tokenizer.json, given as the file or as its folder. Raises Missing or BadData."""
        file = Path(path)
        file = file / FILE_NAME if file.is_dir() else file
        try:
            return cls(file.read_text(encoding="utf-8"), str(file))
        except FileNotFoundError:
            raise Missing(
                "there is no tokenizer here",
                where=str(file),
                remedy="`think data tokenizer INPUT --out FOLDER` makes one",
            ) from None
        except UnicodeDecodeError as error:
            raise _unfit(str(file), f"it is not UTF-8 text: {error}") from error

    @property
    def size(self) -> int:
        """Number of ids; every id is below it."""
        return int(self._inner.get_vocab_size(with_added_tokens=True))

    @cached_property
    def digest(self) -> str:
        """sha256 of the tokenizer.json."""
        return hashlib.sha256(self._serialized.encode()).hexdigest()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest of the two types in which ids are stored, little-endian."""
        return np.dtype("<u2") if self.size <= 1 << 16 else np.dtype("<u4")

    def save(self, folder: Path) -> Path:
        """Write tokenizer.json into a folder and give its path."""
        path = Path(folder) / FILE_NAME
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, self._serialized.encode())
        return path

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without any control token but `unk`."""
        return [int(number) for number in self.encode_flat([text])[0]]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text."""
        flat, lengths = self.encode_flat(texts)
        return [part.tolist() for part in np.split(flat, np.cumsum(lengths)[:-1])] if len(texts) else []

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts in one array of `dtype`, and how many belong to each (int64)."""
        if self.kind == "character":
            lengths = np.fromiter(map(len, texts), np.int64, len(texts))
            points = np.frombuffer(_checked("".join(texts)).encode("utf-32-le"), "<u4")
            return self._by_code_point[points], lengths
        for text in texts:
            _checked(text)
        numbers = [encoded.ids for encoded in self._inner.encode_batch_fast(texts, add_special_tokens=False)]
        lengths = np.fromiter(map(len, numbers), np.int64, len(numbers))
        return np.fromiter(chain.from_iterable(numbers), self.dtype, int(lengths.sum())), lengths

    def decode(self, ids: Iterable[int], *, control: bool = False) -> str:
        """Text of ids; with `control` the control tokens appear in their text form, else they are left out."""
        return str(self._inner.decode([int(number) for number in ids], skip_special_tokens=not control))

    @cached_property
    def _by_code_point(self) -> np.ndarray:
        table = np.full(_CODE_POINTS, UNK, self.dtype)
        for text, number in self._inner.get_vocab(with_added_tokens=False).items():
            if len(text) == 1:
                table[ord(text)] = number
        return table


def train(settings: CharacterSettings | BpeSettings, texts: Iterable[str]) -> Tokenizer:
    """Train a tokenizer on a stream of texts. Deterministic. Raises BadData when there is no text."""
    seen = _Seen(texts)
    inner = _train_characters(seen) if isinstance(settings, CharacterSettings) else _train_bpe(settings.size, seen)
    if not seen.characters:
        raise BadData(
            "there is no text to train a tokenizer on",
            where="data.sources",
            expected="sources that hold at least one character",
            remedy="give files that contain text",
        )
    return Tokenizer(inner.to_str(pretty=True))


class _Seen:
    """Passes texts on and counts their characters."""

    def __init__(self, texts: Iterable[str]):
        self._texts = texts
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.characters += len(text)
            yield text


def _train_characters(texts: Iterable[str]) -> tokenizers.Tokenizer:
    alphabet: set[str] = set()
    for text in texts:
        alphabet.update(_checked(text))
    return _build("character", {text: number for number, text in enumerate([*CONTROL_TEXT, *sorted(alphabet)])}, [])


def _train_bpe(size: int, texts: Iterable[str]) -> tokenizers.Tokenizer:
    inner = _build("bpe", {}, [])
    inner.encode_special_tokens = True  # else a control token spelled out in the text would be learnt as one word
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=_control_tokens(),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(map(_checked, texts), trainer)
    return inner


def _build(kind: Kind, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> tokenizers.Tokenizer:
    if kind == "character":
        inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token=CONTROL_TEXT[UNK]))
        inner.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
        inner.decoder = tokenizers.decoders.Fuse()
    else:
        inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
        # Letters and punctuation never share a word here, so no merge can spell a control token.
        inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_special_tokens(_control_tokens())
    return inner


def _control_tokens() -> list[tokenizers.AddedToken]:
    return [tokenizers.AddedToken(text, special=True, normalized=False) for text in CONTROL_TEXT]


def _checked(text: str) -> str:
    """The text; BadData when it holds half of a surrogate pair, which no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadData(
            f"the text contains half a surrogate pair, U+{ord(text[error.start]):04X}",
            expected="Unicode text",
            remedy="repair the escape \\ud800 to \\udfff in the source",
        ) from error
    return text


def _read(serialized: str, where: str) -> tuple[Kind, dict[str, int], list[tuple[str, str]]]:
    """Kind, vocabulary and merges of a tokenizer.json, checked, since the library dies on a damaged one."""
    try:
        parts = _File.model_validate_json(serialized)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise _unfit(where, f"{place}: {first['msg']}") from error
    kind: Kind = "character" if isinstance(parts.model, _WordLevel) else "bpe"
    if parts.pre_tokenizer.type != ("Split" if kind == "character" else "ByteLevel"):
        raise _unfit(where, f"pre-tokenizer {parts.pre_tokenizer.type} does not go with model {parts.model.type}")
    vocabulary = parts.model.vocab
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise _unfit(where, "the ids of the vocabulary are not 0, 1, 2, … without gaps")
    for number, text in enumerate(CONTROL_TEXT):
        if vocabulary.get(text) != number:
            raise _unfit(where, f"control token {text} has id {vocabulary.get(text)}, not {number}")
    merges = parts.model.merges if isinstance(parts.model, _Bpe) else []
    for left, right in merges:
        if left not in vocabulary or right not in vocabulary or vocabulary.get(left + right, 0) < len(CONTROL):
            raise _unfit(where, f"the merge {left!r} {right!r} does not lead to a token of the vocabulary")
    if kind == "bpe" and any(text not in vocabulary for text in tokenizers.pre_tokenizers.ByteLevel.alphabet()):
        raise _unfit(where, "some bytes have no token")
    return kind, vocabulary, merges


class _WordLevel(BaseModel):
    type: Literal["WordLevel"]
    vocab: dict[str, int]


class _Bpe(BaseModel):
    type: Literal["BPE"]
    vocab: dict[str, int]
    merges: list[tuple[str, str]]


class _PreTokenizer(BaseModel):
    type: Literal["Split", "ByteLevel"]
    add_prefix_space: Literal[False] = False
    use_regex: Literal[True] = True


class _File(BaseModel):
    """What we rely on in a tokenizer.json: another kind would break exact round trip and safe cuts."""

    normalizer: None
    pre_tokenizer: _PreTokenizer
    model: Annotated[_WordLevel | _Bpe, Field(discriminator="type")]


def _unfit(where: str, what: str) -> BadData:
    return BadData(
        what,
        where=where,
        expected="a tokenizer.json made by `think data tokenizer`: characters, or byte-level BPE without normalizer",
        remedy="`think data tokenizer INPUT --out FOLDER` makes one",
    )
