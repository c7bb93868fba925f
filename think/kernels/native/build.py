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
    """There is no compiler, or it refused; the message says which and why."""


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


def build(to: Path = LIBRARY, *, folder: Path = HERE, objects: Path | None = None, compiler: str | None = None) -> None:
    """Compile all sources and write the library; what was there before stays until the new one is whole.

    objects: where compiled files are kept for the next time (default: nowhere). Raises BuildFailed.
    """
    compiler = compiler or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise BuildFailed(f"there is no C compiler on the path (looked for {', '.join(COMPILERS)})")
    with tempfile.TemporaryDirectory(prefix="think-native-") as work:
        kept = objects or Path(work)
        kept.mkdir(exist_ok=True)
        table = Path(work) / "digests.c"
        table.write_text(_table(folder))
        jobs = [*_jobs(folder, kept), (table, Path(work) / "digests.o", ())]
        with ThreadPoolExecutor() as pool:  # the compilers are processes of their own
            list(pool.map(lambda job: _compile(compiler, *job), jobs))
        whole = to.with_name(f".{to.name}.{Path(work).name}")
        try:
            _run([compiler, "-shared", "-pthread", "-o", str(whole), *(str(output) for _, output, _ in jobs)])
            whole.replace(to)
        finally:
            whole.unlink(missing_ok=True)


def _jobs(folder: Path, kept: Path) -> Iterator[tuple[Path, Path, tuple[str, ...]]]:
    """Source, object and flags of everything that is to be compiled."""
    for unit in units(folder):
        source, made_of = folder / f"{unit}.c", digest(unit, folder)
        for level in ("baseline",) if unit == ONCE else levels():
            yield source, kept / f"{unit}-{level}-{made_of}.o", (f"-DLEVEL={level}", *LEVELS[level])


def _table(folder: Path) -> str:
    """A C file whose `think_digests` tells what the library was made of, as "unit=digest;" for each."""
    text = "".join(f"{unit}={digest(unit, folder)};" for unit in units(folder))
    return f'__attribute__((visibility("default"))) const char *think_digests(void) {{ return "{text}"; }}\n'


def _compile(compiler: str, source: Path, output: Path, flags: tuple[str, ...]) -> None:
    if output.exists():
        return
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".one-") as own:  # two builds may run at once
        made = Path(own) / output.name
        _run([compiler, *FLAGS, *flags, "-I", str(source.parent), "-c", str(source), "-o", str(made)])
        made.replace(output)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{command[0]} does not run: {error}") from None
    if done.returncode != 0:
        raise BuildFailed(f"{command[0]} refused:\n{done.stderr.strip()}")


def main() -> None:
    """Build beside the sources; objects of sources that are gone are removed."""
    try:
        build(objects=OBJECTS)
    except (BuildFailed, OSError) as error:
        raise SystemExit(str(error)) from None
    current = {output.name for _, output, _ in _jobs(HERE, OBJECTS)}
    for old in OBJECTS.glob("*.o"):
        if old.name not in current:
            old.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
