"""`think doctor`: what this machine has for a run, each line ok, warn or bad, with the remedy.

A check is a function that gives Findings; bad means that think cannot work here at all, and makes the exit code 5.
Nothing is changed: the only file written is a probe in the runs folder, and it is removed.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from think.cli import environment
from think.cli.console import console
from think.cli.options import Json
from think.core.errors import Exit

LEAST_PYTHON = (3, 11)
LEAST_TORCH = (2, 9)
GIBIBYTE = 2**30
LEAST_MEMORY = 1 * GIBIBYTE
"importing torch and training the smallest preset takes about half of this"
LEAST_DISK = 1 * GIBIBYTE
"a run of the smaller presets with three checkpoints"
NEEDED = (
    "torch",
    "numpy",
    "pydantic",
    "pydantic-settings",
    "safetensors",
    "tokenizers",
    "datasets",
    "einops",
    "jaxtyping",
    "matplotlib",
    "psutil",
)
OPTIONAL = {"tensorboard": "track", "wandb": "track"}
"What `think runs export` can use, and the extra that brings it."


@dataclass(frozen=True)
class Finding:
    """One line: its subject, how it stands, what was found, and what to do about it."""

    subject: str
    standing: Literal["ok", "warn", "bad"]
    found: str
    remedy: str | None = None


def doctor(json: Json = False) -> Exit | None:
    """Look at the machine: Python, torch, memory, disk, devices, kernels, terminal."""
    findings = [*_python(), *_packages(), *_processor(), *_memory(), *_terminal()]
    if all(finding.standing != "bad" for finding in findings):  # the rest needs the packages
        findings += [*_disk(), *_torch(), *_kernels()]
    able = all(finding.standing != "bad" for finding in findings)
    console.result(
        "think.doctor/1",
        {"able": able, "findings": [asdict(finding) for finding in findings]},
        lambda: _show(findings, able),
        ok=able,
    )
    return None if able else Exit.MACHINE_CANNOT


def _show(findings: list[Finding], able: bool) -> None:
    margin = max(len(finding.subject) for finding in findings)
    for finding in findings:
        console.out(f"{finding.standing:<5} {finding.subject:<{margin}}  {finding.found}")
        if finding.remedy:
            console.out(" " * (margin + 8) + f"remedy: {finding.remedy}")
    warnings = sum(finding.standing == "warn" for finding in findings)
    console.out(
        f"\nthink can work here ({warnings} to look at)"
        if able
        else "\nthink cannot work here until the bad lines are mended"
    )


def _python() -> Iterator[Finding]:
    standing: Literal["ok", "bad"] = "ok" if sys.version_info >= LEAST_PYTHON else "bad"
    remedy = None if standing == "ok" else f"install Python {'.'.join(map(str, LEAST_PYTHON))} or later"
    yield Finding(
        "python", standing, f"{platform.python_version()} on {platform.system()} {platform.machine()}", remedy
    )


def _packages() -> Iterator[Finding]:
    missing = [name for name in NEEDED if _version(name) is None]
    if missing:
        yield Finding("packages", "bad", f"missing: {', '.join(missing)}", "pip install -c constraints.txt -e .")
    else:
        yield Finding("packages", "ok", f"all {len(NEEDED)} needed are there")
    for name, extra in OPTIONAL.items():
        version = _version(name)
        if version is None:
            yield Finding(
                name, "ok", "not installed; only its export needs it", f"pip install 'think-toolkit[{extra}]'"
            )
        else:
            yield Finding(name, "ok", version)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("processor", "ok", f"{cores} cores for this process, of {os.cpu_count()}")
    if importlib.util.find_spec("psutil") is not None:
        import psutil

        load = psutil.getloadavg()[0]
        if load > 1.5 * cores:
            yield Finding(
                "load", "warn", f"{load:.1f} on {cores} cores", "other work slows a run down; wait, or stop it"
            )


def _memory() -> Iterator[Finding]:
    if importlib.util.find_spec("psutil") is None:
        return
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / GIBIBYTE:.1f} GiB free of {memory.total / GIBIBYTE:.1f} GiB"
    if memory.available < LEAST_MEMORY:
        yield Finding("memory", "warn", text, "close something; the smallest preset wants about 1 GiB")
    else:
        yield Finding("memory", "ok", text)


def _disk() -> Iterator[Finding]:
    folder = environment.runs_folder()
    existing = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Finding(
            "runs folder", "bad", f"{folder} cannot be written: {error.strerror}", "set THINK_RUNS to a folder of yours"
        )
        return
    free = shutil.disk_usage(existing).free
    standing: Literal["ok", "warn"] = "ok" if free >= LEAST_DISK else "warn"
    remedy = None if standing == "ok" else "free some space, or set THINK_RUNS to another disk"
    yield Finding("runs folder", standing, f"{folder}, {free / GIBIBYTE:.1f} GiB free", remedy)


def _torch() -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        return  # told by the packages line
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", "bad", f"does not load: {error}", "install torch again, as constraints.txt names it")
        return
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    least = ".".join(map(str, LEAST_TORCH))
    if version < LEAST_TORCH:
        yield Finding("torch", "bad", torch.__version__, f"install torch {least} or later")
    else:
        yield Finding("torch", "ok", torch.__version__)
    yield Finding("instructions", "ok", torch.backends.cpu.get_cpu_capability())
    yield _narrow()
    yield Finding("threads", "ok", _threads(torch.get_num_threads()))
    yield Finding("devices", "ok", ", ".join(_devices()))


def _narrow() -> Finding:
    """Whether training in bfloat16 can gain anything on the processor."""
    from think.core.device import RuntimeSettings, narrow_gain, resolve

    gain = narrow_gain(resolve(RuntimeSettings(device="cpu")))
    if gain >= 1:
        return Finding("bfloat16", "ok", f"matrix products {gain:.1f} times as fast as in float32")
    return Finding(
        "bfloat16",
        "ok",
        f"emulated: matrix products take {1 / gain:.1f} times as long as in float32",
        "train in float32 on this processor, which is the default of stage1.precision",
    )


def _threads(default: int) -> str:
    chosen = environment.read().threads
    return f"{default} by default" if chosen is None else f"{chosen}, from your environment"


def _devices() -> Iterator[str]:
    import torch

    yield "cpu"
    if torch.backends.mps.is_available():
        yield "mps"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            yield f"cuda:{index} ({properties.name}, {properties.total_memory / GIBIBYTE:.0f} GiB)"


def _kernels() -> Iterator[Finding]:
    from think.kernels import choose

    yield _native()
    yield _triton()
    for operator in choose.operators():
        yield _kernel(operator)


def _native() -> Finding:
    """Whether there are kernels in C, for which instruction set, or why not."""
    from think.kernels.native import build, library

    reason = library.lacking(build.ONCE)
    if reason is None:
        return Finding("native kernels", "ok", f"yes, for {library.level()}")
    what, _, remedy = reason.partition("; ")
    return Finding("native kernels", "warn", f"no: {what}; those of torch operations are used", remedy)


def _triton() -> Finding:
    """Whether there are kernels in Triton, or why not; only a machine with a GPU misses them."""
    import torch

    from think.kernels.triton import available

    reason = available.lacks("cuda", torch.float32)
    if reason is None:
        return Finding("triton kernels", "ok", "in the interpreter" if available.interpreted() else "yes")
    what, _, remedy = reason.partition("; ")
    if not torch.cuda.is_available():
        return Finding("triton kernels", "ok", f"no: {what}, and there is no CUDA device" if remedy else f"no: {what}")
    return Finding("triton kernels", "warn", f"no: {what}; those of torch operations are used", remedy or None)


def _kernel(operator: str) -> Finding:
    """What auto is on the processor and on a GPU, and what cannot run there and why."""
    import torch

    from think.kernels import choose
    from think.kernels.native import build, library

    text = f"auto is {choose.resolve(operator)}; there are {', '.join(choose.usable(operator))}"
    if torch.cuda.is_available():
        text += f"; on cuda auto is {choose.resolve(operator, device='cuda')}"
    for name in choose.implementations(operator):
        reason = choose.lacking(operator, name)
        if reason and name != choose.TRITON and reason != library.lacking(build.ONCE):  # those have lines of their own
            text += f"; no {name}: {reason}"
    return Finding(f"kernel {operator}", "ok", text)


def _terminal() -> Iterator[Finding]:
    if not sys.stdout.isatty():
        yield Finding("terminal", "ok", "none: plain text, no colour")
        return
    size = shutil.get_terminal_size()
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = f"{os.environ.get('TERM', 'unnamed')}, {size.columns} x {size.lines}, {sys.stdout.encoding}"
    text += ", colour" if console.colours(sys.stdout) else ", no colour"
    if not utf8:
        yield Finding("terminal", "warn", text, "set a UTF-8 locale, such as LANG=C.UTF-8")
    elif size.columns < 80:
        yield Finding("terminal", "warn", text, "tables are drawn for 80 columns or more")
    else:
        yield Finding("terminal", "ok", text)
