"""Stage 1 trains the backbone: a language model on packed text, the state handed from step to step."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from think.core import seeding
from think.core.data.batches import Tracks
from think.core.data.store import Packed
from think.core.device import compiling, prepare
from think.core.durable import replace_file
from think.core.errors import BadSettings, Missing
from think.core.models import build
from think.core.processes import ALONE, Group, require_division, watched, with_data
from think.core.runs import RunFolder
from think.core.telemetry.writer import Writer
from think.core.training.checkpoint import Checkpoints, Found
from think.core.training.ledger import Ledger, Nobody, Records
from think.core.training.loop import LoopSettings, Run, Watcher, begin, resume, train, trainable
from think.core.training.optimizer import build_optimizer
from think.core.training.parallel import lay_out
from think.core.training.sealed import facts
from think.core.training.stages import Finished, Request, Stage
from think.core.training.stop import Stop

NAME = "stage1"


class Stage1Settings(LoopSettings):
    """Training of the backbone."""


def check(request: Request, *, every_byte: bool = False) -> Packed:
    """Open the data and hold it against the settings; nothing is written.

    every_byte  read the data and compare every checksum: once in a run, before its folder is made
    Raises Missing when there are no data, BadData when they are damaged or too short, BadSettings when they do not fit.
    """
    folder = Path(request.data.path)
    if not folder.is_dir():
        raise Missing(
            "there are no packed data",
            where=str(folder),
            expected="a folder that `think data pack` has written",
            remedy=request.pack_command,
        )
    packed = Packed.open(folder)
    _refuse_other_packing(request, packed)
    size, vocabulary = packed.tokenizer.size, request.model.vocabulary
    if size > vocabulary:
        raise BadSettings(
            f"the tokenizer of these data has {size} tokens, model.vocabulary is {vocabulary}",
            where=str(folder),
            expected=f"model.vocabulary of at least {size}",
            remedy=f"--set model.vocabulary={size}, or pack the data with a smaller tokenizer: {request.pack_command}",
        )
    require_division(request.settings.rows, request.settings.micro_batches, request.machine.processes)
    _tracks(packed, request.settings, ALONE).at(0, request.settings.longest)
    held_out, tracks = packed.split("validation").tokens, request.settings.evaluation.rows
    if tracks > held_out:
        raise BadSettings(
            f"{held_out:,} held-out tokens cannot be read in {tracks:,} tracks",
            where=str(folder),
            expected=f"stage1.evaluation.rows of at most {held_out}",
            remedy="lower stage1.evaluation.rows, or pack more text",
        )
    if every_byte:
        packed.verify()
    return packed


def run(request: Request, folder: RunFolder, watcher: Watcher) -> Finished:
    """Train in a run folder, from the start or from its last good checkpoint.

    Every process of the run is in here; the first one alone holds the lock and writes.
    Raises Locked when another process writes there, Diverged, Interrupted and Terminated as the loop does.
    """
    group = with_data(request.group, request.machine.parallel)
    packed = group.together(lambda: check(request))
    with ExitStack() as until_done:
        group.from_first(lambda: until_done.enter_context(_owned(folder)))
        stop = until_done.enter_context(Stop())
        checkpoints = Checkpoints(folder.checkpoints, keep=request.settings.checkpoint.keep)
        found = group.from_first(lambda: _found(request, packed, checkpoints))
        # From here on the folder changes; whatever is refused has been refused.
        telemetry: Records = Nobody()
        if group.first:
            for name, text in request.files.items():
                replace_file(folder.path / name, text.encode())
            telemetry = until_done.enter_context(Writer(folder.path))
        return _train(request, group, folder, packed, checkpoints, found, stop, telemetry, watcher)


@contextmanager
def _owned(folder: RunFolder) -> Iterator[None]:
    """The run's lock, which gives nothing that would have to be told to the other processes."""
    with folder.lock():
        yield


def _found(request: Request, packed: Packed, checkpoints: Checkpoints) -> Found | None:
    """The checkpoint to go on from, verified and of these data; None to start at the beginning."""
    found = checkpoints.find() if request.resume else None
    if found is not None:
        _refuse_other_data(facts(found.path)["digests"], request, packed)
    return found


def _train(
    request: Request,
    group: Group,
    folder: RunFolder,
    packed: Packed,
    checkpoints: Checkpoints,
    found: Found | None,
    stop: Stop,
    telemetry: Records,
    watcher: Watcher,
) -> Finished:
    settings, machine = request.settings, request.machine
    prepare(machine)
    seeding.start(settings.seed, NAME, "initialisation")
    with torch.device(machine.torch_device):
        model = build(request.model)
    roles = model.roles()
    layout = lay_out(model, machine, group)
    parameters = trainable(model)
    optimizer = build_optimizer(settings.optimizer, roles, parameters, settings.learning_rate)
    seeding.start(settings.seed, NAME, "dropout", *([] if group.first else [group.rank]))
    under_way = Run(
        settings=settings,
        machine=machine,
        clock=settings.clock(),
        layout=layout,
        optimizer=optimizer,
        tracks=_tracks(packed, settings, group),
        held_out=packed.split("validation"),
        checkpoints=checkpoints,
        ledger=Ledger(telemetry, settings.telemetry, settings.anomalies),
        stop=stop,
        identity={"stage": NAME, "seed": settings.seed, "digests": request.digests},
        where=str(folder.path),
    )
    progress = begin(under_way) if found is None else resume(under_way, found.path)
    notes = () if found is None else found.passed_over
    telemetry.write(
        "run_start",
        stage=NAME,
        preset=request.preset,
        seed=settings.seed,
        steps=settings.steps,
        tokens_per_step=settings.rows * under_way.clock.length(min(progress.step + 1, settings.steps)),
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        resumed_from_step=None if found is None else progress.step,
        digests=request.digests,
        device=machine.device,
        threads=machine.threads,
        processes=group.size,
    )
    for note in notes:
        telemetry.write("log", progress.step, level="warning", message=f"checkpoint passed over: {note}")
    already = progress.step >= settings.steps
    with compiling(machine.compile), watched(group.size):
        progress, score = train(under_way, progress, watcher)
    return Finished(folder, progress, score, already, notes)


def _refuse_other_packing(request: Request, packed: Packed) -> None:
    """Settings that only packing reads must not lie about the data that a run is trained on."""
    made, asked = packed.manifest, request.data
    pairs: list[tuple[str, object, object]] = [
        ("tokenizer.kind", made.tokenizer.kind, request.tokenizer.kind),
        ("data.split_on", made.split_on, asked.split_on),
        *(("data.validation", source.division.share, asked.validation) for source in made.sources),
    ]
    differing = {key: (held, wanted) for key, held, wanted in pairs if held != wanted}
    if differing:
        raise BadSettings(
            "these data were packed with other settings: "
            + ", ".join(f"{key} = {held}, not {wanted}" for key, (held, wanted) in differing.items()),
            where=str(packed.path),
            expected="data that are packed as the settings say",
            remedy=f"pack again into another folder: {request.pack_command} --out FOLDER; "
            + "or train on them as they are: "
            + " ".join(f"--set {key}={held}" for key, (held, _) in differing.items()),
        )


def _refuse_other_data(trained: dict[str, str], request: Request, packed: Packed) -> None:
    if trained["pack"] != packed.digest:
        raise BadSettings(
            "the run was trained on other data",
            where=str(packed.path),
            expected=f"the pack with digest {trained['pack'][:16]}…, this one has {packed.digest[:16]}…",
            remedy="give the folder of the first data with --data, or start a new run with another --out",
        )


def _tracks(packed: Packed, settings: LoopSettings, group: Group) -> Tracks:
    return Tracks(packed.split("train"), settings.rows, settings.seed, settings.reset_period, group.rows(settings.rows))


SPEC = Stage(Stage1Settings, run, check)
