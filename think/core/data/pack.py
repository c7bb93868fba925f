"""Packing: sources in, checksummed shards out. Streams with flat memory; killed at any moment it goes on.

The pack is built in a hidden folder beside its destination and renamed when it is complete, so a folder with a manifest
is always a whole pack. The work folder is named after everything that determines the result: the same command finds its
own half-done work, another one never touches it.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from think.core import plugins
from think.core.data import manifest as manifests
from think.core.data import mixture, split
from think.core.data.encode import added, batches, encode
from think.core.data.files import writing
from think.core.data.manifest import (
    SPLITS,
    Columns,
    Division,
    FileRecord,
    Manifest,
    Share,
    SourceRecord,
    SplitName,
    SplitRecord,
    TokenizerRecord,
    digest_of,
)
from think.core.data.pieces import Piece, pieces_of
from think.core.data.settings import FAMILY, DataSettings
from think.core.data.shards import JOURNAL, Journal, Place, ShardWriter
from think.core.data.sources import Document, Origin, Reading, Source, SourceSettings
from think.core.data.store import Packed
from think.core.data.tokenizer import Tokenizer
from think.core.durable import replace_file, sync
from think.core.errors import BadData, BadSettings, Locked, UsageError

Progress = Callable[[float, str], Any]
"""Told the share of the whole work that has been done since the last call, and a note."""


def _silent(share: float, note: str) -> None:
    return None


class Corpus(NamedTuple):
    """The sources of a pack, looked at but not yet read: their code, files and divisions."""

    settings: tuple[SourceSettings, ...]
    specs: tuple[Source, ...]
    origins: tuple[tuple[Origin, ...], ...]
    divisions: tuple[Division, ...]

    @property
    def size(self) -> int:
        """Bytes to be read, or an estimate."""
        return sum(origin.size for origins in self.origins for origin in origins)

    @property
    def beside(self) -> tuple[Columns, ...]:
        """What is kept for each token besides its id."""
        if any(spec.alphabet is not None for spec in self.specs):
            return ("labels",)
        return ("mask",) if any(spec.has_turns for spec in self.specs) else ()


def survey(sources: Sequence[SourceSettings], settings: DataSettings) -> Corpus:
    """Check the sources, hash their files and decide what is held out. Raises for what is missing, empty or damaged."""
    if not sources:
        raise BadSettings("there is nothing to pack", where="data.sources", remedy="name at least one source")
    mixture.check([source.weight for source in sources])
    specs = tuple(plugins.load(FAMILY, name_of(source)) for source in sources)
    if len({spec.alphabet is not None for spec in specs}) > 1:
        raise BadSettings(
            "some sources have labels and others have none",
            where="data.sources",
            expected="tasks alone, or texts alone: a model is scored on labels, or on what comes next",
            remedy="pack them into two folders",
        )
    origins = tuple(spec.origins(source) for spec, source in zip(specs, sources, strict=True))
    divisions = []
    for spec, source, files in zip(specs, sources, origins, strict=True):
        where = files[0].name if files else name_of(source)

        def documents(spec: Source = spec, source: SourceSettings = source) -> Iterator[Document]:
            return spec.documents(source, Reading(settings.split_on))

        divisions.append(split.plan(documents, settings.validation, where))
    return Corpus(tuple(sources), specs, origins, tuple(divisions))


def name_of(source: SourceSettings) -> str:
    """The kind of a source, which is the name of its file."""
    return str(source.model_dump()["kind"])


def _unnoticed(size: int) -> None:
    return None


def texts(
    sources: Sequence[SourceSettings], settings: DataSettings, advance: Callable[[int], None] = _unnoticed
) -> Iterator[str]:
    """All text of the sources in pieces, as a tokenizer is trained on it; `advance` is told the bytes read."""
    for number, source in enumerate(sources):
        spec: Source = plugins.load(FAMILY, name_of(source))
        if spec.alphabet is not None:  # every character of it, whether or not a document happens to hold it
            yield spec.alphabet(source)
            continue
        for document in spec.documents(source, Reading(settings.split_on, advance)):
            yield from (piece.text for piece in pieces_of(document, number))


def size_of(sources: Sequence[SourceSettings]) -> int:
    """Bytes of all sources, or an estimate where they are generated."""
    return sum(origin.size for source in sources for origin in plugins.load(FAMILY, name_of(source)).origins(source))


def pack(
    sources: Sequence[SourceSettings],
    settings: DataSettings,
    tokenizer: Tokenizer,
    out: Path,
    progress: Progress = _silent,
    *,
    force: bool = False,
) -> Manifest:
    """Pack sources into a folder and give its manifest; does nothing when the same pack already stands there.

    force replaces another pack, which stays in place until the new one is complete. Raises UsageError when something
    else stands at `out`, Locked when another process is packing the same, BadData for a source that is not text, and
    InputOutput when the disk refuses; finished shards are kept for the next attempt.
    """
    corpus = survey(sources, settings)
    plan = _plan(corpus, settings, tokenizer)
    if _stands_already(out, plan, force):
        return manifests.read(out)
    work = out.parent / f".{out.name}.packing-{plan[:12]}"
    with _owned(work) as complete_elsewhere:
        if complete_elsewhere:
            return manifests.read(out)
        with writing(work):
            journal = Journal.resume(work)
        for name in SPLITS:
            if name not in journal.finished and (name == "train" or settings.validation > 0):
                _write_split(corpus, settings, tokenizer, journal, name, progress)
        _require_unchanged(corpus, work)
        result = _manifest(corpus, settings, tokenizer, journal, plan)
        tokenizer.save(work)
        with writing(out):
            replace_file(work / manifests.FILE_NAME, result.to_bytes())
            _put_in_place(work, out)
    _sweep(out)
    return result


def _require_unchanged(corpus: Corpus, work: Path) -> None:
    """The manifest vouches for the checksums of the sources, so they must still hold after the last read."""
    for spec, source, before in zip(corpus.specs, corpus.settings, corpus.origins, strict=True):
        for origin, now in zip(before, spec.origins(source), strict=False):
            if origin != now:
                shutil.rmtree(work, ignore_errors=True)  # its shards are of neither state of the source
                raise BadData(
                    "the source changed while it was packed",
                    where=origin.name,
                    expected="files that nobody writes to",
                    remedy="run the same command again",
                )


def _sweep(out: Path) -> None:
    """Remove half-done packs for the same folder that nobody is working on: their place is taken."""
    for work in out.parent.glob(f".{escape(out.name)}.packing-*"):
        descriptor = os.open(work, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _plan(corpus: Corpus, settings: DataSettings, tokenizer: Tokenizer) -> str:
    """Digest of everything that determines the bytes of a pack. Names and paths of files do not."""
    return digest_of(
        {
            "format": Manifest.model_fields["format"].default,
            "tokenizer": tokenizer.digest,
            "split_on": settings.split_on,
            "shard_tokens": settings.shard_tokens,
            "sources": [
                {
                    "settings": source.model_dump(mode="json", exclude={"path"}),
                    "files": [[origin.size, origin.sha256] for origin in origins],
                    "division": division.model_dump(),
                }
                for source, origins, division in zip(corpus.settings, corpus.origins, corpus.divisions, strict=True)
            ],
        }
    )


def _stands_already(out: Path, plan: str, force: bool) -> bool:
    """Whether the same pack is in place already. Raises UsageError for anything else that is not to be replaced,
    BadData for a damaged pack."""
    with writing(out):
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return False
    if not (out / manifests.FILE_NAME).is_file():
        raise UsageError(
            "something that is not a pack stands here",
            where=str(out),
            expected="a new or empty folder",
            remedy="choose another folder with --out",
        )
    if force:
        return False
    found = manifests.read(out)
    if found.plan != plan:
        raise UsageError(
            "another pack stands here: its sources, tokenizer or settings differ",
            where=str(out),
            remedy="choose another folder with --out, or replace it with --force",
        )
    Packed.open(out).verify()  # "already packed" is said of whole packs only
    (out / JOURNAL).unlink(missing_ok=True)
    return True


@contextmanager
def _owned(work: Path) -> Iterator[bool]:
    """Hold the work folder against other packers; tells whether another one completed the pack in the meantime."""
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(work, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                "another process is packing the same data into the same folder",
                where=str(work),
                remedy="wait for it; a killed one holds no lock",
            ) from None
        yield not work.exists() or os.fstat(descriptor).st_ino != work.stat().st_ino
    finally:
        os.close(descriptor)


def _write_split(
    corpus: Corpus,
    settings: DataSettings,
    tokenizer: Tokenizer,
    journal: Journal,
    name: SplitName,
    progress: Progress,
) -> None:
    """Write what is missing of one split."""
    done = journal.of(name)
    place = done[-1].place if done else Place(given=[Share() for _ in corpus.settings])
    unused = [mixture.Unused() for _ in corpus.settings]
    weight = settings.validation if name == "validation" else 1 - settings.validation
    note = f"{name}: {sum(share.tokens for share in place.given):,} tokens"

    reported = 0.0

    def advance(size: int) -> None:
        nonlocal reported
        step = min(weight * size / max(corpus.size, 1), weight - reported)
        reported += step
        progress(step, note)

    pieces = islice(_pieces(corpus, Reading(settings.split_on, advance), name, unused), place.pieces, None)
    writer = ShardWriter(journal, name, settings.shard_tokens, corpus.beside)
    given, behind, skipped = place.given, place.pieces, place.tokens
    try:
        for batch in batches(pieces):
            encoded = encode(tokenizer, batch)
            start, total = skipped, len(encoded.tokens)
            skipped = 0
            while start < total:
                stop = min(total, start + writer.room)
                ends = encoded.ends[(encoded.ends > start) & (encoded.ends <= stop)] - start
                with writing(journal.folder):
                    writer.add(encoded.tokens[start:stop], ends, encoded.beside(start, stop))
                    if writer.room == 0:
                        piece = int(encoded.starts.searchsorted(stop, side="right")) - 1
                        writer.close_shard(
                            Place(
                                pieces=behind + piece,
                                tokens=stop - int(encoded.starts[piece]),
                                given=added(given, encoded.counts[:piece]),
                            )
                        )
                start = stop
            given = added(given, encoded.counts)
            behind += len(batch)
            note = f"{name}: {sum(share.tokens for share in given):,} tokens"
        with writing(journal.folder):
            writer.close_shard(Place(pieces=behind, given=given))
            journal.finish(name, [_with_unused(share, left) for share, left in zip(given, unused, strict=True)])
        progress(weight - reported, note)
    finally:
        writer.abandon()


def _pieces(corpus: Corpus, reading: Reading, name: SplitName, unused: Sequence[mixture.Unused]) -> Iterator[Piece]:
    """All pieces of one split, in the order in which they are stored."""
    streams = [
        split.part(spec.documents(source, reading), division, name, number)
        for number, (spec, source, division) in enumerate(
            zip(corpus.specs, corpus.settings, corpus.divisions, strict=True)
        )
    ]
    for number, document in mixture.mix(streams, [source.weight for source in corpus.settings], unused):
        yield from pieces_of(document, number)


def _with_unused(share: Share, left: mixture.Unused) -> Share:
    return share.model_copy(update={"unused_documents": left.documents, "unused_characters": left.characters})


def _manifest(corpus: Corpus, settings: DataSettings, tokenizer: Tokenizer, journal: Journal, plan: str) -> Manifest:
    splits: dict[SplitName, SplitRecord] = {}
    for name in journal.finished:
        shards = tuple(entry.shard for entry in journal.of(name))
        splits[name] = SplitRecord(
            tokens=sum(shard.tokens for shard in shards),
            documents=sum(shard.documents for shard in shards),
            shards=shards,
        )
        if not shards:
            raise BadData(
                f"nothing is left for the {name} split",
                where="data.validation",
                expected="a share that leaves text on both sides",
                remedy="pack more text, or change data.validation",
            )
    dtype = tokenizer.dtype.name
    return Manifest(
        digest=manifests.content_digest(tokenizer.digest, dtype, splits),
        plan=plan,
        dtype="uint16" if dtype == "uint16" else "uint32",
        shard_tokens=settings.shard_tokens,
        split_on=settings.split_on,
        tokenizer=TokenizerRecord(kind=tokenizer.kind, size=tokenizer.size, sha256=tokenizer.digest),
        sources=tuple(
            SourceRecord(
                settings=source.model_dump(mode="json"),
                files=tuple(FileRecord(name=file.name, bytes=file.size, sha256=file.sha256) for file in origins),
                division=division,
                given={name: given[number] for name, given in journal.finished.items()},
            )
            for number, (source, origins, division) in enumerate(
                zip(corpus.settings, corpus.origins, corpus.divisions, strict=True)
            )
        ),
        splits=splits,
    )


def _put_in_place(work: Path, out: Path) -> None:
    """Rename the finished work folder to its destination; what it replaces is removed last."""
    old = out.parent / f".{out.name}.replaced"
    if old.exists():
        shutil.rmtree(old)
    if out.exists() and any(out.iterdir()):
        out.rename(old)
    work.rename(out)
    sync(out.parent)
    (out / JOURNAL).unlink(missing_ok=True)
    if old.exists():
        shutil.rmtree(old)
