"""The monitor in a real terminal while a real training run goes on: it shows the run, and that it was killed.

The terminal is tmux. Waiting is polling with a deadline.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from think.core.errors import Exit

DEADLINE_SECONDS = 400.0
DEAD_SECONDS = 2.0
"From the kill to the word on the screen, by the monitor's clock."

TINY = [
    *("--preset", "cpu_smoke", "--set", 'data.sources=[{kind="stories", count=60}]'),
    *("--set", "stage1.rows=4", "--set", "stage1.length=64", "--set", "stage1.curriculum=[]"),
    *("--set", "stage1.evaluation.every=50", "--set", "stage1.schedule.warmup=2"),
]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")]


class Terminal:
    """A tmux of its own with one window."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._words = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
        self._environment = environment
        self.folder = folder

    def start(self, command: list[str], columns: int, rows: int) -> None:
        size = ["-x", str(columns), "-y", str(rows)]
        program = shlex.join(["sh", "-c", 'echo $$ > pid; exec "$@"', "sh", *command])
        line = f"{program}; echo $? > ended; mv ended code"
        stays = [";", "set-option", "-g", "remain-on-exit", "on"]
        self._tmux("new-session", "-d", *size, line, *stays)

    def keys(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def told(self, name: str) -> str:
        """A format variable of tmux about the window."""
        return self._tmux("display-message", "-p", f"#{{{name}}}").strip()

    @property
    def pid(self) -> int:
        """Of the command."""
        return int((self.folder / "pid").read_text())

    @property
    def code(self) -> int | None:
        """Exit code of the command, None while it runs. The shell's word: tmux at times never learns of an end."""
        path = self.folder / "code"
        return int(path.read_text()) if path.exists() else None

    def until(self, condition: Callable[[str], bool], what: str, seconds: float = DEADLINE_SECONDS) -> float:
        """Seconds until the screen fulfils the condition."""
        begun = time.monotonic()
        while not condition(shown := self.screen):
            assert time.monotonic() - begun < seconds, f"{what} did not come in {seconds} s:\n{shown}"
            time.sleep(0.02)
        return time.monotonic() - begun

    def stop(self) -> None:
        subprocess.run([*self._words, "kill-server"], capture_output=True)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            [*self._words, *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "THINK_RUNS": str(tmp_path / "runs"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        # what some shells and programs export; the monitor follows its terminal all the same
        "COLUMNS": "80",
        "LINES": "24",
    }


@pytest.fixture
def terminal(tmp_path: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    made = Terminal(tmp_path, environment)
    yield made
    made.stop()


def test_a_killed_run_is_dead_within_two_seconds_and_its_last_record_is_drawn(tmp_path, environment, terminal):
    think = [sys.executable, "-m", "think"]
    options = {"cwd": tmp_path, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*think, "data", "pack", *TINY[:4]], check=True, **options)
    words = [*think, "train", "stage1", *TINY, "--set", "stage1.steps=100000", "--out", "one"]
    trainer = subprocess.Popen(words, **options)
    try:
        terminal.start([*think, "tui"], 80, 24)
        terminal.until(lambda shown: "one" in shown and "running" in shown, "the running run")
        terminal.keys("2")
        terminal.until(lambda shown: "training loss" in shown and "nats/token" in shown, "its curve")
        first = _step(terminal.screen)
        terminal.until(lambda shown: _step(shown) > first, "a later step")
        wide = lambda shown: "gradient norm" in shown and "throughput" in shown  # noqa: E731
        terminal.resize(200, 60)
        terminal.until(wide, "the wide screen")
        terminal.resize(40, 10)
        terminal.until(lambda shown: "one" in shown and "gradient norm" not in shown, "the narrow screen")
        terminal.resize(80, 24)
        terminal.until(lambda shown: "nats/token" in shown, "the usual screen")
        lag = _echo(terminal)
        trainer.send_signal(signal.SIGKILL)
        assert terminal.until(lambda shown: "✕ dead" in shown, "the word dead") <= DEAD_SECONDS + lag
    finally:
        trainer.kill()
        trainer.wait()
    last = _last_step(tmp_path / "runs" / "one")
    terminal.until(lambda shown: _step(shown) == last, f"the last step {last}")
    terminal.keys("q")
    terminal.until(lambda shown: terminal.code == 0, "the end of the monitor")


def test_a_terminated_monitor_leaves_the_terminal_as_it_was(tmp_path, terminal):
    (tmp_path / "runs").mkdir()
    terminal.start([sys.executable, "-m", "think", "tui"], 80, 24)
    terminal.until(lambda shown: "There is no run" in shown, "the first frame")
    assert terminal.told("alternate_on") == "1"
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.until(lambda shown: terminal.code == Exit.TERMINATED, "the exit code of a terminated program")
    assert (terminal.told("alternate_on"), terminal.told("mouse_any_flag")) == ("0", "0")


def _step(shown: str) -> int:
    """The step that the Run screen shows; -1 while it shows none."""
    found = re.search(r"step ([\d,]+) of", shown)
    return int(found[1].replace(",", "")) if found else -1


def _last_step(run: Path) -> int:
    lines = (run / "telemetry-0001.jsonl").read_bytes().split(b"\n")[:-1]
    return max(record["step"] for record in map(json.loads, lines) if record["kind"] == "step")


def _echo(terminal: Terminal) -> float:
    """Seconds from a key to its effect on the screen: how far this busy machine lags behind the monitor's clock."""
    terminal.keys("Space")
    lag = terminal.until(lambda shown: "PAUSED" in shown, "the pause")
    terminal.keys("Space")
    return lag + terminal.until(lambda shown: "PAUSED" not in shown, "the end of the pause")
