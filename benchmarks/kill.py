"""Kills a training run again and again, and compares what it ends as with the same run left in peace.

Both train with the same settings. One is never disturbed; the other is killed with SIGKILL at random steps, some of
them inside a save, some just after a start (so two in a row), one just after an epoch has ended, and resumed each time.
At the end every file of the last checkpoint (weights, optimizer, carried state, random streams, cursor) and the loss of
every step must be equal, byte for byte.

    python benchmarks/kill.py [--preset cpu_smoke] [--data data/stories] [--set KEY=VALUE ...] [--kills 20] [--seed 0]
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import think
from think.core.durable import sha256_of
from think.core.telemetry.tail import read

POLL_SECONDS = 0.002
"A save of the smallest model takes tens of milliseconds; this sees it while it lasts."
PATIENCE_SECONDS = 900.0
"A run that does not move for so long has hung."


@dataclass(frozen=True)
class Kill:
    """One kill: what was aimed at, the steps done then, and the step of the newest checkpoint."""

    aim: str
    step: int
    checkpoint: int | None
    inside_a_save: bool


class Trainer:
    """Starts `think train stage1` on one run folder, and resumes it."""

    def __init__(self, folder: Path, arguments: list[str]):
        self.folder, self.arguments = folder, arguments

    def start(self, *, resume: bool) -> subprocess.Popen[bytes]:
        # A resumed run takes its settings from its own folder, as a user would let it.
        command = ["--resume"] if resume else self.arguments
        with open(self.folder.parent / f"{self.folder.name}.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "think", "train", "stage1", *command, "--out", str(self.folder)],
                stdout=log,
                stderr=log,
            )

    def finish(self, *, resume: bool) -> float:
        """Run to the end; gives the seconds it took."""
        began = time.perf_counter()
        code = self.start(resume=resume).wait()
        if code != 0:
            raise SystemExit((self.folder.parent / f"{self.folder.name}.log").read_text()[-4000:])
        return time.perf_counter() - began

    def step(self) -> int:
        """Optimizer steps done, as far as the telemetry tells."""
        steps = [record.step for record in read(self.folder) if record.kind == "step" and record.step is not None]
        return max(steps, default=0)

    def saved(self) -> bool:
        return (self.folder / "checkpoints" / "latest").exists()

    def saving(self) -> bool:
        try:
            return any(name.startswith(".saving-") for name in os.listdir(self.folder / "checkpoints"))
        except FileNotFoundError:
            return False

    def newest(self) -> int | None:
        found = sorted((self.folder / "checkpoints").glob("step-*"))
        return int(found[-1].name.removeprefix("step-")) if found else None


def wait_for(process: subprocess.Popen[bytes], reached: Callable[[], bool], pause: float) -> bool:
    """Wait until something holds; false when the process ended before."""
    began = time.monotonic()
    while process.poll() is None:
        if reached():
            return True
        if time.monotonic() - began > PATIENCE_SECONDS:
            process.kill()
            raise SystemExit("the run does not move")
        time.sleep(pause)
    return False


def kill_once(trainer: Trainer, aim: str, target: int, chance: random.Random, *, resume: bool) -> Kill | None:
    """Let the run go on to `target` steps, and kill it as aimed; None when it finished before."""
    process = trainer.start(resume=resume)
    segments = len(list(trainer.folder.glob("telemetry-*.jsonl")))
    if aim == "just after a start":
        alive = wait_for(process, lambda: len(list(trainer.folder.glob("telemetry-*.jsonl"))) > segments, POLL_SECONDS)
    else:
        alive = wait_for(process, lambda: trainer.step() >= target, 0.05)
        if alive and aim == "inside a save":
            alive = wait_for(process, trainer.saving, POLL_SECONDS)
    if alive:
        time.sleep(chance.uniform(0.0, 0.02 if aim == "inside a save" else 0.1))
        process.send_signal(signal.SIGKILL)
    code = process.wait()
    if code != -signal.SIGKILL:
        return None
    return Kill(aim, trainer.step(), trainer.newest(), trainer.saving())


def aims(kills: int, chance: random.Random) -> list[str]:
    """What each kill aims at: one across an epoch, a quarter inside saves, one pair in a row, the rest at random."""
    every = ["across an epoch", *["inside a save"] * max(kills // 4, 1), "just after a start"]
    every += ["at random"] * (kills - len(every))
    chance.shuffle(every)
    if every[0] == "just after a start":  # it must follow another one
        every.append(every.pop(0))
    return every


def run(folder: Path, arguments: list[str], kills: int, seed: int) -> dict[str, object]:
    """Train both runs below `folder`; gives the figures, with `equal` for the verdict."""
    chance, code = random.Random(seed), code_digest()
    whole, killed = Trainer(folder / "whole", arguments), Trainer(folder / "killed", arguments)
    seconds = whole.finish(resume=False)
    plan = json.loads((whole.folder / "plan.json").read_text())
    every = next(
        int(line.split("=")[1].split("#")[0])
        for line in (whole.folder / "settings.toml").read_text().partition("[stage1.checkpoint]")[2].splitlines()
        if line.startswith("every")
    )
    per_step = plan["rows"] * plan["lengths"][0]
    epoch_ends = -(-plan["data"]["train_tokens"] // per_step)
    last = plan["steps"] - every - 1  # a kill inside a save needs one to come
    targets = sorted(chance.sample(range(every + 1, last), kills))
    done: list[Kill] = []
    pending = aims(kills, chance)
    for target in targets:
        crossing = "across an epoch" in pending and target > epoch_ends
        aim = pending.pop(pending.index("across an epoch") if crossing else 0)
        if aim == "across an epoch" and not crossing:  # too early for it: take the next one, keep this for later
            pending.append(aim)
            aim = pending.pop(0)
        found = kill_once(killed, aim, target, chance, resume=bool(done))
        if found is None:
            break
        done.append(found)
        print(f"{len(done):3d}  {found.aim:20s} step {found.step:5d}  checkpoint {found.checkpoint}  "
              f"{'half a save left behind' if found.inside_a_save else ''}", flush=True)  # fmt: skip
    killed.finish(resume=True)
    if code_digest() != code:
        raise SystemExit("the code of think changed while this ran: the two runs cannot be compared")
    return {
        "arguments": arguments,
        "steps": plan["steps"],
        "checkpoint_every": every,
        "epoch_ends_at_step": epoch_ends,
        "seconds_in_peace": round(seconds, 1),
        "kills": [asdict(kill) for kill in done],
        "half_saves": sum(kill.inside_a_save for kill in done),
        **compare(whole.folder, killed.folder),
    }


def code_digest() -> str:
    """Digest of the installed package: a proof over two different programs would prove nothing."""
    sources = sorted(Path(think.__file__).parent.rglob("*.py"))
    return hashlib.sha256("".join(sha256_of(path) for path in sources).encode()).hexdigest()


def compare(whole: Path, killed: Path) -> dict[str, object]:
    """Digests of both last checkpoints, file by file, and the losses of both runs."""
    last = [sorted((folder / "checkpoints").glob("step-*"))[-1] for folder in (whole, killed)]
    digests = [{file.name: sha256_of(file) for file in sorted(path.iterdir())} for path in last]
    losses = [
        {record.step: record.fields["loss"] for record in read(folder) if record.kind == "step"}
        for folder in (whole, killed)
    ]
    return {
        "files": {name: digests[1].get(name) == digest for name, digest in digests[0].items()},
        "steps_compared": len(losses[0]),
        "equal_losses": losses[0] == losses[1],
        "equal": last[0].name == last[1].name and digests[0] == digests[1] and losses[0] == losses[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="cpu_smoke")
    parser.add_argument("--data", default=None)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    arguments = ["--preset", asked.preset]
    arguments += ["--data", asked.data] if asked.data else []
    for change in asked.changes:
        arguments += ["--set", change]
    folder = Path(tempfile.mkdtemp(prefix="kill-"))
    figures = run(folder, arguments, asked.kills, asked.seed)
    for name, equal in figures["files"].items():  # type: ignore[attr-defined]
        print(f"{name:24s} {'equal' if equal else 'DIFFERENT'}")
    print(f"losses of {figures['steps_compared']} steps: {'equal' if figures['equal_losses'] else 'DIFFERENT'}")
    shutil.rmtree(folder)

    import _report

    print("written:", _report.write("kill", figures).name)
    sys.exit(0 if figures["equal"] else 1)


if __name__ == "__main__":
    main()
