"""The library of kernels: how it is built, and when it is not used."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from think.kernels import choose
from think.kernels.compare import OPERATORS, Case, evaluate, inputs
from think.kernels.native import build, library

pytestmark = pytest.mark.kernel

HAVE = [operator for operator in OPERATORS if "native" in choose.implementations(operator)]
"Operators that have native kernels, whether or not they were built here."

CASE = Case("any", 20, batch=3, heads=3, key=9, value=19, groups=3, resets=(0, 5, 6, 19))

built = pytest.mark.skipif(isinstance(library.opened(), str), reason="native kernels were not built here")
compiler = pytest.mark.skipif(not any(map(shutil.which, build.COMPILERS)), reason="there is no C compiler")


@pytest.fixture
def another_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Makes the library at a path the one in use, and forgets what was decided about the other."""

    def forget() -> None:
        for cache in (library.lacking, library._function, choose.lacking, choose.resolve):
            cache.cache_clear()
        choose._FOUND.clear()
        choose._NARROW.clear()

    def use(path: Path) -> None:
        original = library.opened
        monkeypatch.setattr(library, "opened", lambda: original(path))
        forget()

    yield use
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("operator", HAVE)
def test_without_a_library_auto_is_chunked_and_native_says_why(
    operator: str, another_library: Callable[[Path], None], tmp_path: Path
) -> None:
    another_library(tmp_path / "libthink.so")
    assert choose.resolve(operator) == "chunked"
    assert "native" not in choose.usable(operator)
    assert library.levels() == ()
    assert library.level() is None
    given = inputs(operator, CASE)
    with pytest.raises(choose.CannotRun, match=r"not built.*python -m think\.kernels\.native\.build"):
        OPERATORS[operator](**given.tensors, **given.options, implementation="native")
    evaluate(operator, "auto", given)


def test_a_file_that_is_no_library(another_library: Callable[[Path], None], tmp_path: Path) -> None:
    broken = tmp_path / "libthink.so"
    broken.write_bytes(b"not a library")
    another_library(broken)
    assert choose.resolve("rwkv6") == "chunked"
    assert "does not load" in (library.lacking("rwkv6") or "")


TINY = """
#include "common.h"
KERNEL(tiny)(float *x, int64_t threads) { (void)threads; store(x, load(x) * 2.0f); return 0; }
"""


def sources(to: Path, text: str = TINY, name: str = "tiny") -> Path:
    """A folder with the thread pool and one small kernel."""
    to.mkdir()
    for path in (*build.HERE.glob("*.h"), build.HERE / f"{build.ONCE}.c"):
        shutil.copy(path, to)
    (to / f"{name}.c").write_text(text)
    return to


@compiler
def test_a_library_of_other_sources_is_not_used(another_library: Callable[[Path], None], tmp_path: Path) -> None:
    """What has not changed stays usable."""
    folder = sources(tmp_path / "old", name="rwkv6")
    assert build.build(tmp_path / "libthink.so", folder=folder) == {}
    another_library(tmp_path / "libthink.so")
    assert library.lacking(build.ONCE) is None
    assert choose.resolve("rwkv6") == "chunked"
    with pytest.raises(choose.CannotRun, match=r"rwkv6\.c has changed.*python -m think\.kernels\.native\.build"):
        choose.resolve("rwkv6", "native")


@compiler
def test_a_refused_source_is_left_out_and_named(another_library: Callable[[Path], None], tmp_path: Path) -> None:
    folder = sources(tmp_path / "broken")
    (folder / "rwkv6.c").write_text("this is not C\n")
    refused = build.build(tmp_path / "libthink.so", folder=folder)
    assert list(refused) == ["rwkv6"]
    assert "rwkv6.c:1" in refused["rwkv6"]
    another_library(tmp_path / "libthink.so")
    assert "built without native/rwkv6.c" in (library.lacking("rwkv6") or "")
    assert isinstance(found := library.opened(), library.Loaded)
    assert set(found.digests) == {build.ONCE, "tiny"}


@compiler
def test_a_build_keeps_objects_and_replaces_the_library_whole(tmp_path: Path) -> None:
    folder, objects, to = sources(tmp_path / "new"), tmp_path / "objects", tmp_path / "libthink.so"
    build.build(to, folder=folder, objects=objects)
    first = {path.name: path.stat().st_mtime_ns for path in objects.glob("*.o")}
    assert len(first) == 1 + len(build.levels())
    (folder / f"{build.ONCE}.c").write_text("no\n")
    before = to.read_bytes()
    with pytest.raises(build.BuildFailed, match=build.ONCE):
        build.build(to, folder=folder, objects=objects)
    assert to.read_bytes() == before
    assert {path.name: path.stat().st_mtime_ns for path in objects.glob("*.o")} == first
    assert {path.name for path in tmp_path.iterdir()} == {"new", "objects", "libthink.so"}


@built
@pytest.mark.parametrize("level", build.levels())
@pytest.mark.parametrize("name", ["rwkv6_forward", "rwkv6_backward", "causal_conv_forward", "causal_conv_backward"])
def test_every_kernel_is_built_for_every_instruction_set(level: str, name: str) -> None:
    """For those too that this processor does not have."""
    assert isinstance(found := library.opened(), library.Loaded)
    assert hasattr(found.functions, f"think_{name}_{level}")


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildFailed, match="no C compiler"):
        build.build(tmp_path / "libthink.so")
    with pytest.raises(build.BuildFailed, match="does not run"):
        build.build(tmp_path / "libthink.so", compiler=str(tmp_path / "cc"))


def test_a_digest_covers_the_headers(tmp_path: Path) -> None:
    folder = sources(tmp_path / "digest", '#include "matrix.h"\n')
    before = build.digest("tiny", folder), build.digest(build.ONCE, folder)
    with (folder / "matrix.h").open("a") as file:
        file.write("\n")
    assert build.digest("tiny", folder) != before[0]
    assert build.digest(build.ONCE, folder) == before[1]
