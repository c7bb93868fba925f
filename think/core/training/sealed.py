"""One checkpoint folder: tensors in safetensors files, facts in JSON, and a manifest that seals both.

A group of tensors is one file, `model.safetensors`, or a folder of shards, `model/shard-….safetensors`, written by the
processes of a run each for itself (see shards.py). Both read the same.

Any changed byte in any of its files is noticed by `verify`. Where these folders stand and which one counts is told in
checkpoint.py.
"""

import errno
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from think.core.durable import sha256_of, sync, write_synced
from think.core.errors import BadData
from think.core.training import shards

FORMAT, FORMAT_WITH_SHARDS = 1, 2
MANIFEST, FACTS, TENSORS = "manifest.json", "facts.json", ".safetensors"

_GROUP = re.compile(r"[a-z][a-z0-9_]*")

Groups = Mapping[str, Mapping[str, Tensor]]


class Loaded(NamedTuple):
    """What a checkpoint holds: tensors by group and name, and the facts that were saved with them."""

    tensors: dict[str, dict[str, Tensor]]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """What will be written: tensors by file name, and the text of the facts. Making it touches no disk."""

    step: int
    tensors: Groups
    facts: bytes


def prepare(step: int, tensors: Groups, facts: Mapping[str, Any]) -> Prepared:
    """Raises ValueError or TypeError when a group has no proper name or the facts are no JSON."""
    named = {f"{_checked(group)}{TENSORS}": _independent(members) for group, members in tensors.items()}
    return Prepared(step, named, canonical({"step": step, "facts": dict(facts)}))


def write(folder: Path, prepared: Prepared) -> bytes:
    """Fill a folder that holds shards or nothing, force it to the disk, read it back and compare; returns the manifest.

    Raises OSError or SafetensorError when the disk does not take it or gives something else back.
    """
    for name, members in prepared.tensors.items():
        save_file(dict(members), folder / name)
        sync(folder / name)
    write_synced(folder / FACTS, prepared.facts)
    manifest = _manifest(prepared.step, folder)
    write_synced(folder / MANIFEST, manifest)
    sync(folder)
    _compare(folder, prepared, manifest)
    return manifest


def verify(path: Path) -> dict[str, Any]:
    """Check every file of a checkpoint against its manifest; returns the manifest. Raises BadData naming the file."""
    manifest = read_canonical(path / MANIFEST)
    if manifest.get("format") not in (FORMAT, FORMAT_WITH_SHARDS):
        raise BadData(
            f"has format {manifest.get('format')!r}",
            where=str(path / MANIFEST),
            expected=f"format {FORMAT} or {FORMAT_WITH_SHARDS}",
            remedy="use the version of think that wrote it",
        )
    if manifest.get("sha256") != _seal(manifest):
        raise _damaged(path / MANIFEST, "does not match its own sha256")
    for name, listed in manifest["files"].items():
        try:
            size = (path / name).stat().st_size
            damage = (
                f"has {size} bytes instead of {listed['bytes']}"
                if size != listed["bytes"]
                else None
                if sha256_of(path / name) == listed["sha256"]
                else "does not match its sha256"
            )
        except OSError as error:
            damage = f"cannot be read: {error.strerror}"
        if damage:
            raise _damaged(path / name, damage)
    return manifest


def load(path: Path, device: torch.device | str = "cpu") -> Loaded:
    """Verify and read the checkpoint in a folder. Raises BadData when a file is damaged or missing."""
    held = verify(path)
    return Loaded(read(path, groups(held), device), facts(path))


def read(path: Path, wanted: Iterable[str], device: torch.device | str = "cpu") -> dict[str, dict[str, Tensor]]:
    """Some groups of a verified checkpoint, each tensor whole. Raises BadData when a file cannot be read."""
    held = manifest(path)
    try:
        return {group: _read(path, group, held, device) for group in wanted}
    except (OSError, SafetensorError) as error:
        raise _damaged(path, f"cannot be read: {error}") from error


def manifest(path: Path) -> dict[str, Any]:
    """The manifest of a verified checkpoint. Raises BadData."""
    return read_canonical(path / MANIFEST)


def facts(path: Path) -> dict[str, Any]:
    """The facts of a verified checkpoint. Raises BadData."""
    return read_canonical(path / FACTS)["facts"]


def groups(manifest: Mapping[str, Any]) -> list[str]:
    """Names of all groups of tensors."""
    names = (name.partition("/")[0].removesuffix(TENSORS) for name in manifest["files"] if name.endswith(TENSORS))
    return list(dict.fromkeys(names))


def place(path: Path, group: str, manifest: Mapping[str, Any]) -> Path:
    """Where the files of a group stand: the checkpoint itself, or a folder of shards in it."""
    return path if f"{group}{TENSORS}" in manifest["files"] else path / group


def sizes(path: Path, group: str, manifest: Mapping[str, Any]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shape and type of every tensor of a group, without reading it. Raises OSError or SafetensorError."""
    folder = place(path, group, manifest)
    if folder != path:
        return shards.sizes(folder)
    with safe_open(path / f"{group}{TENSORS}", framework="pt") as file:
        own = set(file.keys())
    return {name: described for name, described in shards.sizes(path).items() if name in own}


def _read(path: Path, group: str, manifest: Mapping[str, Any], device: torch.device | str) -> dict[str, Tensor]:
    folder = place(path, group, manifest)
    if folder == path:
        return load_file(path / f"{group}{TENSORS}", device=str(device))
    return {name: tensor.to(device) for name, tensor in shards.read_whole(folder).items()}


def _checked(group: str) -> str:
    if not _GROUP.fullmatch(group):
        raise ValueError(f"{group!r} cannot name a group of tensors")
    return group


def _independent(members: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, each with storage of its own, bit for bit the same."""
    held: set[int] = set()
    independent = {}
    for name, tensor in members.items():
        plain = tensor.detach().to("cpu").contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in held or storage.nbytes() != plain.nbytes:
            plain = plain.clone(memory_format=torch.contiguous_format)
            storage = plain.untyped_storage()
        if plain.numel():
            held.add(storage.data_ptr())
        independent[name] = plain
    return independent


def _manifest(step: int, folder: Path) -> bytes:
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    sharded = any("/" in name for name in files)
    manifest = {"format": FORMAT_WITH_SHARDS if sharded else FORMAT, "step": step, "files": files}
    return canonical(manifest | {"sha256": _seal(manifest)})


def _seal(manifest: Mapping[str, Any]) -> str:
    """sha256 of a manifest without its own, so that damage to it is not mistaken for damage to the files it lists."""
    return hashlib.sha256(canonical({name: manifest[name] for name in manifest if name != "sha256"})).hexdigest()


def _compare(folder: Path, prepared: Prepared, manifest: bytes) -> None:
    """Read a save back and compare it with what was meant. Raises OSError(EIO) at the first difference."""
    for name, text in ((FACTS, prepared.facts), (MANIFEST, manifest)):
        if (folder / name).read_bytes() != text:
            raise OSError(errno.EIO, f"{name} does not read back as written")
    for name, members in prepared.tensors.items():
        with safe_open(folder / name, framework="pt") as file:
            same = set(file.keys()) == set(members) and all(
                shards.same_bits(file.get_tensor(key), tensor) for key, tensor in members.items()
            )
        if not same:
            raise OSError(errno.EIO, f"{name} does not read back as written")


def canonical(data: Mapping[str, Any]) -> bytes:
    """The one spelling of a JSON object, so that any changed byte in a file can be seen."""
    return json.dumps(data, allow_nan=False, indent=1, sort_keys=True).encode("ascii") + b"\n"


def read_canonical(path: Path) -> dict[str, Any]:
    """The object in a file that `canonical` spelled. Raises BadData when a byte of it changed."""
    try:
        text = path.read_bytes()
        data = json.loads(text)
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "is damaged") from error
    if not isinstance(data, dict) or canonical(data) != text:
        raise _damaged(path, "is damaged")
    return data


def _damaged(path: Path, how: str) -> BadData:
    return BadData(
        how,
        where=str(path),
        expected="the file as it was saved",
        remedy="resume from another checkpoint of the run, or restore the file from a copy",
    )
