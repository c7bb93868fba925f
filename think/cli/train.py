"""`think train`: train a preset, stage by stage. Only stages that are built are listed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from think.cli.console import Progress, console
from think.cli.options import Changes, Data, DryRun, From, Json, Out, Preset, Resume, Seed
from think.cli.train_folder import existing, new, with_settings
from think.cli.waivers import Owner, Reason, Until, Waive, waivers_of
from think.core import plugins

if TYPE_CHECKING:
    from think.core.derive import Plan
    from think.core.gates.verdict import Waiver
    from think.core.processes import Group, Launch
    from think.core.runs import RunFolder
    from think.core.settings import RunSettings
    from think.core.training.loop import Seen
    from think.core.training.stages import Finished, Request
    from think.presets.decode import Resolved

STAGES = "think.core.training.stages"

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train a preset, one stage after the other")


@app.callback()
def train() -> None:
    """Train a preset, one stage after the other."""


@app.command()
def stage1(
    preset: Preset = None,
    changes: Changes = None,
    out: Out = None,
    resume: Resume = False,
    seed: Seed = None,
    data: Data = None,
    dry_run: DryRun = False,
    waive: Waive = None,
    reason: Reason = None,
    owner: Owner = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Train the backbone: a language model on packed text, its state carried from step to step.

    A preset of the scale ladder waits for the gates of the size below it, unless they are waived by name.
    """
    waivers = waivers_of(waive, reason, owner, until)
    _launched(_Asked("stage1", preset, changes, out, resume, seed, data, dry_run, waivers=waivers))


def _later(name: str) -> Callable[..., None]:
    """The command of a stage that stands on another one."""

    def command(
        preset: Preset = None,
        changes: Changes = None,
        out: Out = None,
        resume: Resume = False,
        seed: Seed = None,
        data: Data = None,
        source: From = None,
        dry_run: DryRun = False,
        json: Json = False,
    ) -> None:
        _launched(_Asked(name, preset, changes, out, resume, seed, data, dry_run, source))

    return command


for _name in plugins.names(STAGES):
    if _name != "stage1":
        app.command(_name, help=plugins.summary(STAGES, _name))(_later(_name))


@dataclass(frozen=True)
class _Asked:
    """The options as they were given, and the stage that they were given to."""

    stage: str
    preset: str | None
    changes: list[str] | None
    out: str | None
    resume: bool
    seed: int | None
    data: Path | None
    dry_run: bool
    source: str | None = None
    waivers: "Mapping[str, Waiver]" = field(default_factory=dict)


def _launched(asked: _Asked) -> None:
    """Train, in this process or as one of those that torchrun has started."""
    from think.cli.launch import launch

    # torch reads this when it is first imported. Else it remarks at every start of several processes that looking for
    # unused parameters takes time, which it has to: start states have no gradient in a step without a reset.
    environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    launched = launch()
    if launched is None:
        _train(asked, None, None)
        return
    if launched.rank > 0:
        console.fall_silent(launched.rank)
    from think.core.processes import joined

    with joined(launched) as group:
        _train(asked, launched, group)


def _train(asked: _Asked, launched: "Launch | None", group: "Group | None") -> None:
    """Train, as one of the processes of the run, or as the only one."""
    from dataclasses import replace

    from think.core.processes import ALONE

    group = group or ALONE
    root, folder, request, plan = group.together(lambda: _prepared_among(group.size, asked, launched, group.first))
    request = replace(request, group=group)
    from think.cli import train_answer, train_plan

    if group.first:
        train_plan.warn_of_emulation(request)
    if asked.dry_run:
        train_plan.show(asked.stage, request, plan)
        return
    if folder is not None and not any(folder.checkpoints.glob("[!.]*")):
        console.note(f"run {folder.path} has no checkpoint yet; it starts at its first step")
    folder = group.from_first(lambda: folder or new(root, asked.out, request.preset))
    console.note(f"run {folder.path}: {plan.parameters:,} parameters, {plan.amount} in {plan.steps:,} steps")
    finished = _run(asked.stage, request, plan, folder)
    if not group.first:
        return
    for note in finished.notes:
        console.warn(f"checkpoint passed over: {note}")
    train_answer.answer(finished)


def _prepared_among(
    processes: int, asked: _Asked, launched: "Launch | None", first: bool
) -> "tuple[Path, RunFolder | None, Request[Any], Plan]":
    """The same where several processes find the same mistakes in the settings, and one is to tell them."""
    from think.core.errors import BadSettings, Exit
    from think.presets.problems import SettingsError

    try:
        return _prepared(asked, launched, first)
    except SettingsError as error:
        if processes == 1:
            raise
        told = BadSettings(str(error))
        told.exit = Exit(error.exit)
        raise told from error


def _prepared(
    asked: _Asked, launched: "Launch | None", first: bool
) -> "tuple[Path, RunFolder | None, Request[Any], Plan]":
    """All that is known before anything is written: runs folder, run to go on with, request and plan."""
    from think.cli import environment, ladder, train_section
    from think.cli.resumed import refuse_other_settings
    from think.cli.settings import announce, load
    from think.core.derive import require_memory
    from think.core.errors import UsageError
    from think.presets.sources import Flag

    root, preset = environment.runs_folder(), asked.preset
    folder = existing(root, asked.stage, asked.out, asked.preset) if asked.resume else None
    if folder is not None and preset is None:
        preset = str(folder.settings_file)
    if preset is None:
        raise UsageError("no preset was given", expected="--preset NAME|FILE", remedy="think preset list")
    data = None if asked.data is None else str(asked.data)
    flags = {"data.path": Flag("--data", data)}
    if asked.seed is not None:
        train_section.require(asked.stage, preset, load(preset, asked.changes, flags).settings)
        flags[f"{asked.stage}.seed"] = Flag("--seed", asked.seed)
    resolved = load(preset, asked.changes, flags)
    train_section.require(asked.stage, preset, resolved.settings)
    announce(resolved)
    if folder is not None:
        refuse_other_settings(folder, resolved, asked.stage)
    rung = ladder.Rung()
    if asked.stage == "stage1":
        rung = ladder.look(resolved, asked.waivers, dry_run=asked.dry_run, going_on=folder is not None)
    name = _first_preset(folder) if folder is not None else _name_of(resolved, preset)
    request, plan = _request(
        asked.stage,
        resolved,
        preset,
        name,
        folder,
        launched,
        root=root,
        source=asked.source,
        every_byte=first and not asked.dry_run,
    )
    if not asked.dry_run:
        require_memory(plan, request.machine)
        if first:
            rung.keep()
    return root, folder, request, plan


def _request(
    stage: str,
    resolved: "Resolved[RunSettings]",
    preset: str,
    name: str,
    folder: "RunFolder | None",
    launched: "Launch | None",
    *,
    root: Path,
    source: str | None,
    every_byte: bool,
) -> "tuple[Request[Any], Plan]":
    """What the stage is asked to do, checked before anything is written. folder: the run to go on with."""
    from dataclasses import replace
    from json import dumps

    from think.cli import environment, train_predecessor
    from think.core import device
    from think.core.data.tokenizer import FILE_NAME
    from think.core.derive import derive
    from think.core.derive_module import derive_module
    from think.core.training.language import LanguageSettings
    from think.core.training.stages import Request
    from think.presets.render import as_toml

    settings, made_by = resolved.settings, plugins.load(STAGES, stage)
    section = settings.stage(stage)
    assert section is not None, "a stage without settings was refused before"
    request = Request(
        settings=section,
        model=settings.model,
        tokenizer=settings.tokenizer,
        data=settings.data,
        pack_command=f"think data pack --preset {preset}",
        machine=device.resolve(environment.prefer(settings.runtime), launched),
        preset=name,
        digests=resolved.digests,
        resume=folder is not None,
    )
    packed = made_by.check(request, every_byte=every_byte)
    made = {"pack": packed.digest, "tokenizer_file": packed.manifest.tokenizer.sha256}
    request = replace(request, digests={**resolved.digests, **made})
    plan: Plan
    if made_by.after is None:
        assert isinstance(section, LanguageSettings), "what stands on nothing is the training of a model"
        plan = derive(stage, section, request.model, packed, request.machine, request.digests)
    else:
        found = train_predecessor.find(stage, made_by.after, root, folder, source, preset, resolved, request.digests)
        request = replace(request, predecessor=found)
        plan = derive_module(stage, request, packed)
    described = {"preset": name, **plan.as_json()}
    files = {
        "settings.toml": as_toml(resolved),
        "plan.json": dumps(described, indent=1) + "\n",
        # With its own copy of the tokenizer a run can be used where its data are not.
        FILE_NAME: (packed.path / FILE_NAME).read_bytes().decode("utf-8"),
    }
    return replace(request, files=files), plan


def trained(resolved: "Resolved[RunSettings]", preset: str, out: str) -> "Finished":
    """Train stage 1 into the run `out`, or go on with it, as `think train stage1` does; says nothing of its end.

    preset: what the settings were made from, for messages. The run must have been made by these very settings.
    """
    from think.cli import environment
    from think.cli.resumed import refuse_other_settings
    from think.core import runs
    from think.core.derive import require_memory

    root = environment.runs_folder()
    folder = runs.RunFolder(runs.locate(root, out))
    begun = folder.path.is_dir() and not folder.is_blank()
    if begun:
        refuse_other_settings(with_settings(folder), resolved)
    request, plan = _request(
        "stage1",
        resolved,
        preset,
        _name_of(resolved, preset),
        folder if begun else None,
        None,
        root=root,
        source=None,
        every_byte=True,
    )
    require_memory(plan, request.machine)
    return _run("stage1", request, plan, folder if begun else new(root, out, request.preset))


def _name_of(resolved: "Resolved[RunSettings]", preset: str) -> str:
    return Path(preset).stem if resolved.header is None else resolved.header.name


def _first_preset(folder: "RunFolder") -> str:
    """The preset that the run was started with, which its settings.toml no longer names."""
    from json import loads

    try:
        return str(loads(folder.plan_file.read_text(encoding="utf-8"))["preset"])
    except (OSError, ValueError, KeyError):
        return folder.name


def _run(stage: str, request: "Request[Any]", plan: "Plan", folder: "RunFolder") -> "Finished":
    shown = stage.replace("stage", "stage ")
    with console.progress(plan.steps, f"{shown}, {plan.steps:,} steps") as progress:
        finished: Finished = plugins.load(STAGES, stage).run(request, folder, _watcher(progress))
        return finished


def _watcher(progress: Progress) -> Any:
    """Moves the progress bar; the first step of a resumed run moves it past all that was done before."""
    done = 0

    def watch(seen: "Seen") -> None:
        nonlocal done
        loss = "no scored token" if seen.loss is None else f"loss {seen.loss:.3f}"
        held_out = "" if seen.held_out is None else f", held-out {seen.held_out:.3f}"
        progress.advance(seen.step - done, f"step {seen.step}, {loss}{held_out}, {seen.speed:,.0f} {seen.unit}/s")
        done = seen.step

    return watch
