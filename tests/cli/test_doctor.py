"""The doctor answers on a healthy machine, a broken one, and without a place to write."""

import json

from think.cli import doctor
from think.cli.app import run
from think.core.errors import Exit


def findings(capsys) -> dict[str, dict]:
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["schema"] == "think.doctor/1"
    return {finding["subject"]: finding for finding in envelope["data"]["findings"]}


def test_this_machine_is_able_and_every_line_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("THINK_RUNS", str(tmp_path / "runs"))
    assert run(["doctor", "--json"]) == Exit.DONE
    found = findings(capsys)
    for subject in ("python", "packages", "memory", "runs folder", "torch", "threads", "devices", "kernel rwkv6"):
        assert found[subject]["standing"] in ("ok", "warn")
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_is_bad_with_a_remedy(monkeypatch, capsys):
    monkeypatch.setenv("THINK_RUNS", "/proc/nowhere")
    assert run(["doctor", "--json"]) == Exit.MACHINE_CANNOT
    finding = findings(capsys)["runs folder"]
    assert finding["standing"] == "bad"
    assert "THINK_RUNS" in finding["remedy"]


def test_a_missing_package_is_bad_and_stops_before_it_is_needed(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "NEEDED", ("no-such-distribution",))
    assert run(["doctor", "--json"]) == Exit.MACHINE_CANNOT
    found = findings(capsys)
    assert "no-such-distribution" in found["packages"]["found"]
    assert "torch" not in found


def test_the_text_shows_the_same(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "LEAST_MEMORY", 2**60)
    assert run(["doctor"]) == Exit.DONE
    shown = capsys.readouterr().out
    assert "warn  memory" in shown
    assert "think can work here (" in shown
    assert "(0 to look at)" not in shown


def test_native_kernels_are_told_with_their_instruction_set_or_why_there_are_none(monkeypatch, capsys):
    from think.kernels import choose
    from think.kernels.native import library

    native, kernel = doctor._native(), doctor._kernel("rwkv6")
    if library.level() is None:
        assert (native.standing, native.remedy is not None) == ("warn", True)
    else:
        assert native.found == f"yes, for {library.level()}"
        assert "native" in kernel.found
    monkeypatch.setattr(library, "opened", lambda: "the library was not built; build it: this command")
    caches = (library.lacking, choose.lacking, choose.resolve)
    try:
        for cache in caches:
            cache.cache_clear()
        native, kernel = doctor._native(), doctor._kernel("rwkv6")
        assert native.standing == "warn"
        assert "the library was not built" in native.found
        assert native.remedy == "build it: this command"
        assert kernel.found == "auto is chunked; there are chunked, reference"
    finally:
        for cache in caches:
            cache.cache_clear()
