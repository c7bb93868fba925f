"""Two processes are one process: losses, evaluation, state, checkpoints, signals; and what is refused.

All that two processes do is done in one launch of them, since starting takes longer than training. Every loss curve is
compared with that of one process, which shares no code with `torch.distributed`.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from think.core.device import RuntimeSettings, resolve
from think.core.effects import Laboratory, fixtures
from think.core.errors import BadSettings, InputOutput, MachineCannot, ThinkError
from think.core.processes import ALONE, DdpSettings, FsdpSettings, Group, Launch, joined, require_division, watched
from think.core.settings import RunSettings
from think.core.telemetry.tail import read
from think.core.training import checkpoint, sealed
from think.core.training.checkpoint import Checkpoints
from think.presets.decode import decode
from think.presets.render import diff
from think.presets.sources import read as read_preset

pytestmark = pytest.mark.train

LONE = Launch(rank=0, world_size=1, local_rank=0, local_world_size=1, address="", port=0)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PROCESS = Path(__file__).parent / "_process.py"
CLOSE = 2e-6
"Relative difference of losses that adding in another order makes."

MUON = {"stage1.optimizer": {"kind": "muon"}}
FSDP = {"runtime.parallel.kind": "fsdp"}
CUT = {"stage1.rows": 4, "stage1.micro_batches": 2, "stage1.entropy_bonus": 0.1}

ALONE_FIRST = [
    {"name": "one", "set": {}},
    {"name": "one-muon", "set": MUON},
    {"name": "one-cut", "set": CUT},
    {"name": "one-to-ddp", "set": {}, "stop": [2, 0]},
    {"name": "one-to-fsdp", "set": MUON, "stop": [2, 0]},
]
TOGETHER = [
    {"name": "ddp", "set": {}},
    {"name": "ddp-muon", "set": MUON},
    {"name": "ddp-cut", "set": CUT},
    {"name": "fsdp", "set": FSDP},
    {"name": "fsdp-muon", "set": {**FSDP, **MUON}},
    {"name": "fsdp-cut", "set": {**FSDP, **CUT}},
    {"name": "ddp-parts", "set": {}, "stop": [2, 1]},
    {"name": "ddp-parts", "set": {}, "resume": True},
    {"name": "fsdp-parts", "set": {**FSDP, **MUON}, "stop": [2, 1]},
    {"name": "fsdp-parts", "set": {**FSDP, **MUON}, "resume": True},
    {"name": "one-to-ddp", "set": {}, "resume": True},
    {"name": "one-to-fsdp", "set": {**FSDP, **MUON}, "resume": True},
    {"name": "ddp-to-one", "set": {}, "stop": [2, 0]},
    {"name": "fsdp-to-one", "set": {**FSDP, **MUON}, "stop": [2, 0]},
]
ALONE_LAST = [
    {"name": "ddp-to-one", "set": {}, "resume": True},
    {"name": "fsdp-to-one", "set": MUON, "resume": True},
]


def process() -> ModuleType:
    described = importlib.util.spec_from_file_location("_process", PROCESS)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace in which everything above has run."""
    workspace = tmp_path_factory.mktemp("processes")
    Laboratory(workspace)
    plan, threads = workspace / "plan.json", torch.get_num_threads()
    alone = process()
    plan.write_text(json.dumps(ALONE_FIRST))
    alone.main(plan, workspace)
    plan.write_text(json.dumps(TOGETHER))
    launched = subprocess.run(
        [*TORCHRUN, str(PROCESS), str(plan), str(workspace)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr[-4000:]
    plan.write_text(json.dumps(ALONE_LAST))
    alone.main(plan, workspace)
    yield workspace
    torch.set_num_threads(threads)


def records(runs: Path, name: str, kind: str) -> list[Any]:
    return [record for record in read(runs / name) if record.kind == kind]


def curve(runs: Path, name: str, field: str = "loss") -> list[float]:
    """A figure of every step, those that a resumed run has done again not counted."""
    return [record.fields[field] for record in records(runs, name, "step")]


def held(runs: Path, name: str) -> Any:
    return Checkpoints(runs / name / "checkpoints").load()


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Greatest difference of any tensor, as a share of its own greatest entry."""
    assert one.keys() == other.keys()
    scale = {name: float(tensor.double().abs().max()) + 1e-3 for name, tensor in one.items() if tensor.numel()}
    return max(float((one[name].double() - other[name].double()).abs().max()) / scale[name] for name in scale)


SAME = [
    ("ddp", "one"),
    ("ddp-muon", "one-muon"),
    ("ddp-cut", "one-cut"),
    ("fsdp", "one"),
    ("fsdp-muon", "one-muon"),
    ("fsdp-cut", "one-cut"),
    ("one-to-ddp", "one"),
    ("one-to-fsdp", "one-muon"),
    ("ddp-to-one", "one"),
    ("fsdp-to-one", "one-muon"),
]


@pytest.mark.slow
class TestTwoProcesses:
    @pytest.mark.parametrize(("name", "alone"), SAME)
    def test_have_the_loss_curve_of_one(self, runs: Path, name: str, alone: str) -> None:
        assert len(curve(runs, name)) == 6
        for field in ("loss", "objective", "tokens", "gradient_norm", "h0_gradient"):
            assert curve(runs, name, field) == pytest.approx(curve(runs, alone, field), rel=2e-4, abs=1e-7), field
        assert curve(runs, name) == pytest.approx(curve(runs, alone), rel=CLOSE)

    @pytest.mark.parametrize(("name", "alone"), SAME)
    def test_end_with_the_weights_moments_and_state_of_one(self, runs: Path, name: str, alone: str) -> None:
        mine, one = held(runs, name), held(runs, alone)
        for group in ("model", "optimizer", "state"):
            assert distance(one.tensors[group], mine.tensors[group]) < 2e-3, group
        counted = ("step", "position", "state_position", "tokens", "moved")
        assert [mine.facts[key] for key in counted] == [one.facts[key] for key in counted]
        assert torch.equal(mine.tensors["random"]["cpu"], one.tensors["random"]["cpu"])

    @pytest.mark.parametrize("name", ["ddp", "fsdp"])
    def test_evaluate_and_look_as_one(self, runs: Path, name: str) -> None:
        for kind, fields in (("eval", ("loss", "tokens")), ("state_health", ("norm", "rank", "cosine", "saturated"))):
            mine, one = records(runs, name, kind), records(runs, "one", kind)
            assert [record.step for record in mine] == [record.step for record in one]
            for left, right in zip(mine, one, strict=True):
                for field in set(fields) & set(right.fields):
                    assert left.fields[field] == pytest.approx(right.fields[field], rel=1e-3), (kind, field)
        norms = [
            [record.fields["norms"] for record in records(runs, at, "component_gradients")] for at in (name, "one")
        ]
        for left, right in zip(*norms, strict=True):
            assert left == pytest.approx(right, rel=1e-3)

    @pytest.mark.parametrize(("name", "whole"), [("ddp-parts", "ddp"), ("fsdp-parts", "fsdp-muon")])
    def test_resumed_as_many_are_byte_for_byte_as_uninterrupted(
        self, runs: Path, same_bytes: Any, name: str, whole: str
    ) -> None:
        mine, other = held(runs, name), held(runs, whole)
        for group in ("model", "optimizer", "state", "random"):
            assert same_bytes(mine.tensors[group], other.tensors[group]), group
        assert mine.facts == other.facts
        assert curve(runs, name) == curve(runs, whole)

    def test_stop_together_when_one_of_them_is_told_to(self, runs: Path) -> None:
        ended = [json.loads((runs / f"fsdp-to-one.{rank}.json").read_text())["ended"] for rank in (1,)]
        assert all(told.startswith("Terminated: stopped after step 3") for told in ended)

    def test_write_one_log_and_one_set_of_checkpoints(self, runs: Path) -> None:
        assert len(records(runs, "ddp", "run_start")) == 1
        start = records(runs, "ddp", "run_start")[0]
        assert start.fields["processes"] == 2
        assert start.fields["tokens_per_step"] == records(runs, "one", "run_start")[0].fields["tokens_per_step"]
        names = [path.name for path in Checkpoints(runs / "fsdp" / "checkpoints").all()]
        assert names == [path.name for path in Checkpoints(runs / "one" / "checkpoints").all()]

    def test_shards_hold_no_pickle_and_are_sealed(self, runs: Path) -> None:
        path = Checkpoints(runs / "fsdp" / "checkpoints").latest()
        assert path is not None
        files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        shard = "shard-0000{}-model-00001-of-00001.safetensors"
        groups = ("model", "optimizer", "state")
        assert files == sorted(
            ["facts.json", "manifest.json", "random.safetensors"]
            + [f"{group}/{shard.format(number)}" for group in groups for number in (1, 2)]
        )
        sizes = [(path / "model" / shard.format(number)).stat().st_size for number in (1, 2)]
        whole = Checkpoints(runs / "ddp" / "checkpoints").latest()
        assert whole is not None
        assert max(sizes) < 0.7 * (whole / "model.safetensors").stat().st_size
        assert sealed.manifest(path)["format"] == sealed.FORMAT_WITH_SHARDS

    def test_a_damaged_shard_is_noticed_and_passed_over(self, runs: Path, tmp_path: Path) -> None:
        copy = tmp_path / "checkpoints"
        for path in Checkpoints(runs / "fsdp" / "checkpoints").all():
            for file in path.rglob("*"):
                if file.is_file():
                    target = copy / path.name / file.relative_to(path)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(file.read_bytes())
        newest = Checkpoints(copy).all()[-1]
        shard = next((newest / "optimizer").iterdir())
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
        found = Checkpoints(copy).find()
        assert found is not None
        assert found.path != newest
        assert any("does not match its sha256" in told for told in found.passed_over)


@pytest.mark.slow
def test_when_one_is_killed_the_other_ends_with_an_error_that_says_so(runs: Path, tmp_path: Path) -> None:
    tree = fixtures.tree(runs)
    tree["stage1"]["steps"] = 1_000_000
    tree["stage1"]["evaluation"]["every"] = None
    tree["runtime"] = {"device": "cpu", "threads": 1}
    (tmp_path / "long.json").write_text(json.dumps({"summary": "long", **tree}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "think", "train", "stage1", "--preset", "long.json", "--out", "./run"],
            cwd=tmp_path,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "LOCAL_RANK": str(rank),
                "LOCAL_WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    assert started[0].stderr is not None
    said = started[0].stderr.readline()
    while said and "parameters" not in said:
        said = started[0].stderr.readline()
    started[1].send_signal(signal.SIGKILL)
    out, error = started[0].communicate()
    assert started[0].returncode == 74, error
    assert "lost the other processes of this run" in error
    assert "Traceback" not in error
    assert out == ""
    silent, _ = started[1].communicate()
    assert silent == ""


class TestWithoutAnybodyElse:
    @pytest.mark.parametrize("asked", [DdpSettings(), FsdpSettings()])
    def test_several_processes_need_a_launcher_and_the_message_is_the_command(self, asked: Any) -> None:
        with pytest.raises(MachineCannot) as caught:
            resolve(RuntimeSettings(device="cpu", parallel=asked))
        command = "torchrun --standalone --nproc-per-node 2 -m think train stage1 --preset NAME"
        assert f"{command} --set runtime.parallel.kind={asked.kind}" in str(caught.value)

    def test_a_launch_of_several_is_ddp_and_shares_the_cores(self) -> None:
        launch = Launch(rank=1, world_size=4, local_rank=1, local_world_size=2, address="here", port=1)
        machine = resolve(RuntimeSettings(device="cpu"), launch)
        assert machine.as_json()["parallel"] == {
            "kind": "ddp",
            "backend": "gloo",
            "processes": 4,
            "on_this_host": 2,
        }
        assert machine.threads == max(machine.processor_cores // 2, 1)
        assert resolve(RuntimeSettings(device="cpu"), LONE).parallel is None

    def test_nccl_without_cuda_is_refused(self) -> None:
        with pytest.raises(MachineCannot, match="nccl"):
            resolve(RuntimeSettings(device="cpu", parallel=DdpSettings(backend="nccl")), LONE)

    @pytest.mark.parametrize(("rows", "parts", "processes"), [(4, 1, 3), (4, 2, 4), (1, 1, 2)])
    def test_rows_that_cannot_be_divided_are_refused(self, rows: int, parts: int, processes: int) -> None:
        with pytest.raises(BadSettings, match=f"rows = {rows} cannot be divided among {processes} processes") as caught:
            require_division(rows, parts, processes)
        assert f"a multiple of {parts * processes}" in str(caught.value)
        require_division(parts * processes * 2, parts, processes)

    def test_shares_of_rows_cover_them_once_and_in_order(self) -> None:
        for total in range(9):
            for size in (1, 2, 3, 4):
                shares = [Group(rank, size).rows(total) for rank in range(size)]
                assert [row for share in shares for row in range(total)[share]] == list(range(total))

    def test_a_group_of_one_answers_at_once(self) -> None:
        def fail() -> None:
            raise BadSettings("so it is")

        assert ALONE.first
        assert ALONE.gather("here") == ["here"]
        assert ALONE.greatest([3, 0]) == [3, 0]
        assert ALONE.from_first(lambda: 7) == 7
        with pytest.raises(BadSettings, match="so it is"):
            ALONE.together(fail)

    def test_a_launch_of_one_forms_a_group_and_leaves_nothing_behind(self) -> None:
        with joined(LONE) as group:
            assert (group.rank, group.size) == (0, 1)
            assert torch.distributed.is_initialized()
        assert not torch.distributed.is_initialized()

    def test_only_lost_connections_are_said_to_be_lost(self) -> None:
        with pytest.raises(InputOutput, match="Connection closed by peer"), watched(2):
            raise RuntimeError("[/a/b/pair.cc:553] Connection closed by peer [127.0.0.1]:1. This is typical")
        with pytest.raises(RuntimeError, match="shape") as caught, watched(2):
            raise RuntimeError("shape mismatch")
        assert not isinstance(caught.value, ThinkError)


def test_how_a_run_is_divided_may_change_on_resume_and_what_it_computes_may_not(tmp_path: Path) -> None:
    whole = fixtures.tree(tmp_path)
    (tmp_path / "whole.json").write_text(json.dumps({"summary": "whole", **whole}))
    plain, divided = (
        decode(read_preset(str(tmp_path / "whole.json"), changes), RunSettings)
        for changes in ((), ("runtime.parallel.kind=fsdp", "stage1.schedule.kind=cosine"))
    )
    allowed = {one.key: one.may_change_on_resume for one in diff(plain, divided)}
    assert allowed["runtime.parallel"]
    assert allowed["runtime.parallel.kind"]
    assert not allowed["stage1.schedule.kind"]


def test_a_save_that_is_given_up_leaves_the_earlier_ones(tmp_path: Path) -> None:
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, {"model": {"a": torch.ones(2)}}, {})
    saving = checkpoints.begin(2)
    (saving / "model").mkdir()
    (saving / "model" / "half").write_bytes(b"half")
    checkpoints.give_up()
    assert [path.name for path in checkpoints.all()] == ["step-00000001"]
    assert not saving.exists()
