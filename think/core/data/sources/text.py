"""Plain text: a file, or a folder of .txt and .md files; cut at files, blank lines or lines."""

import codecs
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

from think.core.data.files import BLOCK_BYTES
from think.core.data.sources import Cut, Document, Origin, Reading, Source, SourceSettings
from think.core.durable import sha256_of
from think.core.errors import BadData, BadSettings, Missing
from think.presets.base import knob

SUFFIXES = (".txt", ".md", ".text")

_SEPARATORS = {"blank_line": re.compile(r"\r?\n(?:[ \t\r\f\v]*\n)+"), "record": re.compile(r"\r?\n")}


class Settings(SourceSettings):
    """Text files, read as they are: line ends included, only a leading byte-order mark dropped."""

    kind: Literal["text"] = "text"
    path: str = knob(acts_on="data")
    "file, or folder whose .txt and .md files are read in the order of their names, sub-folders included"
    encoding: str = knob("utf-8", acts_on="data")
    "encoding of the files, by its Python name"


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """One document per file, paragraph or line; a large one is streamed."""
    for path in files(Path(settings.path), SUFFIXES):
        fragments = read_text(path, settings.encoding, reading)
        yield from cut(fragments, reading.split_on, str(path))


def origins(settings: Settings) -> tuple[Origin, ...]:
    """The files, with size and sha256."""
    return origins_of(files(Path(settings.path), SUFFIXES))


def files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file itself, or those in a folder with these suffixes. Raises Missing when there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise Missing("there is no such file or folder", where=str(path), remedy="check the path")
    found = sorted((file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file()), key=str)
    if not found:
        raise Missing(
            "the folder holds no file of this kind",
            where=str(path),
            expected=f"files that end in {', '.join(suffixes)}",
            remedy="check the path, or name a file",
        )
    return found


def origins_of(paths: list[Path]) -> tuple[Origin, ...]:
    """Name, size and sha256 of files."""
    return tuple(Origin(str(path), path.stat().st_size, sha256_of(path)) for path in paths)


def read_text(path: Path, encoding: str, reading: Reading) -> Iterator[str]:
    """Decode a file block by block. Raises BadData with the byte offset of what cannot be text."""
    decoder = _decoder(encoding)
    position = 0
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise _not_text(path, encoding, position - pending + error.start, error, block) from error
            if position == 0:
                text = text.removeprefix("\ufeff")
            if "\0" in text:
                raise BadData(
                    f"a NUL character near byte {position + text.index(chr(0))}: this is a binary file, or UTF-16",
                    where=str(path),
                    expected=f"text in {encoding}",
                    remedy="name the right file, or the right encoding: --encoding utf-16",
                )
            position += len(block)
            reading.advance(len(block))
            if text:
                yield text
            if not block:
                return


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        return codecs.getincrementaldecoder(encoding)("strict")
    except LookupError:
        raise BadSettings(
            f"there is no encoding named {encoding!r}", expected="utf-8, utf-16, latin-1, cp1252, …"
        ) from None


def _not_text(path: Path, encoding: str, offset: int, error: UnicodeDecodeError, block: bytes) -> BadData:
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        remedy = 'it begins like UTF-16: --encoding utf-16, or encoding = "utf-16" in the source'
    elif b"\0" in block:
        remedy = "this looks like a binary file: name the right file"
    else:
        remedy = 'name the file\'s encoding: --encoding latin-1, or encoding = "latin-1" in the source'
    return BadData(
        f"byte {error.object[error.start]:#04x} at offset {offset} is not {encoding} ({error.reason})",
        where=str(path),
        expected=f"text in {encoding}",
        remedy=remedy,
    )


def cut(fragments: Iterator[str], split_on: Cut, where: str) -> Iterator[Document]:
    """Documents of one file. Empty ones are left out; one that does not fit a few blocks becomes a stream."""
    events = _whole(fragments) if split_on == "file" else _separated(fragments, _SEPARATORS[split_on])
    for text, ends in events:
        if not ends:
            rest = _until_end(events)
            yield Document(chain([text], rest), where=where)
            for _ in rest:  # whoever did not want it all must not find it in the next document
                pass
        elif text:
            yield Document(text, where=where)


def _until_end(events: Iterator[tuple[str, bool]]) -> Iterator[str]:
    for text, ends in events:
        yield text
        if ends:
            return


def _whole(fragments: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """Pairs of text and whether the document ends with it: everything is one document."""
    held = next(fragments, "")
    for text in fragments:
        yield held, False
        held = text
    yield held, True


def _separated(fragments: Iterator[str], separator: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """Pairs of text and whether a document ends with it, cut where the separator matches."""
    buffer = ""
    for text in fragments:
        buffer += text
        # White space at the end of a block may be the first half of a separator.
        certain = len(buffer.rstrip())
        *complete, rest = separator.split(buffer[:certain])
        for document in complete:
            yield document, True
        buffer = rest + buffer[certain:]
        if len(rest) > BLOCK_BYTES:
            yield rest, False
            buffer = buffer[len(rest) :]
    *complete, rest = separator.split(buffer)
    for document in complete:
        yield document, True
    yield rest.removesuffix("\n").removesuffix("\r") if rest.endswith(("\n", "\r\n")) else rest, True


SPEC = Source(Settings, documents, origins)
