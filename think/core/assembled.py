"""A trained model with its tokenizer and settings, read from where a run, a checkpoint or an export left it.

thinker = think.load("runs/first")            a run folder: its newest good checkpoint
thinker = think.load("runs/first/checkpoints/step-00000500")
thinker = think.load("exported")              what `think runs export` wrote
print(thinker.generate("Once upon a time", seed=1))
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from think.core import seeding
from think.core.data.store import Packed
from think.core.data.tokenizer import BOS, FILE_NAME, Tokenizer
from think.core.device import RuntimeSettings, resolve
from think.core.errors import BadData, BadSettings, Missing
from think.core.export import huggingface
from think.core.generation import Limits, Opened, pieces
from think.core.models.thinking import Thinking, build
from think.core.runs import RunFolder, runs
from think.core.settings import RunSettings
from think.core.training.checkpoint import Checkpoints
from think.core.training.checkpoint import load as load_checkpoint
from think.core.training.weights import load_weights
from think.presets.decode import decode
from think.presets.digest import intact
from think.presets.sources import read

WRITERS = ("stage1", "stage4")
"Stages whose runs hold a model that writes text; those of the others hold what stands on one."

if TYPE_CHECKING:
    from think.core.training.stages.stage4 import Assembly

DEFAULT = Limits(tokens=200)
"What is written when nothing else is asked for."


@dataclass(frozen=True)
class Assembled:
    """A model that is ready to write.

    path   the checkpoint or exported folder that the weights come from
    step   optimizer steps behind the weights; None where that is not recorded
    notes  what was passed over on the way to these weights
    parts  world model, critic and the rest of what deliberates beside the model, of a run of stage 4
    """

    model: Thinking
    tokenizer: Tokenizer
    settings: RunSettings
    path: Path
    step: int | None
    notes: tuple[str, ...] = ()
    parts: "Assembly | None" = None

    @property
    def run(self) -> Path | None:
        """Folder of the run that the weights come from; None for a model that lies outside of one."""
        return self.path.parent.parent if self.path.parent.name == "checkpoints" else None

    def generate(
        self,
        prompt: str = "",
        *,
        tokens: int = DEFAULT.tokens,
        temperature: float = DEFAULT.temperature,
        top_p: float = DEFAULT.top_p,
        seed: int | None = None,
    ) -> str:
        """Go on from a prompt; the prompt itself is not repeated. One seed gives one text; None a new one each time."""
        return "".join(self.stream(prompt, Limits(tokens, temperature, top_p), seed))

    def stream(self, prompt: str = "", limits: Limits = DEFAULT, seed: int | None = None) -> Iterator[str]:
        """The same, piece by piece as it is written. Raises BadData when the prompt is too long for the model."""
        opened = self.open()
        opened.read([BOS, *self.tokenizer.encode(prompt)])
        return pieces(self.tokenizer, opened.write(limits, self.generator(seed)))

    def open(self, decoder: str = "auto", *, traced: bool = False) -> Opened:
        """A new text, nothing read yet. decoder: auto, native or eager, as in `Opened`; traced: for deliberation."""
        return Opened(self.model, allowed=self.tokenizer.size, decoder=decoder, traced=traced)

    def generator(self, seed: int | None) -> torch.Generator:
        """The stream of draws of a seed; None seeds it from the system."""
        if seed is not None:
            return seeding.generator(seed, "generation")
        generator = torch.Generator()
        generator.seed()
        return generator


def load(path: Path | str, device: str = "cpu") -> Assembled:
    """Assemble what a folder holds: a run, one of its checkpoints, or an export.

    device: cpu, cuda, cuda:N, mps, or auto. Raises Missing when the folder or a part of it is not there, BadData when
    a part is damaged or the parts do not belong together, MachineCannot for a device that is absent.
    """
    place = Path(path)
    if not place.is_dir():
        raise Missing(
            "there is no such folder",
            where=str(place),
            expected="a run, a checkpoint or an exported model",
            remedy="list the runs with `think runs list`",
        )
    if place.parent.name == "checkpoints" and (place / "manifest.json").is_file():
        return _from_checkpoint(place.parent.parent, place, (), device)
    checkpoints = RunFolder(place).checkpoints
    found = Checkpoints(checkpoints).find() if checkpoints.is_dir() else None
    if found is not None:
        return _from_checkpoint(place, found.path, found.passed_over, device)
    if huggingface.is_export(place):
        return _from_export(place, device)
    raise Missing(
        "there are no weights here",
        where=str(place),
        expected="a run that has saved a checkpoint, a checkpoint of a run, or an exported model",
        remedy="train it with `think train stage1`, or wait for its first checkpoint",
    )


def writes(folder: RunFolder) -> bool:
    """Whether a run holds a model that writes text, or only what was trained beside one."""
    return folder.summary().stage in (None, *WRITERS)


def newest(root: Path) -> RunFolder | None:
    """The run below `root` that was started last, of those that have a checkpoint of a model; None without one."""
    found = [run for run in runs(root) if Checkpoints(run.checkpoints).all() and writes(run)]
    return max(found, key=lambda run: (run.summary().started or 0.0, run.name), default=None)


def read_settings(file: Path) -> RunSettings:
    """The settings.toml of a run as it stands, nothing else mixed in.

    Raises Missing, SettingsError when unfit, BadSettings when the model was edited by hand.
    """
    if not file.is_file():
        raise Missing("the run has no settings", where=str(file), expected="the settings.toml that training writes")
    settings = decode(read(str(file)), RunSettings).settings
    if "model" not in intact(file.read_text(encoding="utf-8")):
        raise BadSettings(
            "the settings of this run were edited: [model] does not match its digest",
            where=str(file),
            expected="the settings.toml that training wrote; its weights are of that very model",
            remedy="undo the edit, or train a new run with these settings",
        )
    return settings


def _from_checkpoint(run: Path, path: Path, notes: tuple[str, ...], device: str) -> Assembled:
    settings = read_settings(RunFolder(run).settings_file)
    tensors, facts = load_checkpoint(path)
    _refuse_part(run, path, facts)
    tokenizer = _tokenizer(run, settings, facts)
    if facts.get("stage") == "stage4":
        parts = _parts(settings, facts, tensors["model"], path, device)
        return Assembled(parts.backbone, tokenizer, settings, path, facts["step"], notes, parts)
    model = _built(settings, tokenizer, device)
    load_weights(model, tensors["model"], str(path))
    return Assembled(model, tokenizer, settings, path, facts["step"], notes)


def _parts(
    settings: RunSettings, facts: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path, device: str
) -> "Assembly":
    """All that a checkpoint of stage 4 holds, on the device."""
    from think.core.training.stages import Request
    from think.core.training.stages.stage4 import load_assembly

    section = settings.stage("stage4")
    if section is None:
        raise BadData("the settings of this run of stage 4 have no [stage4]", where=str(path))
    machine = resolve(RuntimeSettings(device=device))
    request = Request(section, settings.model, settings.tokenizer, settings.data, "", machine, "", {})
    with seeding.untouched(), machine.torch_device:
        return load_assembly(request, facts, tensors, str(path))


def _refuse_part(run: Path, path: Path, facts: Mapping[str, Any]) -> None:
    """A run that trained something beside a backbone does not hold it, but names the run that does."""
    if facts.get("stage", "stage1") in WRITERS:
        return
    below = facts["predecessor"]
    while below["before"] is not None:
        below = below["before"]
    raise BadSettings(
        f"this run is one of {facts['stage']}: it holds what was trained on a model, and no model",
        where=str(path),
        expected=f"a run of {' or '.join(WRITERS)}",
        remedy=f"name the run that it stands on: {run.parent / below['run']}",
    )


def _from_export(place: Path, device: str) -> Assembled:
    held = huggingface.read(place)
    model = _built(held.settings, held.tokenizer, device)
    load_weights(model, held.tensors, str(place))
    return Assembled(model, held.tokenizer, held.settings, place, held.step)


def _tokenizer(run: Path, settings: RunSettings, facts: Mapping[str, Any]) -> Tokenizer:
    """The run's own copy; else that of the data it was trained on, if they are still the same data."""
    if (run / FILE_NAME).is_file():
        own = Tokenizer.load(run)
        if own.digest != facts["digests"].get("tokenizer_file", own.digest):  # older checkpoints do not know it
            raise BadData(
                "this is not the tokenizer that the run was trained with: its checksum differs",
                where=str(run / FILE_NAME),
                expected=facts["digests"]["tokenizer_file"],
                remedy=f"restore it from a copy, or from the data: {settings.data.path}/{FILE_NAME}",
            )
        return own
    data = Path(settings.data.path)
    if not data.is_dir():
        raise Missing(
            "the tokenizer of this run is not there",
            where=str(data),
            expected=f"{FILE_NAME} in the run folder, or the data that the run was trained on",
            remedy=f"run this from the folder that the run was started in, or copy its {FILE_NAME} to {run}",
        )
    packed = Packed.open(data)
    if packed.digest != facts["digests"]["pack"]:
        raise BadData(
            "these are not the data that the run was trained on, so their tokenizer may be another one",
            where=str(data),
            expected=f"data with digest {facts['digests']['pack'][:12]}, not {packed.digest[:12]}",
            remedy=f"copy the {FILE_NAME} of the right data to {run}",
        )
    return packed.tokenizer


def _built(settings: RunSettings, tokenizer: Tokenizer, device: str) -> Thinking:
    vocabulary = settings.model.vocabulary
    if tokenizer.size > vocabulary:
        raise BadData(
            f"the tokenizer has {tokenizer.size} tokens and the model {vocabulary}",
            expected="the tokenizer that the model was trained with",
        )
    machine = resolve(RuntimeSettings(device=device))
    with seeding.untouched(), machine.torch_device:
        model = build(settings.model)
    return model.eval()
