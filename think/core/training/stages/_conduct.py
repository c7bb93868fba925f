"""What every stage does around its training loop: lock, data, records, checkpoints, in the order that loses nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from think.core import seeding
from think.core.data.store import Packed
from think.core.device import compiling, prepare
from think.core.durable import replace_file
from think.core.errors import BadSettings, Missing
from think.core.processes import Group, watched, with_data
from think.core.runs import RunFolder
from think.core.telemetry.writer import Writer
from think.core.training.checkpoint import Checkpoints, Found
from think.core.training.ledger import Ledger, Nobody, Records
from think.core.training.loop import Run, Watcher, begin, resume, train
from think.core.training.optimizer import build_optimizer
from think.core.training.predecessor import refuse_another
from think.core.training.sealed import facts
from think.core.training.stages import Check, Finished, Request, S
from think.core.training.stop import Stop
from think.core.training.work import Work

Make = Callable[[Request[S], Group, Packed], Work[Any]]
"What is trained, freshly initialised from torch's generators; a resumed run loads its checkpoint into it."


@dataclass(frozen=True)
class Conduct(Generic[S]):
    """A stage as a story: `check` it, `make` its work, train it in a run folder."""

    name: str
    check: Check
    make: Make[S]

    def __call__(self, request: Request[S], folder: RunFolder, watcher: Watcher) -> Finished:
        """Train in a run folder, from the start or from its last good checkpoint.

        Every process of the run is in here; the first one alone holds the lock and writes.
        Raises Locked when another process writes there, Diverged, Interrupted and Terminated as the loop does.
        """
        group = with_data(request.group, request.machine.parallel)
        packed = group.together(lambda: self.check(request))
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
            return self._train(request, group, folder, packed, checkpoints, found, stop, telemetry, watcher)

    def _train(
        self,
        request: Request[S],
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
        seeding.start(settings.seed, self.name, "initialisation")
        work = self.make(request, group, packed)
        parameters = work.parameters()
        optimizer = build_optimizer(
            settings.optimizer, work.roles(), parameters, settings.learning_rate, section=self.name
        )
        seeding.start(settings.seed, self.name, "dropout", *([] if group.first else [group.rank]))
        under_way = Run(
            settings=settings,
            stage=self.name,
            clock=settings.clock(),
            work=work,
            optimizer=optimizer,
            checkpoints=checkpoints,
            ledger=Ledger(telemetry, settings.telemetry, settings.anomalies),
            stop=stop,
            identity={
                "stage": self.name,
                "seed": settings.seed,
                "digests": request.digests,
                **({} if request.predecessor is None else {"predecessor": request.predecessor.as_json()}),
            },
            where=str(folder.path),
        )
        progress = begin(under_way) if found is None else resume(under_way, found.path)
        notes = () if found is None else found.passed_over
        telemetry.write(
            "run_start",
            stage=self.name,
            preset=request.preset,
            seed=settings.seed,
            steps=settings.steps,
            **{f"{work.unit}_per_step": work.amount(min(progress.step + 1, settings.steps))},
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
        return Finished(folder, self.name, progress.step, work.unit, work.total(progress), score, already, notes)


def open_data(request: Request[Any]) -> Packed:
    """The packed data of a request, held against the settings; nothing is written.

    Raises Missing when there are no data, BadData when they are damaged, BadSettings when they do not fit.
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
    return packed


@contextmanager
def _owned(folder: RunFolder) -> Iterator[None]:
    """The run's lock, which gives nothing that would have to be told to the other processes."""
    with folder.lock():
        yield


def _found(request: Request[Any], packed: Packed, checkpoints: Checkpoints) -> Found | None:
    """The checkpoint to go on from, verified, of these data and this predecessor; None to start at the beginning."""
    found = checkpoints.find() if request.resume else None
    if found is not None:
        held = facts(found.path)
        _refuse_other_data(held["digests"], request, packed)
        refuse_another(held.get("predecessor"), request.predecessor, str(found.path))
    return found


def _refuse_other_packing(request: Request[Any], packed: Packed) -> None:
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


def _refuse_other_data(trained: dict[str, str], request: Request[Any], packed: Packed) -> None:
    if trained["pack"] != packed.digest:
        raise BadSettings(
            "the run was trained on other data",
            where=str(packed.path),
            expected=f"the pack with digest {trained['pack'][:16]}…, this one has {packed.digest[:16]}…",
            remedy="give the folder of the first data with --data, or start a new run with another --out",
        )
