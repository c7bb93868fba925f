"""Run folders: names without a clock, one writer, locks that die with their holder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from think.core import runs as runs_module
from think.core.errors import BadSettings, InputOutput, Locked, Missing, UsageError
from think.core.runs import RunFolder, locate, newest, runs
from think.core.telemetry.process import Identity, identity
from think.core.telemetry.writer import Clock, Writer


def ended(root: Path, name: str, *, started: float, status: str = "finished", stage: str = "stage1") -> RunFolder:
    class Set(Clock):
        def time(self) -> float:
            return started

    run = RunFolder.create(root, name)
    telemetry = Writer(run.path, clock=Set(), heartbeat_seconds=None)
    telemetry.write("run_start", stage=stage)
    telemetry.close(status)
    return run


class TestNames:
    def test_numbers_go_on_after_the_largest(self, tmp_path: Path) -> None:
        names = [RunFolder.numbered(tmp_path, "stage1-cpu_smoke").name for _ in range(2)]
        (tmp_path / "stage1-cpu_smoke-0009").mkdir()
        (tmp_path / "stage1-other-0050").mkdir()
        (tmp_path / "stage1-cpu_smoke-x").mkdir()
        names.append(RunFolder.numbered(tmp_path, "stage1-cpu_smoke").name)
        assert names == ["stage1-cpu_smoke-0001", "stage1-cpu_smoke-0002", "stage1-cpu_smoke-0010"]

    def test_two_that_ask_at_once_get_different_ones(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other process makes its folder after ours looked for a free number."""
        listed = os.listdir(tmp_path)
        (tmp_path / "run-0001").mkdir()
        answers = [listed]
        real = os.listdir
        monkeypatch.setattr(os, "listdir", lambda path: answers.pop() if answers else real(path))
        assert RunFolder.numbered(tmp_path, "run").name == "run-0002"

    def test_a_prefix_is_made_fit_for_a_name(self, tmp_path: Path) -> None:
        assert RunFolder.numbered(tmp_path, "stage1-my preset/é.toml").name == "stage1-my-preset-.toml-0001"

    @pytest.mark.parametrize("name", ["", ".hidden", "-x", "a b", "ä", "x" * 101])
    def test_a_name_that_cannot_be_one_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(BadSettings):
            locate(tmp_path, name)

    def test_a_path_is_taken_as_it_is(self, tmp_path: Path) -> None:
        assert locate(tmp_path / "runs", f"{tmp_path}/elsewhere/x") == tmp_path / "elsewhere" / "x"

    @pytest.mark.parametrize("name", ["./x", "x/", "."])
    def test_a_path_of_one_part_does_not_become_a_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        path = locate(tmp_path / "runs", name)
        assert path == tmp_path / name
        assert locate(tmp_path / "runs", str(path)) == path


class TestFolders:
    def test_a_folder_that_holds_something_is_not_taken(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        RunFolder.create(tmp_path, "empty")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "thesis.txt").touch()
        with pytest.raises(UsageError, match="--resume"):
            RunFolder.create(tmp_path, "full")

    def test_what_a_process_left_that_was_killed_at_once_does_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "killed").mkdir()
        for name in (".lock", ".settings.toml.new"):
            (tmp_path / "killed" / name).write_text("half")
        assert RunFolder.create(tmp_path, "killed").is_blank()
        (tmp_path / "killed" / "tokenizer.json").touch()
        assert not RunFolder(tmp_path / "killed").is_blank()

    def test_a_place_that_cannot_be_written_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for make in (RunFolder.create, RunFolder.numbered):
            with pytest.raises(InputOutput):
                make(tmp_path / "file", "run")

    def test_opening_one_that_is_not_there_names_the_nearest(self, tmp_path: Path) -> None:
        ended(tmp_path, "shakespeare", started=1.0)
        assert RunFolder.open(tmp_path, "shakespeare").name == "shakespeare"
        with pytest.raises(Missing, match="did you mean 'shakespeare'"):
            RunFolder.open(tmp_path, "shakespear")
        (tmp_path / "photos").mkdir()
        with pytest.raises(Missing, match="holds no run"):
            RunFolder.open(tmp_path, "photos")

    def test_listing_passes_over_what_is_no_run(self, tmp_path: Path) -> None:
        ended(tmp_path, "b", started=1.0)
        ended(tmp_path, "a", started=2.0)
        (tmp_path / "photos").mkdir()
        (tmp_path / ".gates.jsonl").touch()
        assert [run.name for run in runs(tmp_path)] == ["a", "b"]
        assert runs(tmp_path / "absent") == []

    def test_the_newest_is_the_one_started_last(self, tmp_path: Path) -> None:
        ended(tmp_path, "a", started=30.0, status="diverged")
        ended(tmp_path, "b", started=20.0, stage="stage2")
        ended(tmp_path, "c", started=10.0)

        def name(**asked: object) -> str | None:
            run = newest(tmp_path, **asked)  # type: ignore[arg-type]
            return run.name if run else None

        assert name() == "a"
        assert name(finished=True) == "b"
        assert name(finished=True, stage="stage1") == "c"
        assert name(stage="stage4") is None


class TestLock:
    def test_a_second_writer_fails_and_hears_who_holds_it(self, tmp_path: Path) -> None:
        run = RunFolder.create(tmp_path, "run")
        with run.lock():
            script = (
                "import sys; from pathlib import Path; from think.core.errors import ThinkError\n"
                "from think.core.runs import RunFolder\n"
                "try:\n"
                "    with RunFolder(Path(sys.argv[1])).lock(): pass\n"
                "except ThinkError as error:\n"
                "    print(error); sys.exit(error.exit)\n"
            )
            second = subprocess.run([sys.executable, "-c", script, str(run.path)], capture_output=True, text=True)
            assert second.returncode == 75, second.stderr
            assert f"process {os.getpid()}" in second.stdout
            with pytest.raises(Locked), run.lock():
                pass
            assert run.holder() == identity()
        assert run.holder() is None
        with run.lock():
            pass

    def test_a_killed_holder_is_no_holder(self, tmp_path: Path) -> None:
        run = RunFolder.create(tmp_path, "run")
        with_lock(run, "os.kill(os.getpid(), signal.SIGKILL)")
        assert json.loads(run.lock_file.read_text())["pid"] != os.getpid()
        with run.lock():
            assert run.holder() == identity()

    def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(self, tmp_path: Path) -> None:
        """A forked helper process shares the lock of its killed parent, and must not block a resume."""
        run = RunFolder.create(tmp_path, "run")
        said = with_lock(run, "if os.fork():\n        os.kill(os.getpid(), signal.SIGKILL)", "time.sleep(60)")
        orphan = int(said)
        try:
            assert orphan != os.getpid()
            with run.lock():
                assert run.holder() == identity()
                with pytest.raises(Locked), run.lock():
                    pass
        finally:
            os.kill(orphan, signal.SIGKILL)

    @pytest.mark.parametrize(("age", "locked"), [(5.0, True), (500.0, False)])
    def test_a_writer_on_another_host_is_judged_by_its_silence(self, tmp_path: Path, age: float, locked: bool) -> None:
        run = ended(tmp_path, "run", started=1.0)
        run.lock_file.write_text(json.dumps(Identity(1, "elsewhere", "x", 1).as_json()))
        modified = runs_module.time.time() - age
        os.utime(run.path / "telemetry-0001.jsonl", (modified, modified))
        assert (run.holder() is not None) == locked
        if locked:
            with pytest.raises(Locked, match="process 1 on elsewhere"), run.lock():
                pass
        else:
            with run.lock():
                pass

    @pytest.mark.parametrize("content", ["", "garbage", "[]", '{"pid": 1}'])
    def test_a_lock_file_without_a_name_in_it_is_free(self, tmp_path: Path, content: str) -> None:
        run = RunFolder.create(tmp_path, "run")
        run.lock_file.write_text(content)
        with run.lock():
            pass

    def test_without_locks_in_the_file_system_the_name_in_the_file_decides(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs_module, "_flock", lambda descriptor: None)
        run = RunFolder.create(tmp_path, "run")
        with run.lock(), pytest.raises(Locked), run.lock():
            pass
        run.lock_file.write_text(json.dumps(Identity(1, identity().host, "an earlier boot", 1).as_json()))
        with run.lock():
            pass

    def test_an_error_inside_frees_it(self, tmp_path: Path) -> None:
        run = RunFolder.create(tmp_path, "run")
        with pytest.raises(ZeroDivisionError), run.lock():
            raise ZeroDivisionError
        with run.lock():
            pass

    def test_a_folder_that_vanished_is_an_input_output_error(self, tmp_path: Path) -> None:
        with pytest.raises(InputOutput), RunFolder(tmp_path / "absent").lock():
            pass


def with_lock(run: RunFolder, *actions: str) -> str:
    """Run a process that takes the lock, prints its children's ids as they appear, and does something; its output."""
    script = (
        "import os, signal, sys, time; from pathlib import Path; from think.core.runs import RunFolder\n"
        "os.register_at_fork(after_in_child=lambda: print(os.getpid(), flush=True))\n"
        "with RunFolder(Path(sys.argv[1])).lock():\n"
    ) + "".join(f"    {action}\n" for action in actions)
    child = subprocess.Popen([sys.executable, "-c", script, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        said = child.stdout.readline()
    assert child.wait() == -signal.SIGKILL
    return said
