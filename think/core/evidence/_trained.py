"""The trained model behind a run, once it is sure that it is the one asked about.

Settings and data that are not those the run was trained on, a checkpoint of another step, weights of another shape:
each of these is looked at before anything is measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from think.core.data.store import Packed, Split
from think.core.device import resolve
from think.core.errors import BadData, Missing, ThinkError
from think.core.evidence import Recheck, Subject
from think.core.evidence._telemetry import Course, course, read, spans
from think.core.gates.evidence import Absent, Source, Span
from think.core.gates.store import Stored
from think.core.models import build
from think.core.models.thinking import Thinking
from think.core.provenance import commit
from think.core.runs import RunFolder
from think.core.training.checkpoint import Checkpoints, verify
from think.core.training.weights import load_weights

IDENTITY = ("model", "tokenizer", "data", "stage1", "pack")
"Digests in which the run must be the one that is asked about."


@dataclass(frozen=True)
class Trained:
    """The model of a run's last checkpoint with the data it was trained on.

    digest   sha256 of the checkpoint     path   where it lies inside the run folder
    """

    model: Thinking
    packed: Packed
    digest: str
    path: str

    @property
    def split(self) -> Split:
        """The held-out text."""
        return self.packed.split("validation")


@dataclass(frozen=True)
class Finished:
    """A finished run with its model, and the telemetry bytes that say so."""

    run: RunFolder
    seen: Course
    spans: tuple[Span, ...]
    trained: Trained


def finished(subject: Subject) -> Finished | Absent:
    """The run asked about with the model it ended with; why there is none otherwise."""
    if subject.run is None:
        return Absent(
            why="there is no run of this model, tokenizer and data",
            remedy=f"`{' '.join(filter(None, ['think train stage1', subject.place]))}`",
        )
    where = spans(subject.run.path)
    seen = course(read(subject.run.path, where))
    problem = another_run(seen, subject.digests)
    if problem:
        return Absent(why=problem, remedy="ask about the run alone with --run, or train this preset")
    if seen.state != "finished" or seen.steps_done < seen.steps_planned:
        return Absent(
            why=f"the run is {seen.state} at step {seen.steps_done:,} of {seen.steps_planned:,}; it must be finished",
            remedy=f"`think train stage1 --resume --out {subject.run.name}`",
        )
    try:
        return Finished(subject.run, seen, where, open_trained(subject, subject.run, seen))
    except (BadData, Missing) as error:
        return Absent(why=f"{error.where}: {error.what}" if error.where else error.what, remedy=error.remedy)


def another_run(seen: Course, asked: Mapping[str, str]) -> str | None:
    """Why this run is not the one asked about: its digests, at any of its starts, are others."""
    if not seen.starts:
        return "the run's telemetry has no beginning"
    for start in seen.starts:
        trained = start.fields.get("digests")
        if not isinstance(trained, dict):
            return "the run did not record which settings and data it was trained with"
        for name in IDENTITY:
            # A resumed run may be given more steps, so only its last start must agree in the whole stage section.
            if name == "stage1" and start is not seen.starts[-1]:
                continue
            if name not in trained:
                return f"the run did not record its {name} digest"
            if name not in asked:
                return "there are no packed data to compare the run's with" if name == "pack" else f"no {name} digest"
            if trained[name] != asked[name]:
                what = "packed data" if name == "pack" else f"[{name}] settings"
                return f"the run was trained with other {what} ({trained[name][:12]}, asked {asked[name][:12]})"
    return None


def open_trained(subject: Subject, run: RunFolder, seen: Course) -> Trained:
    """Build the model and load the run's last checkpoint. Raises BadData or Missing when they do not fit."""
    checkpoints = Checkpoints(run.checkpoints)
    path = checkpoints.latest()
    if path is None:
        raise Missing("the run has no checkpoint", where=str(run.checkpoints))
    tensors, facts = checkpoints.load(path)
    if facts["step"] != seen.steps_done:
        raise BadData(
            f"the last good checkpoint is of step {facts['step']:,}, the run ended at {seen.steps_done:,}",
            where=str(path),
        )
    packed = Packed.open(subject.data)
    settings, machine = subject.settings, resolve(subject.settings.runtime)
    with torch.device(machine.torch_device):
        model = build(settings.model)
    model.use_kernels(machine.kernels)
    load_weights(model, tensors["model"], str(path))
    return Trained(model, packed, str(verify(path)["sha256"]), f"{path.parent.name}/{path.name}")


def source(subject: Subject, run: RunFolder, where: tuple[Span, ...], trained: Trained | None) -> Source:
    """Where a measurement of this run comes from."""
    commit_now, dirty = commit()
    return Source(
        run=run.name,
        spans=where,
        digests=dict(subject.digests),
        seed=subject.settings.stage1.seed,
        checkpoint=None if trained is None else trained.digest,
        checkpoint_path=None if trained is None else trained.path,
        commit=commit_now,
        dirty=dirty,
        notes=subject.notes,
    )


def recheck_checkpoint(stored: Stored, run: RunFolder | None) -> Recheck:
    """Whether the checkpoint that was measured is still that one."""
    if run is None:
        return Recheck(gone=("the run folder",))
    if stored.source.checkpoint is None or stored.source.checkpoint_path is None:
        return Recheck()
    path = run.path / stored.source.checkpoint_path
    try:
        if not path.is_dir():
            return Recheck(gone=(f"checkpoint: {stored.source.checkpoint_path}",))
        if verify(path)["sha256"] != stored.source.checkpoint:
            return Recheck(wrong=(f"checkpoint {stored.source.checkpoint_path} is another one now",))
    except ThinkError as error:
        return Recheck(wrong=(f"checkpoint: {error.what}",))
    return Recheck()
