"""The writer: nothing that was written is lost, and nothing that happens to the disk reaches the training."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from think.core.errors import Diverged, Interrupted
from think.core.telemetry.process import Identity, alive, identity
from think.core.telemetry.tail import Tail, read
from think.core.telemetry.writer import Clock, Writer, segments


def writer(folder: Path, **options: object) -> Writer:
    return Writer(folder, heartbeat_seconds=None, **options)  # type: ignore[arg-type]


def kinds(folder: Path) -> list[str]:
    return [record.kind for record in read(folder)]


def losses(folder: Path) -> list[float]:
    return [record.fields["loss"] for record in read(folder) if record.kind == "step"]


class TestSegments:
    def test_each_start_opens_a_new_one(self, tmp_path: Path) -> None:
        for _ in range(3):
            writer(tmp_path).close("finished")
        assert [path.name for path in segments(tmp_path)] == [f"telemetry-000{number}.jsonl" for number in (1, 2, 3)]

    def test_they_are_ordered_by_number_beyond_four_digits(self, tmp_path: Path) -> None:
        for number in ("9999", "10000", "0002"):
            (tmp_path / f"telemetry-{number}.jsonl").touch()
        (tmp_path / "telemetry-0003.jsonl.gz").touch()
        names = [path.name for path in segments(tmp_path)]
        assert names == ["telemetry-0002.jsonl", "telemetry-9999.jsonl", "telemetry-10000.jsonl"]
        assert segments(tmp_path / "absent") == []

    def test_a_large_one_is_followed_by_another_and_none_is_renamed(self, tmp_path: Path) -> None:
        telemetry = writer(tmp_path, largest_segment=2000)
        for step in range(50):
            telemetry.write("step", step, loss=float(step))
        assert len(segments(tmp_path)) > 2
        assert losses(tmp_path) == [float(step) for step in range(50)]
        assert [record.seq for record in read(tmp_path)] == list(range(50))


class TestRecords:
    def test_the_first_record_says_who_writes(self, tmp_path: Path) -> None:
        writer(tmp_path, run="first").write("run_start", steps=10)
        (record,) = read(tmp_path)
        assert record.run == "first"
        assert Identity.from_json(record.fields) == identity()

    def test_time_comes_from_the_clock(self, tmp_path: Path) -> None:
        class Fixed(Clock):
            def time(self) -> float:
                return 100.0

            def monotonic(self) -> float:
                return 7.0

        writer(tmp_path, clock=Fixed()).write("log", message="x")
        (record,) = read(tmp_path)
        assert (record.time, record.mono) == (100.0, 7.0)

    def test_closing_writes_the_end_once(self, tmp_path: Path) -> None:
        telemetry = writer(tmp_path)
        telemetry.close("finished")
        telemetry.close("failed")
        telemetry.write("step", 1)
        assert [(record.kind, record.fields["status"]) for record in read(tmp_path)] == [("run_end", "finished")]

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (None, "finished"),
            (Diverged("x"), "diverged"),
            (Interrupted("x"), "interrupted"),
            (KeyboardInterrupt(), "interrupted"),
            (ZeroDivisionError("x"), "failed"),
        ],
    )
    def test_the_end_tells_why(self, tmp_path: Path, error: BaseException | None, status: str) -> None:
        with pytest.raises(type(error)) if error else contextlib.nullcontext(), writer(tmp_path):
            if error is not None:
                raise error
        assert read(tmp_path)[-1].fields["status"] == status

    def test_a_value_without_written_form_costs_its_record_only(self, tmp_path: Path) -> None:
        endless: list[object] = []
        endless.append(endless)
        telemetry = writer(tmp_path)
        telemetry.write("log", message=endless)
        telemetry.write("step", 1, loss=1.0)
        assert telemetry.dropped == 1
        assert kinds(tmp_path) == ["log", "step"]

    def test_a_forked_child_cannot_write(self, tmp_path: Path) -> None:
        telemetry = writer(tmp_path)
        child = os.fork()
        if child == 0:
            telemetry.write("step", 1)
            telemetry.close("failed")
            os._exit(0)
        os.waitpid(child, 0)
        telemetry.write("step", 2)
        assert [record.step for record in read(tmp_path)] == [2]

    def test_threads_do_not_mix_their_records(self, tmp_path: Path) -> None:
        telemetry = writer(tmp_path)

        def work(number: int) -> None:
            for step in range(100):
                telemetry.write("step", step, loss=float(number))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(losses(tmp_path)) == [float(number) for number in range(4) for _ in range(100)]
        assert [record.seq for record in read(tmp_path)] == list(range(400))


class TestHeartbeat:
    def test_it_beats_with_the_latest_step_until_closed(self, tmp_path: Path) -> None:
        waited: list[float] = []

        class Quick(Clock):
            """Three intervals pass at once, then time stands still until the end."""

            def wait(self, stop: threading.Event, seconds: float) -> bool:
                waited.append(seconds)
                if len(waited) > 3:
                    beaten.set()
                    return stop.wait()
                return False

        beaten = threading.Event()
        telemetry = Writer(tmp_path, clock=Quick(), heartbeat_seconds=10.0)
        assert beaten.wait(10)
        telemetry.write("step", 5)
        telemetry.beat()
        telemetry.close("finished")
        assert waited == [10.0] * 4
        assert kinds(tmp_path) == ["heartbeat"] * 3 + ["step", "heartbeat", "run_end"]
        assert read(tmp_path)[-2].step == 5
        assert read(tmp_path)[0].fields["resident_bytes"] > 1_000_000


class TestTrouble:
    def disk(self, monkeypatch: pytest.MonkeyPatch, room: list[int | None]) -> None:
        """Each write takes the next entry: None writes all, a number so many bytes, and none at all is a full disk."""
        write = os.write

        def limited(descriptor: int, data: bytes) -> int:
            allowed = room.pop(0) if room else None
            if allowed == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data if allowed is None else data[:allowed])

        monkeypatch.setattr(os, "write", limited)

    def test_a_full_disk_drops_counts_and_tells_later(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        telemetry = writer(tmp_path)
        self.disk(monkeypatch, [None, 0, 0, 0, 0])  # each later write also tries to tell of the loss
        for step in range(1, 6):
            telemetry.write("step", step, loss=float(step))
        found = read(tmp_path)
        assert [record.step for record in found if record.kind == "step"] == [1, 4, 5]
        assert [record.fields["dropped"] for record in found if record.kind == "log"] == [2]
        assert telemetry.dropped == 2
        assert len(segments(tmp_path)) == 1

    def test_a_short_write_goes_on_in_a_new_segment_without_loss(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        telemetry = writer(tmp_path)
        self.disk(monkeypatch, [None, 20])
        for step in range(1, 4):
            telemetry.write("step", step, loss=float(step))
        assert len(segments(tmp_path)) == 2
        tail = Tail(tmp_path)
        assert [record.step for record in tail.poll().records] == [1, 2, 3]
        assert (tail.torn, tail.garbage) == (1, 0)
        assert telemetry.dropped == 0

    def test_a_disk_that_stays_full_makes_no_flood_of_segments(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        telemetry = writer(tmp_path)
        self.disk(monkeypatch, [10] + [0] * 500)
        for step in range(100):
            telemetry.write("step", step)
        assert len(segments(tmp_path)) == 2
        assert telemetry.dropped == 100

    def test_a_folder_that_cannot_be_written_is_survived(self, tmp_path: Path) -> None:
        folder = tmp_path / "later"
        telemetry = writer(folder)
        telemetry.write("step", 1)
        folder.mkdir()
        telemetry.write("step", 2)
        telemetry.close("finished")
        assert kinds(folder) == ["log", "step", "run_end"]

    def test_killed_it_has_lost_no_record_whose_write_returned(self, tmp_path: Path) -> None:
        """A child writes as fast as it can, telling after each write that it returned, and is killed on the way."""
        script = (
            "import sys; from pathlib import Path; from think.core.telemetry.writer import Writer\n"
            "telemetry = Writer(Path(sys.argv[1]))\n"
            "for step in range(1, 10**9):\n"
            "    telemetry.write('step', step, loss=step / 3, text='x' * (step % 700))\n"
            "    sys.stdout.write(f'{step}\\n'); sys.stdout.flush()\n"
        )
        child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        returned = [child.stdout.readline() for _ in range(2000)]
        child.send_signal(signal.SIGKILL)
        returned += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        last = int(next(line for line in reversed(returned) if line.endswith("\n")))
        steps = [record.step for record in read(tmp_path) if record.kind == "step"]
        assert steps[:last] == list(range(1, last + 1))
        assert len(steps) <= last + 1


class TestProcesses:
    def test_this_process_lives(self) -> None:
        assert alive(identity()) is True

    def test_a_process_that_was_collected_or_waits_to_be_is_dead(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        who = Identity(child.pid, identity().host, identity().boot_id, started=0)
        assert alive(who) is False  # another process has that number now
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert alive(who) is False
        child.wait()
        assert alive(Identity(child.pid, who.host, who.boot_id, None)) is False

    def test_an_earlier_boot_is_dead_and_another_host_unknown(self) -> None:
        me = identity()
        assert alive(Identity(me.pid, me.host, "earlier", me.started)) is False
        assert alive(Identity(me.pid, "elsewhere", me.boot_id, me.started)) is None

    @pytest.mark.parametrize("data", [None, [], {}, {"pid": "1", "host": "x"}, {"pid": 1}])
    def test_what_names_no_process_is_none(self, data: object) -> None:
        assert Identity.from_json(data) is None

    def test_it_survives_being_written_down(self) -> None:
        assert Identity.from_json(identity().as_json()) == identity()
