"""Builds the library of kernels: `python -m think.kernels.native.build`; the install does the same.

Standard library only: the build hook of the install (hatch_build.py) loads this file by its path. Every kernel file is
compiled once for each instruction set; objects are kept by the digest of what they are made of, so that a change costs
the files that it touches.
"""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / ("libthink.dylib" if sys.platform == "darwin" else "libthink.so")
OBJECTS = HERE / ".objects"
COMMAND = "python -m think.kernels.native.build"
COMPILERS = ("cc", "gcc", "clang")
TIME_LIMIT = 300
"Seconds for one file; a minute is much."

FLAGS = (
    *("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-Wno-psabi"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)
LEVELS: dict[str, tuple[str, ...]] = {
    "baseline": ("-DWIDTH=4",),
    "avx2": ("-DWIDTH=8", "-mavx2", "-mfma", "-mbmi2"),
    "avx512": (
        *("-DWIDTH=16", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mbmi2"),
        "-mprefer-vector-width=512",
    ),
}
"Instruction sets in the order of `think_level` in pool.c; only the first where the processor is no x86-64."
INCLUDE = re.compile(r'^#include "(.+)"', re.MULTILINE)
ONCE = "pool"
"The file that is compiled for the baseline alone."


class BuildFailed(Exception):
    """There is no compiler, or no library came of it; the message says why."""


def levels() -> tuple[str, ...]:
    """Names of the instruction sets that are built for this kind of processor."""
    return tuple(LEVELS) if platform.machine() in ("x86_64", "AMD64") else ("baseline",)


def units(folder: Path = HERE) -> tuple[str, ...]:
    """Names of the source files."""
    return tuple(sorted(path.stem for path in folder.glob("*.c")))


def digest(unit: str, folder: Path = HERE) -> str:
    """What the objects of a source file are made of: its text, the headers that it includes, the flags."""
    found = hashlib.sha256(repr((FLAGS, LEVELS, levels())).encode())
    for path in _made_of(folder / f"{unit}.c"):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _made_of(source: Path) -> list[Path]:
    """A source and the headers beside it that it includes, directly or not."""
    found, ahead = [], [source]
    while ahead:
        path = ahead.pop()
        if path not in found and path.exists():
            found.append(path)
            ahead += [path.with_name(name) for name in INCLUDE.findall(path.read_text(encoding="utf-8"))]
    return sorted(found)


def build(
    to: Path = LIBRARY, *, folder: Path = HERE, objects: Path | None = None, compiler: str | None = None
) -> dict[str, str]:
    """Compile all sources and write the library; what was there before stays until the new one is whole.

    objects: where compiled files are kept for the next time (default: nowhere). A source file that the compiler refuses
    is left out; returned are the names of those, with what it said. Raises BuildFailed when there is no library at all.
    """
    compiler = compiler or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise BuildFailed(f"there is no C compiler on the path (looked for {', '.join(COMPILERS)})")
    with tempfile.TemporaryDirectory(prefix="think-native-") as work:
        kept = objects or Path(work)
        kept.mkdir(exist_ok=True)
        jobs = list(_jobs(folder, kept))
        with ThreadPoolExecutor() as pool:  # the compilers are processes of their own
            answers = list(pool.map(lambda job: _compile(compiler, job), jobs))
        refused = {job.unit: answer for job, answer in zip(jobs, answers, strict=True) if answer is not None}
        if ONCE in refused:
            raise BuildFailed(refused[ONCE])
        built = [job for job in jobs if job.unit not in refused]
        table = Job("digests", Path(work) / "digests.c", Path(work) / "digests.o", ())
        table.source.write_text(_table({job.unit: job.made_of for job in built}), encoding="utf-8")
        answer = _compile(compiler, table)
        if answer is None:
            whole = to.with_name(f".{to.name}.{Path(work).name}")
            outputs = [str(job.output) for job in (*built, table)]
            answer = _run([compiler, "-shared", "-pthread", "-o", str(whole), *outputs])
        if answer is not None:
            raise BuildFailed(answer)
        whole.replace(to)
        return refused


@dataclass(frozen=True)
class Job:
    """One file to compile: its unit, what it is made of, where the object goes, flags beside the common ones."""

    unit: str
    source: Path
    output: Path
    flags: tuple[str, ...]
    made_of: str = ""


def _jobs(folder: Path, kept: Path) -> Iterator[Job]:
    for unit in units(folder):
        made_of = digest(unit, folder)
        for level in ("baseline",) if unit == ONCE else levels():
            output = kept / f"{unit}-{level}-{made_of}.o"
            yield Job(unit, folder / f"{unit}.c", output, (f"-DLEVEL={level}", *LEVELS[level]), made_of)


def _table(digests: dict[str, str]) -> str:
    """A C file whose `think_digests` tells what the library was made of, as "unit=digest;" for each."""
    text = "".join(f"{unit}={made_of};" for unit, made_of in digests.items())
    return f'__attribute__((visibility("default"))) const char *think_digests(void) {{ return "{text}"; }}\n'


def _compile(compiler: str, job: Job) -> str | None:
    if job.output.exists():
        return None
    with tempfile.TemporaryDirectory(dir=job.output.parent, prefix=".one-") as own:  # two builds may run at once
        made = Path(own) / job.output.name
        answer = _run(
            [compiler, *FLAGS, *job.flags, "-I", str(job.source.parent), "-c", str(job.source), "-o", str(made)]
        )
        if answer is None:
            made.replace(job.output)
        return answer


def _run(command: list[str]) -> str | None:
    """What a command complained about; None when it succeeded."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]} does not run: {error}"
    return None if done.returncode == 0 else f"{command[0]} refused:\n{done.stderr.strip()}"


def main() -> None:
    """Build beside the sources; objects of sources that are gone are removed. Says nothing when all went well."""
    try:
        refused = build(objects=OBJECTS)
    except (BuildFailed, OSError) as error:
        raise SystemExit(str(error)) from None
    current = {job.output.name for job in _jobs(HERE, OBJECTS)}
    for old in OBJECTS.glob("*.o"):
        if old.name not in current:
            old.unlink(missing_ok=True)
    if refused:
        raise SystemExit("\n".join(f"left out of the library: {unit}\n{answer}" for unit, answer in refused.items()))


if __name__ == "__main__":
    main()
