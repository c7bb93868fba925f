"""Checkpoints that survive being killed at any moment, also inside a save.

    checkpoints/
        step-00000100/            complete and verified: a folder gets this name last of all
            model.safetensors …   one file a group of tensors, or a folder of shards: model/shard-….safetensors
            facts.json            step, random streams, cursor, digests: whatever the caller needs besides tensors
            manifest.json         size and sha256 of every file, and its own sha256
        latest                    names the folder to resume from, with the sha256 of its manifest
        .saving-step-00000200/    a save under way, or what a killed one left

A save writes everything under a temporary name, forces it to the disk, reads it back, compares it bit for bit, renames
it, and only then moves `latest`; older checkpoints go last, and never the newest good one. So at every moment there is
a good checkpoint if there was one before. Nothing is pickled.

Readers change nothing. One writer at a time: hold the run's lock while saving.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from think.core.durable import replace_file, sha256_of, sync
from think.core.errors import BadData, InputOutput, Missing
from think.core.training import sealed
from think.core.training.sealed import MANIFEST, Groups, Loaded, canonical, load, read_canonical, verify

__all__ = ["Checkpoints", "Found", "Groups", "Loaded", "load", "verify"]

_STEP = re.compile(r"step-(\d{8,})")
_SAVING, _REPLACED, _DELETING = ".saving-", ".replaced-", ".deleting-"


@dataclass(frozen=True)
class Found:
    """The checkpoint to resume from.

    passed_over  what was wrong with the ones that should have come before it, one sentence each; show and record them
    """

    path: Path
    step: int
    passed_over: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of one run: `folder` is the run's `checkpoints/`, of which `keep` (at least 1) remain."""

    def __init__(self, folder: Path, keep: int = 2):
        if keep < 1:
            raise ValueError("at least one checkpoint has to be kept")
        self.folder, self.keep = folder, keep

    def save(self, step: int, tensors: Groups, facts: Mapping[str, Any]) -> Path:
        """Save one checkpoint and return its folder, verified, with `latest` pointing at it.

        tensors: by group and name, on any device, of any layout; none is changed.   facts: JSON, without NaN.
        Raises InputOutput when the disk is full, read-only or failing; earlier checkpoints are then as before.
        """
        prepared = sealed.prepare(step, tensors, facts)
        return self.finish(self.begin(step), prepared)

    def begin(self, step: int) -> Path:
        """The folder for a save under way, empty: several processes may put their shards there before `finish`.

        Raises InputOutput.
        """
        saving = self.folder / f"{_SAVING}{_name(step)}"
        with self._saving():
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True)
                sync(self.folder.parent)
            self.clean()
            saving.mkdir()
        return saving

    def finish(self, saving: Path, prepared: sealed.Prepared) -> Path:
        """Complete the save that `begin` began, and return its folder as `save` does. Raises InputOutput."""
        with self._saving():
            manifest = sealed.write(saving, prepared)
            path = self._publish(saving, self.folder / _name(prepared.step))
            self._point_at(path, manifest)
        self._prune(path)
        return path

    def give_up(self) -> None:
        """Remove what a save under way has written; earlier checkpoints are as before."""
        with contextlib.suppress(OSError):
            self.clean()

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            self.give_up()
            raise cannot_save(self.folder, error) from error

    def find(self) -> Found | None:
        """The checkpoint to resume from: the one `latest` names, or the newest good one when that is damaged.

        None when there is none at all. Raises BadData when there are some and every one is damaged.
        """
        while True:
            candidates = self.all()
            found = self._find_among(candidates)
            if isinstance(found, Found):
                return found
            if self.all() != candidates:
                continue  # the run's writer saved a new one and deleted these while we looked
            if not found:
                return None
            raise BadData(
                f"no checkpoint is whole: {'; '.join(found)}",
                where=str(self.folder),
                expected="at least one checkpoint that matches its checksums",
                remedy="restore the folder from a copy, or start the run again in a new folder",
            )

    def _find_among(self, candidates: list[Path]) -> Found | list[str]:
        """The first good one in order of preference, or what is wrong with each."""
        passed_over: list[str] = []
        try:
            pointed = self._pointed_at()
        except BadData as error:
            passed_over.append(f"{error.where}: {error.what}")
            pointed = None
        for path in sorted(candidates, key=lambda path: (path == pointed, _step(path)), reverse=True):
            try:
                verify(path)
            except BadData as error:
                passed_over.append(f"{error.where}: {error.what}")
                continue
            return Found(path, _step(path), tuple(passed_over))
        return passed_over

    def latest(self) -> Path | None:
        """The folder of `find`, for callers that report damage elsewhere."""
        found = self.find()
        return found.path if found else None

    def load(self, path: Path | None = None, device: torch.device | str = "cpu") -> Loaded:
        """Verify and read a checkpoint; without a path, the one to resume from.

        Raises BadData when a file is damaged, Missing when there is nothing to load.
        """
        path = path if path is not None else self.latest()
        if path is None:
            raise Missing(
                "there is no checkpoint",
                where=str(self.folder),
                expected="a run that has saved at least once",
                remedy="train it with `think train`",
            )
        return load(path, device)

    def all(self) -> list[Path]:
        """Complete checkpoints by step, verified or not; a replaced one counts while its successor is not there."""
        found: dict[int, Path] = {}
        for path in _entries(self.folder):
            name = path.name.removeprefix(_REPLACED)
            if (match := _STEP.fullmatch(name)) and (path.name == name or int(match[1]) not in found):
                found[int(match[1])] = path
        return [found[step] for step in sorted(found)]

    def clean(self) -> None:
        """Remove what killed saves left, and bring back a checkpoint whose replacement did not arrive.

        Only for the run's writer. Raises OSError.
        """
        for path in _entries(self.folder):
            if path.name.startswith((_SAVING, _DELETING)):
                shutil.rmtree(path)
            elif path.name.startswith(_REPLACED):
                final = self.folder / path.name.removeprefix(_REPLACED)
                if final.exists():
                    shutil.rmtree(path)
                else:
                    os.rename(path, final)

    def remove(self, path: Path) -> None:
        """Delete one checkpoint; killed half-way, it leaves nothing that looks like a checkpoint. Raises OSError."""
        deleting = self.folder / f"{_DELETING}{path.name}"
        os.rename(path, deleting)
        shutil.rmtree(deleting)

    def _publish(self, saving: Path, final: Path) -> Path:
        """Give a verified save its final name, in the place of an older checkpoint of the same step if need be."""
        replaced = self.folder / f"{_REPLACED}{final.name}"
        again = final.exists()
        if again:
            os.rename(final, replaced)
        os.rename(saving, final)
        sync(self.folder)
        if again:
            shutil.rmtree(replaced)
        return final

    def _point_at(self, path: Path, manifest: bytes) -> None:
        digest = hashlib.sha256(manifest).hexdigest()
        replace_file(self.folder / "latest", canonical({"folder": path.name, "manifest_sha256": digest}))

    def _pointed_at(self) -> Path | None:
        """What `latest` names; None when nothing was ever saved. Raises BadData when it is damaged or names nothing."""
        pointer = self.folder / "latest"
        if not pointer.exists():
            if self.all():
                raise BadData("is not there", where=str(pointer))
            return None
        data = read_canonical(pointer)
        name, digest = data.get("folder"), data.get("manifest_sha256")
        path = next((path for path in self.all() if path.name.removeprefix(_REPLACED) == name), None)
        if path is None:
            raise BadData(f"names {name}, which is not there", where=str(pointer))
        try:
            same = sha256_of(path / MANIFEST) == digest
        except OSError as error:
            raise BadData(
                f"names {name}, whose manifest cannot be read: {error.strerror}", where=str(pointer)
            ) from error
        if not same:
            raise BadData(f"does not match the manifest of {name}", where=str(pointer))
        return path

    def _prune(self, newest: Path) -> None:
        """Delete the oldest checkpoints beyond `keep`, and later steps, which belong to a past that is done again.

        A failure here loses nothing and is left for the next save.
        """
        earlier = [path for path in self.all() if _step(path) < _step(newest)]
        later = [path for path in self.all() if _step(path) > _step(newest)]
        with contextlib.suppress(OSError):
            for path in later + earlier[: max(len(earlier) - (self.keep - 1), 0)]:
                self.remove(path)


def cannot_save(folder: Path, error: Exception) -> InputOutput:
    """The error for a disk that did not take a checkpoint."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputOutput(
        f"cannot save a checkpoint: {reason}",
        where=str(folder),
        expected="a disk with room that can be written; earlier checkpoints are untouched",
        remedy="free some space or repair the disk, then continue with --resume",
    )


def _entries(folder: Path) -> Iterator[Path]:
    """Entries of the folder, final names before hidden ones; nothing when there is no folder."""
    try:
        found = sorted(folder.iterdir(), key=lambda path: (path.name.startswith("."), path.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputOutput(
            f"cannot read the checkpoints: {error.strerror}",
            where=str(folder),
            expected="a folder that can be read",
            remedy="change its permissions",
        ) from error
    yield from (path for path in found if path.is_dir())


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _step(path: Path) -> int:
    match = _STEP.fullmatch(path.name.removeprefix(_REPLACED))
    assert match is not None
    return int(match[1])
