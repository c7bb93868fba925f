"""`think data`: tokenizer, pack, reasoning, inspect, verify."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.data_reasoning import reasoning
from think.cli.options import Changes, Json, Preset
from think.core.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from think.core.data.manifest import Manifest
    from think.core.data.settings import CorpusSettings
    from think.core.data.tokenizer import Tokenizer
    from think.core.settings import RunSettings

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Train tokenizers, pack text, generate problems, look into packs"
)
app.command()(reasoning)

INPUT_HELP = "Text, JSONL or parquet file, a folder of them, or a dataset; the preset's sources when absent."
Inputs = Annotated[list[str] | None, typer.Argument(metavar="[INPUT]...", help=INPUT_HELP, show_default=False)]
Folder = Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Packed corpus; the preset's when absent.")]
SplitOn = Annotated[
    str | None,
    typer.Option("--split-on", metavar="WHERE", help="Cut text into documents at: file, blank_line or record (line)."),
]
Encoding = Annotated[str | None, typer.Option("--encoding", metavar="NAME", help="Encoding of text inputs.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME", help="Field of a record that holds its text; several are joined."),
]
DatasetSplit = Annotated[
    str | None, typer.Option("--dataset-split", metavar="NAME", help="Split of a dataset that is read.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what stands there.")]


@app.command()
def tokenizer(
    inputs: Inputs = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where tokenizer.json is written.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="character or bpe.")] = None,
    size: Annotated[int | None, typer.Option("--size", help="Entries of a bpe vocabulary.")] = None,
    split_on: SplitOn = None,
    encoding: Encoding = None,
    field: Fields = None,
    dataset_split: DatasetSplit = None,
    preset: Preset = None,
    changes: Changes = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a tokenizer on text."""
    from think.core.data.tokenizer import FILE_NAME, Tokenizer

    flags = _flags(inputs, encoding=encoding, field=field, dataset_split=dataset_split, split_on=split_on)
    settings = _settings(preset, changes, flags | _tokenizer_flags(kind, size))
    folder = out or Path(settings.data.path)
    trained = _train_tokenizer(settings)
    path = folder / FILE_NAME
    present = path.is_file()
    if (folder / "manifest.json").is_file():
        raise UsageError(
            "a packed corpus stands here; another tokenizer would make it unreadable",
            where=str(folder),
            remedy="choose another folder with --out",
        )
    if present and not force and Tokenizer.load(path).digest != trained.digest:
        raise UsageError(
            "another tokenizer stands here",
            where=str(path),
            remedy="choose another folder with --out, or replace it with --force",
        )
    trained.save(folder)
    data = {"file": str(path), "kind": trained.kind, "size": trained.size, "sha256": trained.digest}
    console.result("think.data.tokenizer/1", data, f"{path}: {trained.kind}, {trained.size} tokens")


@app.command()
def pack(
    inputs: Inputs = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Folder of the pack; data.path when absent.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", metavar="FILE", help="A trained one; else one is trained on the text.")
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option("--weight", help="Share of an INPUT in a mixture; one for each, in order.")
    ] = None,
    split_on: SplitOn = None,
    validation: Annotated[float | None, typer.Option("--validation", help="Share that is held out.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Tokenizer to train: character or bpe.")] = None,
    size: Annotated[int | None, typer.Option("--size", help="Entries of its vocabulary, for bpe.")] = None,
    encoding: Encoding = None,
    field: Fields = None,
    dataset_split: DatasetSplit = None,
    preset: Preset = None,
    changes: Changes = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Pack text into checksummed shards of token ids; killed, it goes on where it was."""
    from think.core.data import pack as packing
    from think.core.data.manifest import FILE_NAME
    from think.core.data.tokenizer import Tokenizer

    flags = _flags(
        inputs, weight=weight, encoding=encoding, field=field, dataset_split=dataset_split, split_on=split_on
    )
    settings = _settings(preset, changes, flags | _tokenizer_flags(kind, size) | _flag("validation", validation))
    folder = out or Path(settings.data.path)
    _say_sources(settings)
    trained = Tokenizer.load(tokenizer) if tokenizer is not None else _train_tokenizer(settings)
    before = _changed_at(folder / FILE_NAME)
    try:
        with console.progress(1.0, "packing") as progress:
            manifest = packing.pack(
                settings.data.sources, settings.data, trained, folder, progress.advance, force=force
            )
    except KeyboardInterrupt:
        raise Interrupted(
            "stopped while packing; finished shards are kept",
            where=str(folder),
            remedy="run the same command again: it goes on from there",
        ) from None
    already = before is not None and before == _changed_at(folder / FILE_NAME)
    _warn(manifest)
    data = _summary(folder, manifest) | {"already_packed": already}
    console.result("think.data.pack/1", data, lambda: _say_pack(folder, manifest, already))


@app.command()
def inspect(
    folder: Folder = None,
    samples: Annotated[int, typer.Option("--samples", min=0, help="Documents shown of each split.")] = 2,
    preset: Preset = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Show what a packed corpus holds: counts, lengths, sources, samples."""
    from think.core.data import inspect as looking
    from think.core.data.store import Packed

    packed = Packed.open(folder or Path(_settings(preset, changes, {}).data.path))
    data = looking.facts(packed)
    data["samples"] = [sample for name in packed.manifest.splits for sample in looking.samples(packed, name, samples)]
    console.result("think.data.inspect/1", data, lambda: _say_facts(data))


@app.command()
def verify(folder: Folder = None, preset: Preset = None, changes: Changes = None, json: Json = False) -> None:
    """Recompute every checksum of a packed corpus."""
    from think.core.data.store import Packed

    place = folder or Path(_settings(preset, changes, {}).data.path)
    packed = Packed.open(place)
    total = packed.verify()
    data = {"folder": str(place), "digest": packed.digest, "bytes": total}
    console.result("think.data.verify/1", data, f"{place}: {total:,} bytes, every checksum holds")


# ---- from options to settings ---------------------------------------------------------------------------------------


def _flag(key: str, value: object) -> dict[str, object]:
    from think.presets.sources import Flag

    return {} if value is None else {f"data.{key}": Flag(f"--{key.replace('_', '-')}", value)}


def _flags(
    inputs: list[str] | None,
    *,
    weight: list[float] | None = None,
    encoding: str | None,
    field: list[str] | None,
    dataset_split: str | None,
    split_on: str | None,
) -> dict[str, object]:
    """The data settings that the options decide."""
    from think.core.data.inputs import sources_for
    from think.presets.sources import Flag

    given = {"--weight": weight, "--encoding": encoding, "--field": field, "--dataset-split": dataset_split}
    if not inputs:
        for option, value in given.items():
            if value:
                raise UsageError(f"{option} describes an INPUT, and none is given", where=option)
        return _flag("split_on", split_on)
    tables = sources_for(inputs, weights=weight or (), encoding=encoding, fields=field or (), split=dataset_split)
    return {"data.sources": Flag("INPUT", tables)} | _flag("split_on", split_on)


def _tokenizer_flags(kind: str | None, size: int | None) -> dict[str, object]:
    from think.presets.sources import Flag

    flags: dict[str, object] = {}
    if kind is not None:
        flags["tokenizer.kind"] = Flag("--kind", kind)
    if size is not None:
        flags["tokenizer.size"] = Flag("--size", size)
    return flags


def _settings(
    preset: str | None, changes: Sequence[str] | None, flags: dict[str, object]
) -> "CorpusSettings | RunSettings":
    """The preset's settings; without a preset the defaults of data and tokenizer, which need no model."""
    if preset is not None:
        from think.cli.settings import load

        return load(preset, changes, flags).settings
    from think.core.data.settings import CorpusSettings
    from think.presets.decode import decode
    from think.presets.sources import read

    ours = ("THINK_DATA__", "THINK_TOKENIZER__")
    environment = {name: value for name, value in os.environ.items() if name.startswith(ours)}
    return decode(read(None, changes or (), environment, flags), CorpusSettings).settings


def _train_tokenizer(settings: "CorpusSettings | RunSettings") -> "Tokenizer":
    from think.core.data import pack as packing
    from think.core.data.tokenizer import train

    with console.progress(packing.size_of(settings.data.sources), "reading for the tokenizer") as progress:
        return train(settings.tokenizer, packing.texts(settings.data.sources, settings.data, progress.advance))


def _changed_at(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None


# ---- in words -------------------------------------------------------------------------------------------------------


def _say_sources(settings: "CorpusSettings | RunSettings") -> None:
    from think.core.data.inputs import shown

    for source in settings.data.sources:
        console.note(f"source: {shown(source.model_dump(mode='json', exclude_defaults=False))}")


def _warn(manifest: "Manifest") -> None:
    for source in manifest.sources:
        unknown = sum(share.unknown for share in source.given.values())
        unused = sum(share.unused_characters for share in source.given.values())
        name = source.files[0].name if source.files else str(source.settings["kind"])
        if unknown:
            console.warn(f"{name}: {unknown:,} characters are unknown to the tokenizer and became <|unk|>")
        if unused:
            console.warn(f"{name}: {unused:,} characters are left over, since another source of the mixture ran out")


def _summary(folder: Path, manifest: "Manifest") -> dict[str, Any]:
    return {
        "folder": str(folder),
        "digest": manifest.digest,
        "tokenizer": manifest.tokenizer.model_dump(),
        "splits": {
            name: {"tokens": split.tokens, "documents": split.documents, "shards": len(split.shards)}
            for name, split in manifest.splits.items()
        },
        "sources": [source.model_dump(mode="json") for source in manifest.sources],
    }


def _say_pack(folder: Path, manifest: "Manifest", already: bool) -> None:
    console.out(f"{folder}: {'already packed' if already else 'packed'}")
    for name, split in manifest.splits.items():
        console.out(
            f"  {name:10s} {split.tokens:>13,} tokens  {split.documents:>9,} documents  {len(split.shards)} shards"
        )
    console.out(f"  tokenizer  {manifest.tokenizer.kind}, {manifest.tokenizer.size:,} tokens, {manifest.dtype}")
    console.out(f"  digest     {manifest.digest}")


def _say_facts(data: dict[str, Any]) -> None:
    console.out(f"{data['folder']}: {data['dtype']}, cut at {data['split_on']}, digest {data['digest']}")
    tokenizer = data["tokenizer"]
    console.out(f"tokenizer: {tokenizer['kind']}, {tokenizer['size']:,} tokens")
    columns = ["split", "tokens", "documents", "shards", "mean", "shortest", "median", "longest"]
    console.table(
        columns,
        [
            [name, split["tokens"], split["documents"], split["shards"]]
            + [round(split["document_tokens"][column]) for column in columns[4:]]
            for name, split in data["splits"].items()
        ],
    )
    for source in data["sources"]:
        given = ", ".join(f"{name} {share['tokens']:,} tokens" for name, share in source["given"].items())
        console.out(
            f"source {source['settings']['kind']} ({', '.join(file['name'] for file in source['files'])}): {given}"
        )
    for sample in data["samples"]:
        console.out(f"{sample['split']} document {sample['document']}, {sample['tokens']:,} tokens:")
        console.out("    " + sample["text"].replace("\n", "\n    "))
