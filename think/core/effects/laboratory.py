"""What a run with given settings does, as plain data that can be compared: one measurement for each channel."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from think.core import plugins, seeding
from think.core.data.batches import Batch, Tracks
from think.core.data.manifest import FILE_NAME as MANIFEST
from think.core.data.pack import pack, texts
from think.core.data.store import Packed
from think.core.data.tokenizer import train as train_tokenizer
from think.core.device import resolve
from think.core.effects import fixtures
from think.core.gates.checks import FAMILY as GATES
from think.core.models import build
from think.core.processes import Launch, joined
from think.core.runs import RunFolder
from think.core.settings import LATER, RunSettings, stage_of
from think.core.telemetry.tail import read
from think.core.training.checkpoint import Checkpoints
from think.core.training.loop import trainable
from think.core.training.optimizer import build_optimizer
from think.core.training.predecessor import Predecessor, weights_digest
from think.core.training.stages import Request
from think.presets.base import Channel

STAGES = "think.core.training.stages"

Print = dict[str, Any]
"A fingerprint: every part of it must move when the setting does."

LONE = Launch(rank=0, world_size=1, local_rank=0, local_world_size=1, address="", port=0)
"One process of one: a run in it is divided as several would divide it, and needs no other."

TOKENS = 264
"Ids that every tokenizer has: control tokens and bytes."


@dataclass(frozen=True)
class Trace:
    """What a short run left behind. left: its checkpoint, for a later stage to stand on."""

    left: Predecessor
    records: list[Any]
    weights: str
    checkpoints: list[str]
    threads: int


class Laboratory:
    """Runs tiny runs in a folder; equal settings are run once, unless a fresh look is asked for."""

    def __init__(self, workspace: Path):
        self.workspace = workspace
        self._numbers = count(1)
        self._traces: dict[str, Trace] = {}
        self._steady: dict[tuple[str, str], str | None] = {}
        fixtures.files(workspace)
        for name, text in (("pack", "corpus"), ("other-pack", "other")):
            tree = fixtures.tree(workspace)
            tree["data"]["sources"] = [{"kind": "text", "path": str(workspace / f"{text}.txt")}]
            self._pack(settings_of(tree), workspace / name)
        if LATER:
            fixtures.on_puzzles(tree, workspace)
            self._pack(settings_of(tree), workspace / "puzzles")

    def without_memory(self) -> "Laboratory":
        """The same files, nothing remembered of what was run."""
        other = copy(self)
        other._traces, other._steady = {}, {}
        return other

    def fingerprint(self, channel: Channel, key: str, settings: RunSettings, *, fresh: bool = False) -> Print:
        """What the channel of one setting looks like under these settings."""
        match channel:
            case "graph" if stage_of(key) in LATER:
                return {"graph": self._trace(settings, fresh, stage_of(key)).weights}
            case "graph":
                return {"graph": _graph(settings)}
            case "data" if stage_of(key) in LATER:
                return {"weights": self._trace(settings, fresh, stage_of(key)).weights}
            case "data" if key.startswith("stage1.") or key == "data.path":
                return {"batches": _batches(settings), "weights": self._trace(settings, fresh).weights}
            case "data":
                return {"pack": self._pack(settings, self._folder("pack"))}
            case "optimizer" if key.endswith(".implementation"):
                return {"implementation": _implementation(settings, stage_of(key))}
            case "optimizer":
                return {"weights": self._trace(settings, fresh, stage_of(key)).weights}
            case "schedule":
                trace = self._trace(settings, fresh, stage_of(key))
                steps = [record for record in trace.records if record.kind == "step"]
                return {"table": [(one.step, one.fields["learning_rate"], one.fields.get("length")) for one in steps]}
            case "cadence":
                return {"records": self._cadence(settings, fresh, stage_of(key))}
            case "evaluation":
                trace = self._trace(settings, fresh, stage_of(key))
                judged = [record for record in trace.records if record.kind == "eval"]
                return {"held out": [(one.step, {**one.fields, "seconds": None}) for one in judged]}
            case "judge":
                return {"verdict": _verdict(key, settings)}
            case "runtime":
                machine = resolve(settings.runtime, LONE).as_json()
                return {
                    "machine": {name: value for name, value in machine.items() if name != "asked"},
                    **self._taken(key, settings, fresh),
                }

    def unsteady(self, channel: Channel, key: str, settings: RunSettings) -> str | None:
        """What differs between two equal runs, None when nothing does; a channel that moves by itself shows nothing."""
        known = (f"{channel} {key.split('.')[0]} {key.endswith('.implementation')}", settings.model_dump_json())
        if known not in self._steady:
            first, second = (self.fingerprint(channel, key, settings, fresh=True) for _ in range(2))
            moved = [part for part in first if first[part] != second[part]]
            self._steady[known] = ", ".join(moved) or None
        return self._steady[known]

    def result(self, settings: RunSettings) -> list[float]:
        """Loss of every step: what a runtime setting must leave alone, up to rounding."""
        records = self._trace(settings, False).records
        return [record.fields["loss"] for record in records if record.kind == "step"]

    def weights(self, settings: RunSettings, key: str) -> str:
        """Digest of the weights at the end: what cadence and evaluation must leave alone, to the bit."""
        return self._trace(settings, False, stage_of(key)).weights

    def _taken(self, key: str, settings: RunSettings, fresh: bool) -> Print:
        """Signs that a run obeyed the machine: its thread count, and the rounding that betrays another kernel."""
        if key == "runtime.threads":
            return {"threads": self._trace(settings, fresh).threads}
        if key == "runtime.kernels":
            return {"rounding": self._trace(settings, fresh).weights}
        return {}

    def _cadence(self, settings: RunSettings, fresh: bool, stage: str) -> list[Any]:
        trace = self._trace(settings, fresh, stage)
        told = ("step", "eval", "checkpoint", "anomaly", "component_gradients", "state_health")
        about = ("rule", "where", "layer", "branch", "detail_until_step", "warning", "whole")
        records = [
            (one.kind, one.step, [(name, one.fields[name]) for name in about if name in one.fields])
            for one in trace.records
            if one.kind in told
        ]
        return [records, trace.checkpoints]

    def _trace(self, settings: RunSettings, fresh: bool, stage: str = "stage1") -> Trace:
        """What a run of a stage leaves behind; what it stands on is never run afresh."""
        chain = _chain(stage)
        others = {name for name in LATER if name not in chain}
        known = f"{stage} {settings.model_dump_json(exclude=others)}"
        if fresh or known not in self._traces:
            below = self._trace(settings, False, chain[1]).left if len(chain) > 1 else None
            self._traces[known] = self._run(settings, stage, below)
        return self._traces[known]

    def _run(self, settings: RunSettings, stage: str, below: Predecessor | None) -> Trace:
        """Train as `think train` does."""
        threads, seen = torch.get_num_threads(), set()
        folder = RunFolder.create(self.workspace, self._folder("run").name)
        section = settings.stage(stage)
        assert section is not None, "the tiny run has all stages"
        request = Request(
            settings=section,
            model=settings.model,
            tokenizer=settings.tokenizer,
            data=settings.data,
            pack_command="think data pack",
            machine=resolve(settings.runtime, LONE),
            preset="effects",
            digests={},
            predecessor=below,
        )
        try:
            with seeding.untouched(), joined(LONE if settings.runtime.parallel is not None else None) as group:
                request = replace(request, group=group)
                plugins.load(STAGES, stage).run(request, folder, lambda _: seen.add(torch.get_num_threads()))
        finally:
            torch.set_num_threads(threads)
        checkpoints = Checkpoints(folder.checkpoints)
        found = checkpoints.find()
        assert found is not None, "a finished run has a checkpoint"
        tensors, facts = checkpoints.load(found.path)
        digest = weights_digest(found.path)
        left = Predecessor(stage, folder.name, found.path, found.step, digest, facts["digests"], section, below)
        names = [path.name for path in checkpoints.all()]
        return Trace(left, read(folder.path), _hash(tensors["model"]), names, max(seen))

    def _pack(self, settings: RunSettings, out: Path) -> dict[str, str]:
        """Pack as `think data pack` does; the digest of every file but the manifest, which repeats the settings."""
        with _private_datasets(self.workspace):
            tokenizer = train_tokenizer(settings.tokenizer, texts(settings.data.sources, settings.data))
            pack(settings.data.sources, settings.data, tokenizer, out)
        files = sorted(path for path in out.iterdir() if path.is_file() and path.name != MANIFEST)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def _folder(self, name: str) -> Path:
        return self.workspace / f"{name}-{next(self._numbers)}"


@contextmanager
def _private_datasets(workspace: Path) -> Iterator[None]:
    """`datasets` keeps what it prepares in the workspace, and shows no bars."""
    import datasets
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    cache, silent = datasets.config.HF_DATASETS_CACHE, are_progress_bars_disabled()
    datasets.config.HF_DATASETS_CACHE = workspace / "datasets"
    disable_progress_bars()
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE = cache
        if not silent:
            enable_progress_bars()


def settings_of(tree: fixtures.Tree) -> RunSettings:
    """Settings of a tree. Raises pydantic's ValidationError for what is not legal."""
    return RunSettings.model_validate_json(json.dumps(tree))


def _graph(settings: RunSettings) -> tuple[Any, ...]:
    """Parameters and logits, on tokens enough to pass windows, contexts and norm periods, with a reset among them."""
    with seeding.untouched(), torch.no_grad():
        torch.manual_seed(0)
        model = build(settings.model).eval()
        shapes = [(name, tuple(tensor.shape)) for name, tensor in model.named_parameters()]
        source = torch.Generator().manual_seed(1)
        tokens = torch.randint(min(TOKENS, settings.model.vocabulary), (2, 28), generator=source)
        reset = torch.zeros_like(tokens, dtype=torch.bool)
        reset[0, 19] = True
        logits, _ = model(tokens, None, reset)
        return shapes, _hash(dict(model.named_parameters())), _hash({"logits": logits})


def _batches(settings: RunSettings) -> str:
    """The first batches of a run, over more than one epoch."""
    stage = settings.stage1
    packed = Packed.open(Path(settings.data.path))
    tracks = Tracks(packed.split("train"), stage.rows, stage.seed, stage.reset_period)
    clock = stage.clock()
    seen: list[Batch] = [tracks.at(clock.position(step), clock.length(step)) for step in range(1, stage.steps + 1)]
    parts = {
        f"{number} {name}": getattr(batch, name)
        for number, batch in enumerate(seen)
        for name in ("tokens", "targets", "weights", "reset")
    }
    return _hash(parts)


def _implementation(settings: RunSettings, stage: str) -> str:
    """What the optimizer of a stage became; it depends on the device and not on what is moved."""
    model, section = build(settings.model), settings.stage(stage)
    assert section is not None, "the tiny run has all stages"
    return build_optimizer(section.optimizer, model.roles(), trainable(model), section.learning_rate).implementation


def _chain(stage: str) -> list[str]:
    """The stage and all that it stands on."""
    below = plugins.load(STAGES, stage).after
    return [stage, *(_chain(below) if below is not None else [])]


def _verdict(key: str, settings: RunSettings) -> Any:
    """The verdict of a gate on the evidence that its file keeps for this setting."""
    _, name, *rest = key.split(".")
    gate = plugins.load(GATES, name)
    leaf = ".".join(rest)
    evidence = gate.turns[leaf].evidence if leaf in gate.turns else next(iter(gate.turns.values())).evidence
    verdict = gate.judge(getattr(settings.gates, name), evidence)
    return verdict.status.name


def _hash(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
