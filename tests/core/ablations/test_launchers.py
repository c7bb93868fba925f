"""What launchers ask of submitit and Ray, by stand-in modules; no cluster is needed to ask the right thing."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from think.core.ablations.launchers import Job, call, ray, slurm
from think.core.errors import BadSettings, Exit, MachineCannot

JOBS = [Job("one-seed0", ("think", "ablate", "run"), "/work"), Job("one-seed1", ("think", "ablate"), "/work")]


@pytest.fixture
def submitit(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A stand-in that keeps what it is asked, with the calls and errors of submitit's own API."""
    asked: list[Any] = []

    class AutoExecutor:
        def __init__(self, folder: str, cluster: str):
            asked.append(("executor", folder, cluster))

        def update_parameters(self, **parameters: object) -> None:
            if "partition" in parameters:
                raise NameError("Unknown arguments: partition")
            asked.append(("parameters", parameters))

        def submit(self, function: Any, *arguments: Any) -> Any:
            asked.append(("submit", function, arguments))
            job = ModuleType("job")
            job.job_id = str(len(asked))  # type: ignore[attr-defined]
            return job

    module = ModuleType("submitit")
    module.AutoExecutor = AutoExecutor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "submitit", module)
    return asked


def test_slurm_gets_one_job_for_each_cell_with_its_name_and_resources(submitit: list[Any], tmp_path: Path) -> None:
    launched = slurm.SPEC.launch(JOBS, tmp_path, {"timeout_min": 30, "slurm_partition": "short"})
    assert submitit[0] == ("executor", str(tmp_path / "%j"), "slurm")
    assert submitit[1] == ("parameters", {"name": "one-seed0", "timeout_min": 30, "slurm_partition": "short"})
    assert submitit[2] == ("submit", call, (("think", "ablate", "run"), "/work"))
    assert submitit[3][1]["name"] == "one-seed1"
    assert [(each.job.name, each.id, each.code) for each in launched] == [
        ("one-seed0", "3", None),
        ("one-seed1", "5", None),
    ]


def test_a_resource_that_submitit_does_not_know_is_bad_settings(submitit: list[Any], tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="partition"):
        slurm.SPEC.launch(JOBS, tmp_path, {"partition": "short"})


def test_a_machine_without_slurm_cannot(submitit: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str, cluster: str) -> None:
        raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')

    monkeypatch.setattr(sys.modules["submitit"], "AutoExecutor", refuse)
    with pytest.raises(MachineCannot, match="srun"):
        slurm.SPEC.launch(JOBS, tmp_path, {})


@pytest.fixture
def rays(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    class Reference:
        def __init__(self, arguments: tuple[Any, ...]):
            self.arguments = arguments

        def hex(self) -> str:
            return self.arguments[0][-1]

    class Remote:
        def options(self, **options: object) -> "Remote":
            asked.append(("options", options))
            return self

        def remote(self, *arguments: Any) -> Reference:
            asked.append(("remote", arguments))
            return Reference(arguments)

    def remote(function: Any) -> Remote:
        assert function is call
        return Remote()

    module = ModuleType("ray")
    parts = {
        "is_initialized": lambda: False,
        "init": lambda **options: asked.append(("init", options)),
        "remote": remote,
        "wait": lambda references, num_returns: (references[-1:], references[:-1]),
        "get": lambda reference: 3 if reference.hex() == "run" else 0,
    }
    for name, part in parts.items():
        setattr(module, name, part)
    monkeypatch.setitem(sys.modules, "ray", module)
    return asked


def test_ray_gets_one_task_for_each_cell_and_is_waited_for(rays: list[Any], tmp_path: Path) -> None:
    launched = ray.SPEC.launch(JOBS, tmp_path, {"num_cpus": 2})
    assert [kind for kind, _ in rays] == ["init", "options", "remote", "remote"]
    assert rays[1][1] == {"num_cpus": 2, "max_retries": 0}
    assert rays[2][1] == (("think", "ablate", "run"), "/work")
    assert [(each.job.name, each.code) for each in launched] == [("one-seed1", 0), ("one-seed0", 3)]


@pytest.mark.parametrize(("launcher", "package"), [(slurm, "submitit"), (ray, "ray")])
def test_without_its_package_a_launcher_says_how_to_install_it(
    launcher: Any, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MachineCannot) as error:
        launcher.SPEC.launch(JOBS, tmp_path, {})
    assert error.value.exit == Exit.MACHINE_CANNOT
    assert f"pip install {package}" in (error.value.remedy or "")


def test_a_job_runs_in_its_folder_and_gives_its_exit_code(tmp_path: Path) -> None:
    code = "import pathlib, sys; pathlib.Path('here').touch(); sys.exit(3)"
    assert call([sys.executable, "-c", code], str(tmp_path)) == 3
    assert (tmp_path / "here").exists()
