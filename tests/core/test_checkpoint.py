"""Checkpoints: bit-exact, whole at every moment, honest about damage."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from think.core import durable
from think.core.errors import BadData, InputOutput, Missing
from think.core.training import checkpoint, sealed, shards
from think.core.training.checkpoint import Checkpoints, verify


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def groups(step: int) -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(6, 5, generator=generator)
    return {
        "model": {"weight": weight, "tied": weight, "half": weight.bfloat16()},
        "optimizer": {"weight|momentum": torch.randn(6, 5, generator=generator)},
        "state": {"h": torch.randn(2, 3, generator=generator)},
    }


def facts(step: int) -> dict[str, object]:
    return {"cursor": step * 64, "rng": {"python": [3, [1, 2**31], None]}, "loss": 0.1 * step}


def save(folder: Path, *steps: int, keep: int = 2) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep=keep)
    for step in steps:
        checkpoints.save(step, groups(step), facts(step))
    return checkpoints


def assert_holds(checkpoints: Checkpoints, step: int) -> None:
    loaded = checkpoints.load()
    assert loaded.facts == facts(step)
    for group, members in groups(step).items():
        assert set(loaded.tensors[group]) == set(members)
        for name, tensor in members.items():
            assert loaded.tensors[group][name].dtype == tensor.dtype
            assert bits(loaded.tensors[group][name]) == bits(tensor)


class TestSaving:
    def test_loads_what_was_saved(self, tmp_path: Path) -> None:
        assert_holds(save(tmp_path / "new" / "checkpoints", 7), 7)

    @pytest.mark.parametrize(
        "tensor",
        [
            torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
            torch.arange(12).reshape(3, 4).T,
            torch.arange(12)[3:7],
            torch.zeros(3).expand(4, 3),
            torch.tensor(1.5, dtype=torch.bfloat16),
            torch.zeros(0, 3),
            torch.tensor([True, False]),
            torch.get_rng_state(),
            torch.nn.Parameter(torch.ones(2)),
        ],
        ids=["not finite", "transposed", "slice", "expanded", "scalar", "empty", "bool", "bytes", "parameter"],
    )
    def test_any_tensor_comes_back_bit_for_bit(self, tmp_path: Path, tensor: Tensor) -> None:
        checkpoints = Checkpoints(tmp_path)
        checkpoints.save(1, {"model": {"x": tensor, "again": tensor}}, {})
        for loaded in checkpoints.load().tensors["model"].values():
            assert loaded.shape == tensor.shape
            assert loaded.dtype == tensor.dtype
            assert bits(loaded) == bits(tensor)

    @given(value=st.floats(allow_nan=False, allow_infinity=False))
    @settings(max_examples=20, deadline=None)
    def test_facts_keep_every_bit_of_a_number(self, tmp_path_factory: pytest.TempPathFactory, value: float) -> None:
        checkpoints = Checkpoints(tmp_path_factory.mktemp("run"))
        checkpoints.save(1, {}, {"value": value})
        assert checkpoints.load().facts["value"].hex() == value.hex()

    def test_a_fact_that_is_not_a_number_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        checkpoints = save(tmp_path, 1)
        with pytest.raises(ValueError, match="not JSON compliant"):
            checkpoints.save(2, groups(2), {"loss": float("nan")})
        assert sorted(os.listdir(tmp_path)) == ["latest", "step-00000001"]

    def test_the_newest_are_kept(self, tmp_path: Path) -> None:
        save(tmp_path, 1, 2, 3, 4, keep=2)
        assert sorted(os.listdir(tmp_path)) == ["latest", "step-00000003", "step-00000004"]

    def test_one_is_always_kept(self, tmp_path: Path) -> None:
        assert_holds(save(tmp_path, 1, 2, keep=1), 2)
        with pytest.raises(ValueError, match="at least one"):
            Checkpoints(tmp_path, keep=0)

    def test_the_same_step_again_replaces_it(self, tmp_path: Path) -> None:
        checkpoints = save(tmp_path, 1, 2)
        checkpoints.save(2, groups(5), facts(5))
        assert_holds(checkpoints, 5)
        assert sorted(os.listdir(tmp_path)) == ["latest", "step-00000001", "step-00000002"]

    def test_steps_of_an_abandoned_future_go_when_their_past_is_done_again(self, tmp_path: Path) -> None:
        checkpoints = save(tmp_path, 10, 20, 15)
        assert [path.name for path in checkpoints.all()] == ["step-00000010", "step-00000015"]

    def test_latest_moves_only_after_the_new_one_is_verified(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoints = save(tmp_path, 1)
        monkeypatch.setattr(shards, "same_bits", lambda one, other: False)
        with pytest.raises(InputOutput, match="does not read back as written"):
            checkpoints.save(2, groups(2), facts(2))
        assert sorted(os.listdir(tmp_path)) == ["latest", "step-00000001"]
        assert_holds(checkpoints, 1)


class TestFinding:
    def test_nothing_saved_is_none_and_not_an_error(self, tmp_path: Path) -> None:
        assert Checkpoints(tmp_path / "absent").find() is None
        with pytest.raises(Missing):
            Checkpoints(tmp_path).load()

    def test_reading_changes_nothing(self, tmp_path: Path) -> None:
        checkpoints = save(tmp_path, 1)
        (tmp_path / ".saving-step-00000002").mkdir()
        checkpoints.find()
        assert (tmp_path / ".saving-step-00000002").exists()

    @pytest.mark.parametrize(
        "name", ["model.safetensors", "optimizer.safetensors", "state.safetensors", "facts.json", "manifest.json"]
    )
    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
    def test_damage_is_seen_named_and_passed_over(self, tmp_path: Path, name: str, damage: str) -> None:
        checkpoints = save(tmp_path, 1, 2)
        ruin(tmp_path / "step-00000002" / name, damage)
        with pytest.raises(BadData, match=name):
            checkpoints.load(tmp_path / "step-00000002")
        found = checkpoints.find()
        assert found is not None
        assert found.step == 1
        assert any(name in sentence for sentence in found.passed_over)
        assert_holds(checkpoints, 1)

    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
    def test_a_damaged_pointer_is_said_and_the_newest_good_one_found(self, tmp_path: Path, damage: str) -> None:
        checkpoints = save(tmp_path, 1, 2)
        ruin(tmp_path / "latest", damage)
        found = checkpoints.find()
        assert found is not None
        assert found.step == 2
        assert found.passed_over

    def test_a_flipped_bit_anywhere_in_the_small_files_is_seen(self, tmp_path: Path) -> None:
        save(tmp_path, 1)
        for name in ("facts.json", "manifest.json"):
            path = tmp_path / "step-00000001" / name
            good = path.read_bytes()
            for index in range(0, len(good), 3):
                path.write_bytes(good[:index] + bytes([good[index] ^ 1 << index % 8]) + good[index + 1 :])
                with pytest.raises(BadData):
                    verify(tmp_path / "step-00000001")
            path.write_bytes(good)

    def test_all_damaged_is_an_error_and_not_a_fresh_start(self, tmp_path: Path) -> None:
        checkpoints = save(tmp_path, 1, 2)
        for step in (1, 2):
            ruin(tmp_path / f"step-0000000{step}" / "model.safetensors", "flip")
        with pytest.raises(BadData, match="no checkpoint is whole"):
            checkpoints.find()

    def test_a_save_while_somebody_looks_is_no_damage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The writer replaces the only checkpoint between our looking at the folder and our reading it."""
        checkpoints = save(tmp_path, 1, keep=1)
        real, once = checkpoint.verify, [True]

        def verify_late(path: Path) -> object:
            if once:
                once.clear()
                save(tmp_path, 2, keep=1)
            return real(path)

        monkeypatch.setattr(checkpoint, "verify", verify_late)
        found = checkpoints.find()
        assert found is not None
        assert (found.step, found.passed_over) == (2, ())

    def test_an_unknown_format_says_so(self, tmp_path: Path) -> None:
        save(tmp_path, 1)
        manifest = tmp_path / "step-00000001" / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b'"format": 1', b'"format": 3'))
        with pytest.raises(BadData, match="format 3"):
            verify(tmp_path / "step-00000001")


def ruin(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
        return
    content[len(content) // 2] ^= 4
    path.write_bytes({"flip": content, "cut": content[:-1], "empty": b""}[damage])


CALLS = ["open", "write", "fsync", "close", "mkdir", "rename", "replace", "unlink", "rmdir"]
"Every call to the operating system that changes something during a save; safetensors writes its files itself."


def count_calls(monkeypatch: pytest.MonkeyPatch, before: Callable[[int], None], after: Callable[[int], None]) -> None:
    """Number each changing call of this process, and run `before` and `after` around it."""
    number = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal number
            number += 1
            here = number
            before(here)
            result = original(*arguments, **named)
            after(here)
            return result

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(sealed, "save_file", counted(sealed.save_file))


def calls_of_a_save(tmp_path: Path, step: int) -> int:
    """How many changing calls one save makes in a folder that holds steps 1 and 2."""
    save(tmp_path, 1, 2)
    seen = [0]
    with pytest.MonkeyPatch.context() as patch:
        count_calls(patch, lambda number: None, lambda number: seen.append(number))
        Checkpoints(tmp_path).save(step, groups(9), facts(9))
    return max(seen)


def die_at(fatal: int) -> Callable[[int], None]:
    def hook(number: int) -> None:
        if number == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 2], ids=["a new step", "a step that is there"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_call_a_good_checkpoint_remains(tmp_path: Path, step: int, moment: str) -> None:
    calls = calls_of_a_save(tmp_path / "counted", step)
    assert calls > 30
    for fatal in range(1, calls + 1):
        folder = tmp_path / str(fatal)
        checkpoints = save(folder, 1, 2)
        child = os.fork()
        if child == 0:
            hooks: dict[str, Callable[[int], None]] = {"before": lambda number: None, "after": lambda number: None}
            hooks[moment] = die_at(fatal)
            count_calls(pytest.MonkeyPatch(), **hooks)
            checkpoints.save(step, groups(9), facts(9))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        found = checkpoints.find()
        assert found is not None
        assert_holds(checkpoints, 9 if checkpoints.load().facts == facts(9) else 2)
        checkpoints.save(4, groups(4), facts(4))
        assert_holds(checkpoints, 4)
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        shutil.rmtree(folder)


@pytest.mark.parametrize("step", [3, 2], ids=["a new step", "a step that is there"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_failing_disk_is_an_error_and_loses_nothing(tmp_path: Path, step: int, code: int) -> None:
    calls = calls_of_a_save(tmp_path / "counted", step)
    reported: list[InputOutput] = []
    for failing in range(1, calls + 1):
        folder = tmp_path / str(failing)
        checkpoints = save(folder, 1, 2)

        def fail(number: int, failing: int = failing) -> None:
            if number == failing:
                raise OSError(code, os.strerror(code))

        with pytest.MonkeyPatch.context() as patch:
            count_calls(patch, fail, lambda number: None)
            try:
                checkpoints.save(step, groups(9), facts(9))
            except InputOutput as error:
                reported.append(error)
        assert_holds(checkpoints, 9 if checkpoints.load().facts == facts(9) else 2)
        checkpoints.save(4, groups(4), facts(4))
        assert_holds(checkpoints, 4)
        shutil.rmtree(folder)
    assert len(reported) > 20
    assert all(os.strerror(code) in error.what and error.exit == 74 for error in reported)


def test_a_full_disk_under_the_tensor_writer_is_reported_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = save(tmp_path, 1)

    def full(*arguments: object) -> None:
        raise checkpoint.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(sealed, "save_file", full)
    with pytest.raises(InputOutput, match="No space left"):
        checkpoints.save(2, groups(2), facts(2))
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == ["latest", "step-00000001"]
    assert_holds(checkpoints, 1)


@given(st.lists(st.tuples(st.sampled_from(["save", "kill", "flip"]), st.integers(1, 60)), max_size=8))
@settings(max_examples=15, deadline=None)
def test_while_one_good_save_is_left_it_loads(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, int]]
) -> None:
    """Saves, saves cut short at some call, and damage to the newest: what loads is always something that was saved."""

    class Killed(BaseException):
        pass

    folder = tmp_path_factory.mktemp("run")
    checkpoints = save(folder, 1, 2, keep=3)
    step, damaged = 2, 0
    for event, where in story:
        if event == "flip":
            newest = checkpoints.latest()
            if newest is None or damaged >= 1:
                continue
            ruin(newest / "model.safetensors", "flip")
            damaged += 1
            continue
        step += 1

        def kill(number: int, event: str = event, where: int = where) -> None:
            if event == "kill" and number == where:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            count_calls(patch, kill, lambda number: None)
            try:
                checkpoints.save(step, groups(step), facts(step))
                damaged = 0
            except Killed:
                pass
    found = checkpoints.find()
    assert found is not None
    assert_holds(checkpoints, found.step)


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    durable.replace_file(path, b"old")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        durable.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["plan.json"]
