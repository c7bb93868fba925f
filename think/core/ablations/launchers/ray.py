"""Ray: one task for each cell, as many at once as the resources allow; it waits for all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from think.core.ablations.launchers import Job, Launched, Launcher, absent, call
from think.core.errors import BadSettings

CPUS = 1
"Processors of a task, when nothing else is asked for."


def launch(jobs: Sequence[Job], logs: Path, resources: Mapping[str, object]) -> list[Launched]:
    """Run. resources: options of a Ray task, such as num_cpus or num_gpus; RAY_ADDRESS says which cluster.

    Raises MachineCannot without Ray, BadSettings for an option that Ray does not know.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise absent("ray", "ray") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    try:
        remote = ray.remote(call).options(**{"num_cpus": CPUS, "max_retries": 0, **resources})
        tasks = {remote.remote(job.command, job.folder): job for job in jobs}
    except (TypeError, ValueError) as error:
        raise BadSettings(f"Ray refuses these resources: {error}", where="--resource") from error
    ended, waiting = [], list(tasks)
    while waiting:
        (ready,), waiting = ray.wait(waiting, num_returns=1)
        ended.append(Launched(tasks[ready], ready.hex(), int(ray.get(ready))))
    return ended


SPEC = Launcher(launch, waits=True)
