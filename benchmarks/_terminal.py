"""A program in a real terminal of a given size, through tmux: its screen, its keys, its processor time and memory."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SOCKET = f"think-benchmark-{os.getpid()}"
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 900.0
TICKS = os.sysconf("SC_CLK_TCK")


class Terminal:
    """One program. Times begin when it is asked for; use it in a `with`.

    priority  of the process's scheduling group where the system lets it be set, so that a busy machine disturbs less
    """

    def __init__(self, command: Sequence[str], *, columns: int = 200, rows: int = 60, priority: int | None = None):
        set_priority = "" if priority is None else f"echo {priority} > /proc/self/autogroup 2>/dev/null; "
        words = " ".join(map(shlex.quote, command))
        self.begun = time.perf_counter()
        self._tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), f"{set_priority}exec {words}")
        self.pid = int(self._tmux("list-panes", "-F", "#{pane_pid}").strip())

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        self._tmux("kill-server", check=False)
        while Path(f"/proc/{self.pid}").exists():
            time.sleep(POLL_SECONDS)

    @staticmethod
    def _tmux(*words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["tmux", "-L", SOCKET, "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            check=False,
            env=ENVIRONMENT,
        )
        if check and done.returncode:
            raise SystemExit(f"tmux {words[0]}: {done.stderr.strip() or 'the program has ended'}")
        return done.stdout

    def text(self) -> str:
        return self._tmux("capture-pane", "-p")

    def keys(self, *names: str) -> None:
        self._tmux("send-keys", *names)

    def until(self, shown: Callable[[str], bool], *, since: float | None = None) -> float:
        """Seconds until the screen shows it, since the start or since a moment of `time.perf_counter`."""
        since = self.begun if since is None else since
        while True:
            text = self.text()
            now = time.perf_counter()
            if shown(text):
                return now - since
            if now - since > PATIENCE_SECONDS:
                raise SystemExit(f"waited in vain; the screen says:\n{text}")
            time.sleep(POLL_SECONDS)

    def processes(self) -> list[int]:
        """The program and all its descendants."""
        found, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, tasks.read_text().split())
        return found

    def cpu_seconds(self) -> float:
        total = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def cpu_share(self, seconds: float) -> float:
        """Processor time over so many seconds, in percent of one core."""
        before, begun = self.cpu_seconds(), time.perf_counter()
        time.sleep(seconds)
        return 100.0 * (self.cpu_seconds() - before) / (time.perf_counter() - begun)

    def megabytes(self) -> tuple[float, float]:
        """Resident memory of all its processes, now and at its highest, in MB (2^20 bytes)."""
        now = peak = 0
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name == "VmRSS":
                    now += int(value.split()[0])
                elif name == "VmHWM":
                    peak += int(value.split()[0])
        return now / 1024, peak / 1024
