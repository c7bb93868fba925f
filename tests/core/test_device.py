"""What "auto" becomes, and what is refused."""

import json
import platform
import shutil
from pathlib import Path

import psutil
import pytest
import torch

from think.core import device
from think.core.device import (
    RuntimeSettings,
    available_cores,
    compile_each,
    compiling,
    keep_freed_memory,
    prepare,
    resolve,
)
from think.core.errors import BadSettings, MachineCannot
from think.kernels import choose


def test_auto_is_settled_and_recorded() -> None:
    machine = resolve(RuntimeSettings())
    assert machine.device in ("cpu", "cuda", "mps")
    assert machine.threads == available_cores() >= 1
    assert set(machine.kernels_became) == set(choose.operators())
    assert "auto" not in machine.kernels_became.values()
    assert machine.asked == {"device": "auto", "threads": "auto", "compile": None, "kernels": "auto", "parallel": None}
    json.dumps(machine.as_json())


def test_threads_are_those_that_were_asked_for() -> None:
    before = torch.get_num_threads()
    try:
        prepare(resolve(RuntimeSettings(device="cpu", threads=1)))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["abacus", "meta", "cpu:x"])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises(BadSettings, match=device):
        resolve(RuntimeSettings(device=device))


def test_an_absent_device_is_never_replaced() -> None:
    with pytest.raises(MachineCannot) as caught:
        resolve(RuntimeSettings(device="cuda:63"))
    assert caught.value.exit == 5
    assert "runtime.device=cpu" in str(caught.value)


def test_more_threads_than_any_machine_has_are_refused() -> None:
    with pytest.raises(BadSettings, match="too many") as caught:
        resolve(RuntimeSettings(device="cpu", threads=10**9))
    assert caught.value.where == "runtime.threads"


def test_memory_is_that_of_the_machine_or_of_the_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = resolve(RuntimeSettings(device="cpu", threads=1))
    monkeypatch.setattr(device, "_CONTAINER_LIMIT", tmp_path / "limit")
    whole = device.memory_bytes(machine)
    assert whole >= psutil.virtual_memory().total
    for limit, expected in (("max\n", whole), ("4096\n", 4096)):
        (tmp_path / "limit").write_text(limit)
        assert device.memory_bytes(machine) == expected


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MachineCannot, match="compiler"):
        resolve(RuntimeSettings(device="cpu", compile="default"))


def test_a_failed_compilation_is_no_bug() -> None:
    from torch._inductor.exc import CppCompileError

    with pytest.raises(MachineCannot, match=r"in mode .default. failed"), compiling("default"):
        raise CppCompileError(["c++"], "it would not")
    with pytest.raises(ZeroDivisionError), compiling("default"):
        raise ZeroDivisionError


def test_without_a_mode_nothing_is_compiled() -> None:
    block = torch.nn.Linear(2, 2)
    compile_each([block], None)
    assert block._compiled_call_impl is None


@pytest.mark.parametrize("name", ["reference", "chunked"])
def test_kernels_by_name(name: str) -> None:
    """Operators without a time axis have no chunked form; there the name means their reference."""
    became = resolve(RuntimeSettings(device="cpu", kernels=name)).kernels_became
    assert {became[operator] for operator in ("causal_conv", "delta_rule", "rwkv6", "ssd")} == {name}
    assert set(became.values()) <= {name, "reference"}


def test_unknown_kernels_are_refused_with_what_there_is() -> None:
    with pytest.raises(BadSettings, match="reference"):
        resolve(RuntimeSettings(device="cpu", kernels="guessed"))


def test_freed_memory_is_kept_where_the_library_can() -> None:
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
