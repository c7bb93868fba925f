"""Slurm, through submitit: one job for each cell. It submits and does not wait; `think ablate report` looks later."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from think.core.ablations.launchers import Job, Launched, Launcher, absent, call
from think.core.errors import BadSettings, MachineCannot


def launch(jobs: Sequence[Job], logs: Path, resources: Mapping[str, object]) -> list[Launched]:
    """Submit. resources: parameters of submitit, such as timeout_min, cpus_per_task or slurm_partition.

    Raises MachineCannot without submitit or Slurm, BadSettings for a parameter that submitit does not know.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise absent("submitit", "slurm") from None
    try:
        executor = submitit.AutoExecutor(folder=str(logs / "%j"), cluster="slurm")
    except RuntimeError as error:
        raise MachineCannot(
            f"Slurm cannot be reached: {error}",
            where="--launcher slurm",
            expected="a machine from which jobs can be submitted (srun and sbatch in PATH)",
            remedy="run this on a login node of the cluster",
        ) from error
    submitted = []
    for job in jobs:
        try:
            executor.update_parameters(name=job.name, **resources)
        except (NameError, TypeError, ValueError) as error:
            raise BadSettings(f"submitit refuses these resources: {error}", where="--resource") from error
        submitted.append(Launched(job, str(executor.submit(call, job.command, job.folder).job_id)))
    return submitted


SPEC = Launcher(launch, waits=False)
