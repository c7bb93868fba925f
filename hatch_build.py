"""The build hook: compiles the native kernels into a wheel, or beside the sources for an editable install.

Without a C compiler, or with THINK_NO_NATIVE=1 in the environment, the install succeeds without them; `think doctor`
says so, and the kernels of torch operations are used.
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags


class NativeKernels(BuildHookInterface):
    """Runs for wheels and editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = _load(Path(self.root) / "think" / "kernels" / "native" / "build.py")
        if os.environ.get("THINK_NO_NATIVE") == "1":
            self.app.display_warning("native kernels are left out, as THINK_NO_NATIVE=1 asks")
            return
        if version == "editable":
            self._try(build, build.LIBRARY, build.OBJECTS)
            return
        self.work = tempfile.TemporaryDirectory(prefix="think-wheel-")
        library = Path(self.work.name) / build.LIBRARY.name
        if self._try(build, library, None):
            build_data["force_include"][str(library)] = f"think/kernels/native/{library.name}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform()}"

    def _try(self, build: ModuleType, library: Path, objects: Path | None) -> bool:
        try:
            refused = build.build(library, objects=objects, compiler=os.environ.get("CC"))
        except (build.BuildFailed, OSError) as error:
            self.app.display_warning(f"native kernels are left out: {error}")
            return False
        for unit, answer in refused.items():
            self.app.display_warning(f"native {unit} is left out: {answer}")
        return True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "work"):
            self.work.cleanup()


def _platform() -> str:
    """The plain tag of this platform: a library built here claims no older C library than the one here."""
    return next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))


def _load(path: Path) -> ModuleType:
    """build.py as a module, without importing think, whose packages are not there yet."""
    specification = importlib.util.spec_from_file_location("think_native_build", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module
